use std::{
    future::{Future, Ready, ready},
    ops::{Deref, DerefMut},
    pin::Pin,
};

use actix_web::{
    FromRequest, HttpRequest,
    dev::Payload,
    http::header::CONTENT_TYPE,
    web::{Bytes, Data},
};
use garde::Validate;
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;

use crate::{
    error::ArgsError,
    json::from_json,
    text::{cookie_pairs, form_pairs, from_pairs, header_pairs},
};

/// An extractor around its value; `$text` is the documentation.
macro_rules! extractor {
    ($(#[$text:meta])+ $name:ident) => {
        $(#[$text])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct $name<T>(pub T);

        impl<T> $name<T> {
            /// The value.
            pub fn into_inner(self) -> T {
                self.0
            }
        }

        impl<T> Deref for $name<T> {
            type Target = T;

            fn deref(&self) -> &T {
                &self.0
            }
        }

        impl<T> DerefMut for $name<T> {
            fn deref_mut(&mut self) -> &mut T {
                &mut self.0
            }
        }
    };
}

extractor! {
    /// The JSON body. Content types are `application/json` and `application/*+json`; no body at all is an object
    /// without fields.
    ///
    /// Values keep their JSON type: `"5"` is no number. The body may be as long as actix's
    /// [`PayloadConfig`](actix_web::web::PayloadConfig) allows, 256 KiB unless the application says otherwise.
    ///
    /// # Examples
    /// ```
    /// use utils_webargs::Json;
    ///
    /// #[derive(serde::Deserialize, garde::Validate)]
    /// struct NewPost {
    ///     #[garde(length(min = 1, max = 80))]
    ///     title: String,
    /// }
    ///
    /// #[actix_web::post("/posts")]
    /// async fn create(Json(post): Json<NewPost>) -> String {
    ///     post.title
    /// }
    /// ```
    Json
}

extractor! {
    /// The query string: `?ids=1&ids=2` is a list, `true`, `t` and `1` are true, and of several values for a field
    /// that takes one the first counts.
    ///
    /// # Examples
    /// ```
    /// use utils_webargs::Query;
    ///
    /// #[derive(serde::Deserialize, garde::Validate)]
    /// struct Search {
    ///     #[garde(skip)]
    ///     #[serde(default)]
    ///     ids: Vec<u32>,
    ///     #[garde(range(min = 1))]
    ///     page: Option<u32>,
    /// }
    ///
    /// #[actix_web::get("/posts")]
    /// async fn list(Query(search): Query<Search>) -> String {
    ///     format!("{:?} {:?}", search.ids, search.page)
    /// }
    /// ```
    Query
}

extractor! {
    /// A body of type `application/x-www-form-urlencoded`, read as [`Query`] is. No body at all is a form without
    /// fields.
    Form
}

extractor! {
    /// The named segments of the path, such as `{id}`.
    Path
}

extractor! {
    /// Headers, by the names of the fields: case does not matter, and `_` in a field is `-` in the header. A header that
    /// is sent several times is a list. Bytes that are not UTF-8 become U+FFFD.
    ///
    /// # Examples
    /// ```
    /// use utils_webargs::Headers;
    ///
    /// #[derive(serde::Deserialize, garde::Validate)]
    /// struct Client {
    ///     #[garde(skip)]
    ///     user_agent: Option<String>,
    /// }
    ///
    /// #[actix_web::get("/")]
    /// async fn hello(Headers(client): Headers<Client>) -> String {
    ///     client.user_agent.unwrap_or_default()
    /// }
    /// ```
    Headers
}

extractor! {
    /// Cookies, by the names of the fields. Of two cookies with one name the first counts.
    Cookies
}

/// What an extractor needs of its type: nothing but the two derives. A `web::Data<Context>` of the application is the
/// context of its rules, the context's default otherwise.
pub trait Arguments: DeserializeOwned + Validate<Context: Default + 'static> + 'static {}

impl<T: DeserializeOwned + Validate<Context: Default + 'static> + 'static> Arguments for T {}

fn with_context<T: Arguments, R>(request: &HttpRequest, read: impl FnOnce(&T::Context) -> R) -> R {
    match request.app_data::<Data<T::Context>>() {
        Some(context) => read(context),
        None => read(&T::Context::default()),
    }
}

type Later<T> = Pin<Box<dyn Future<Output = Result<T, ArgsError>>>>;

impl<T: Arguments> FromRequest for Json<T> {
    type Error = ArgsError;
    type Future = Later<Self>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let body = body(request, payload, "application/json", is_json);
        let request = request.clone();
        Box::pin(async move {
            let body = body.await?;
            with_context::<T, _>(&request, |context| from_json(&body, context)).map(Self)
        })
    }
}

impl<T: Arguments> FromRequest for Form<T> {
    type Error = ArgsError;
    type Future = Later<Self>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let body = body(request, payload, FORM, |essence| essence == FORM);
        let request = request.clone();
        Box::pin(async move {
            let pairs = form_pairs(&body.await?, "form")?;
            Ok(Self(with_context::<T, _>(&request, |context| from_pairs(pairs, context))?))
        })
    }
}

impl<T: Arguments> FromRequest for Query<T> {
    type Error = ArgsError;
    type Future = Ready<Result<Self, ArgsError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let pairs = form_pairs(request.query_string().as_bytes(), "query string");
        ready(pairs.and_then(|pairs| from_texts(request, pairs)).map(Self))
    }
}

impl<T: Arguments> FromRequest for Path<T> {
    type Error = ArgsError;
    type Future = Ready<Result<Self, ArgsError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        // actix has decoded most of it, and left what would change the meaning of the path, such as %2F.
        let decoded = |value: &str| percent_decode_str(value).decode_utf8_lossy().into_owned();
        let segments = request.match_info().iter();
        let pairs = segments.map(|(name, value)| (name.to_owned(), decoded(value)));
        ready(from_texts(request, pairs.collect()).map(Self))
    }
}

impl<T: Arguments> FromRequest for Headers<T> {
    type Error = ArgsError;
    type Future = Ready<Result<Self, ArgsError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(from_texts(request, header_pairs::<T>(request.headers())).map(Self))
    }
}

impl<T: Arguments> FromRequest for Cookies<T> {
    type Error = ArgsError;
    type Future = Ready<Result<Self, ArgsError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(from_texts(request, cookie_pairs::<T>(request.headers())).map(Self))
    }
}

fn from_texts<T: Arguments>(request: &HttpRequest, pairs: Vec<(String, String)>) -> Result<T, ArgsError> {
    Ok(with_context::<T, _>(request, |context| from_pairs(pairs, context))?)
}

const FORM: &str = "application/x-www-form-urlencoded";

/// The body, if it is `expected` or empty.
fn body(
    request: &HttpRequest,
    payload: &mut Payload,
    expected: &'static str,
    is_expected: impl Fn(&str) -> bool,
) -> impl Future<Output = Result<Bytes, ArgsError>> + 'static {
    let content_type =
        request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_expected = is_expected(&essence);
    let body = Bytes::from_request(request, payload);
    async move {
        let body = body.await.map_err(|error| ArgsError::of_body(&error))?;
        if is_expected || body.is_empty() { Ok(body) } else { Err(ArgsError::ContentType(expected)) }
    }
}

fn is_json(essence: &str) -> bool {
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}
