use std::fmt::Write;

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{CACHE_CONTROL, HeaderName, HeaderValue},
    middleware::DefaultHeaders,
    web::{self, Data, ServiceConfig},
};
use serde::Serialize;

use crate::{current::current, sources::Release};

/// The name of the response header: `x-release`.
pub const RELEASE_HEADER: HeaderName = HeaderName::from_static("x-release");

/// A proxy may refuse an answer whose headers are longer than a few KiB.
const LONGEST_HEADER: usize = 256;

#[derive(Serialize)]
struct Answer<'a> {
    release: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    built: Option<&'a str>,
}

/// Adds `GET /version` (and `HEAD`).
///
/// # Examples
/// ```
/// use actix_web::App;
///
/// let app = App::new().configure(utils_release::routes);
/// ```
pub fn routes(config: &mut ServiceConfig) {
    config.service(web::resource("/version").route(web::get().to(version)).route(web::head().to(version)));
}

/// The handler behind [`routes`], for another path: `{"release": "1.2.3", "built": "2026-11-23T21:00:00Z"}`.
///
/// `built` is left out when it is not known. A `web::Data<Release>` of the application is answered instead of
/// [`current`].
pub async fn version(request: HttpRequest) -> HttpResponse {
    let release = match request.app_data::<Data<Release>>() {
        Some(release) => release.get_ref(),
        None => current(),
    };
    // Whoever asks wants to know what runs now, not what ran when a proxy looked.
    HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(Answer { release: release.as_str(), built: release.built() })
}

/// A middleware that adds `x-release` to every answer that has none.
///
/// Bytes that a header cannot carry are percent-encoded; what is longer than 256 bytes is cut.
///
/// # Examples
/// ```
/// use actix_web::App;
///
/// let app = App::new().wrap(utils_release::release_header(utils_release::current()));
/// ```
#[must_use]
pub fn release_header(release: &Release) -> DefaultHeaders {
    let headers = DefaultHeaders::new();
    match HeaderValue::from_str(&header_text(release.as_str())) {
        Ok(value) => headers.add((RELEASE_HEADER, value)),
        // Cannot happen: the text is visible ASCII.
        Err(_) => headers,
    }
}

fn header_text(release: &str) -> String {
    let mut text = String::new();
    for byte in release.bytes() {
        let start = text.len();
        match byte {
            b' '..=b'~' => text.push(char::from(byte)),
            // Writing to a string never fails.
            _ => _ = write!(text, "%{byte:02X}"),
        }
        if text.len() > LONGEST_HEADER {
            text.truncate(start);
            break;
        }
    }
    text
}
