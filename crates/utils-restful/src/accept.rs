use actix_web::http::header::{self, HeaderMap};

pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// Whether errors go out as `problem+json`: where the client names it, at least as gladly as
/// `application/json`; where it does not name it, `by_default` decides.
///
/// Wildcards do not count: every browser and `curl` sends `*/*`, and means the default shape.
pub(crate) fn wants_problem(headers: &HeaderMap, by_default: bool) -> bool {
    match quality(headers, PROBLEM_JSON) {
        Some(problem) => problem > 0.0 && problem >= quality(headers, "application/json").unwrap_or(0.0),
        None => by_default,
    }
}

/// The weight (RFC 9110, 12.4.2) of a media type that the `Accept` headers name.
fn quality(headers: &HeaderMap, media_type: &str) -> Option<f32> {
    let ranges = headers.get_all(header::ACCEPT).filter_map(|value| value.to_str().ok());
    ranges.flat_map(|value| value.split(',')).find_map(|range| {
        let mut parts = range.split(';').map(str::trim);
        if !parts.next()?.eq_ignore_ascii_case(media_type) {
            return None;
        }
        let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        Some(weight.map_or(1.0, |weight| weight.trim().parse().unwrap_or(0.0)))
    })
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn check(accept: &str, by_default: bool, wanted: bool) {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_str(accept).unwrap());
        assert_eq!(wants_problem(&headers, by_default), wanted, "Accept: {accept}, by default: {by_default}");
    }

    #[test]
    fn a_client_that_names_the_type_gets_it() {
        check("application/problem+json", false, true);
        check("Application/Problem+JSON; charset=utf-8", false, true);
        check("application/json, application/problem+json", false, true);
        check("text/html, application/problem+json;q=0.5, */*;q=0.1", false, true);
    }

    #[test]
    fn a_client_that_prefers_plain_json_or_refuses_the_type_gets_the_default_shape() {
        check("application/json, application/problem+json;q=0.9", false, false);
        check("application/problem+json;q=0", true, false);
        check("application/problem+json;q=nonsense", true, false);
        check("application/problem+jsonx", false, false);
    }

    #[test]
    fn a_client_that_says_nothing_gets_what_the_application_chose() {
        for accept in ["*/*", "application/*", "application/json", ""] {
            check(accept, false, false);
            check(accept, true, true);
        }
    }
}
