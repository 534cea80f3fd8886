//! The paths of a resource: a list, and objects below it.
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What stays as it is in a path segment: RFC 3986, section 2.3.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// `path`, which begins below `endpoint` and may hold `{id}`, with the endpoint's query at its end.
pub(crate) fn uri(endpoint: &str, path: &str, id: &str) -> String {
    let (base, query) = match endpoint.split_once('?') {
        Some((base, query)) => (base, format!("?{query}")),
        None => (endpoint, String::new()),
    };
    let path = path.replace("{id}", &utf8_percent_encode(id, SEGMENT).to_string());
    if path.is_empty() { endpoint.to_owned() } else { format!("{}{path}{query}", base.trim_end_matches('/')) }
}

#[cfg(test)]
mod tests {
    use super::uri;

    #[test]
    fn an_id_is_one_segment_whatever_is_in_it() {
        assert_eq!(uri("/things", "", "7"), "/things");
        assert_eq!(uri("/things", "/{id}", "7"), "/things/7");
        assert_eq!(uri("/things/", "/{id}/", "7"), "/things/7/");
        assert_eq!(uri("/things?lang=en", "/{id}", "7"), "/things/7?lang=en");
        assert_eq!(uri("/things", "/{id}/publish", "a/b c"), "/things/a%2Fb%20c/publish");
    }
}
