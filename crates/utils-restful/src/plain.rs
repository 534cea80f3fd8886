use actix_web::{HttpRequest, HttpResponse, Responder};

/// A text answer that stays `text/plain`, such as a `robots.txt`; other strings become `{"message": "…"}`
/// under [`Restful`](crate::Restful).
///
/// ```
/// use actix_web::get;
/// use utils_restful::Plain;
///
/// #[get("/robots.txt")]
/// async fn robots() -> Plain<&'static str> {
///     Plain("User-agent: *\nDisallow:\n")
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plain<T>(pub T);

/// In a response's extensions: this body is as it should be.
#[derive(Debug)]
pub(crate) struct LeaveAlone;

impl<T: Into<String>> Responder for Plain<T> {
    type Body = actix_web::body::BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        let mut response = HttpResponse::Ok().content_type("text/plain; charset=utf-8").body(self.0.into());
        response.extensions_mut().insert(LeaveAlone);
        response
    }
}
