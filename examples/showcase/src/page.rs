//! The web page: three files inside of the binary, no script from elsewhere.
use actix_web::{
    HttpResponse,
    http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS},
    web,
};

/// Nothing but this server's own files, no inline script, in nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

const FILES: [(&str, &str, &str); 3] = [
    ("/", "text/html; charset=utf-8", include_str!("../web/index.html")),
    ("/showcase.css", "text/css; charset=utf-8", include_str!("../web/showcase.css")),
    ("/showcase.js", "text/javascript; charset=utf-8", include_str!("../web/showcase.js")),
];

/// `/` and what it needs.
pub(crate) fn routes(config: &mut web::ServiceConfig) {
    for (path, content_type, text) in FILES {
        let file = move || async move {
            HttpResponse::Ok()
                .content_type(content_type)
                .insert_header((CONTENT_SECURITY_POLICY, POLICY))
                .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
                .insert_header((REFERRER_POLICY, "no-referrer"))
                .insert_header((CACHE_CONTROL, "no-cache"))
                .body(text)
        };
        config.service(web::resource(path).route(web::get().to(file)).route(web::head().to(file)));
    }
}
