//! Rules of URLs that no recorded case shows, and properties of all.
use proptest::prelude::*;
use utils_config::{UrlError, UrlParts};

#[track_caller]
fn refused(url: &str, error: UrlError) {
    assert_eq!(UrlParts::parse(url), Err(error), "{url}");
}

#[test]
fn what_cannot_be_taken_apart_is_refused_by_its_reason() {
    refused("localhost/x", UrlError::NoScheme);
    refused("://h", UrlError::NoScheme);
    refused("a/b://h", UrlError::NoScheme);
    refused("my_scheme://h", UrlError::Scheme);
    refused("localhost:6379", UrlError::NoAuthority);
    refused("http://h\u{0}/", UrlError::ControlCharacter);
    refused("http://h/\u{7f}", UrlError::ControlCharacter);
    refused("http://a\\b:c@h/", UrlError::Backslash);
    refused("http://a b/", UrlError::Host);
    refused("http://a:1:2/", UrlError::Host);
    refused("http://h\u{ff1a}80/", UrlError::Host);
    refused("http://[::1]x:80/", UrlError::Ipv6);
    refused("http://a]b/", UrlError::Ipv6);
    refused("http://[::1/b/", UrlError::Ipv6);
    refused("http://[::1]]/", UrlError::Ipv6);
    refused("amqp://a;amqp://b", UrlError::SeveralHosts);
    refused("http://h:65536/", UrlError::Port);
    refused("http://h:+80/", UrlError::Port);
    refused("http://h:٨٠/", UrlError::Port);
}

#[test]
fn no_error_repeats_a_password() {
    for url in [
        "redis://:hunter2/x@h",
        "redis://u:hunter2#@h:1/",
        "http://u:hunter2@h:x",
        "http://u:hunter2@[h",
        "hunter2",
    ] {
        let error = UrlParts::parse(url).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{url}: {error}");
    }
    let url = UrlParts::parse("redis://u:hunter2@h/").unwrap();
    assert_eq!(format!("{url:?}"), "UrlParts(redis://u:***@h/)");
    let refused = serde_json::from_str::<UrlParts>("\"redis://:hunter2/x@h\"").unwrap_err();
    assert!(!refused.to_string().contains("hunter2"), "{refused}");
}

#[test]
fn zones_sockets_and_future_addresses_are_kept() {
    for url in [
        "http://[fe80::1%25eth0]:80/",
        "postgresql://%2Fvar%2Frun%2FPg/db",
        "http://[v1.fe80::a]/",
        "http://h?a#b",
        "http://h/?",
        "http://@h/",
    ] {
        assert_eq!(UrlParts::parse(url).unwrap().to_string(), url);
    }
}

#[test]
fn a_host_is_no_way_to_smuggle_another_part_in() {
    let url = || UrlParts::parse("http://h/x").unwrap();
    for host in ["good@evil", "h:80", "h/x", "h?x", "h#x", "h\\x", "h x", "[::1", "h\n", "h\u{ff0f}x", "a;b"]
    {
        assert!(url().with_host(host).is_err(), "{host}");
    }
    assert_eq!(url().with_host("FE80::1").unwrap().to_string(), "http://[fe80::1]/x");
    assert_eq!(url().with_host("").unwrap().to_string(), "http:///x");
}

#[test]
fn escapes_are_kept_and_other_percent_signs_encoded() {
    let url = || UrlParts::parse("http://h/x").unwrap();
    assert_eq!(
        url().with_username("a%b%4").with_password("%41%zz%é").to_string(),
        "http://a%25b%254:%41%25zz%25%C3%A9@h/x"
    );
    assert_eq!(url().with_literal_password("%41").password(), Some("%2541"));
    assert_eq!(url().with_path("a b?c#d%é%2F").to_string(), "http://h/a%20b%3Fc%23d%25é%2F");
    assert_eq!(url().with_path("").to_string(), "http://h");
}

#[test]
fn parts_can_be_read_and_removed() {
    let url = UrlParts::parse("S://u:p@H:1/q?r#f").unwrap();
    assert_eq!((url.scheme(), url.username(), url.password(), url.host()), ("s", Some("u"), Some("p"), "h"));
    assert_eq!((url.port(), url.path(), url.query(), url.fragment()), (Some(1), "/q", Some("r"), Some("f")));
    assert_eq!(url.clone().without_password().without_query().to_string(), "s://u@h:1/q#f");
    assert_eq!(url.clone().without_username().to_string(), "s://:p@h:1/q?r#f");
    assert_eq!(url.without_userinfo().without_port().with_path("").to_string(), "s://h?r#f");
}

/// URLs as people write them: lower-case scheme and host, a port without zeros.
const CANONICAL: &str = "[a-z][a-z0-9+.-]{0,8}://([a-zA-Z0-9%._~!$&'()*+,;=-]{0,8}(:[ -\"$-.0-9:<=>@A-Z^-~]{0,12})?@)?\
    ([a-z0-9._-]{0,12}|\\[[0-9a-f]{1,4}::[0-9a-f]{1,4}\\])(:[1-9][0-9]{0,3})?(/[!-\"$->@-~]{0,20})?(\\?[!-\"$-~]{0,10})?(#[!-~]{0,10})?";

proptest! {
    #[test]
    fn reading_and_writing_changes_nothing(url in CANONICAL) {
        let parts = UrlParts::parse(&url);
        prop_assert_eq!(parts.map(|parts| parts.to_string()), Ok(url));
    }

    #[test]
    fn what_was_written_reads_as_the_same_parts(url in "\\PC{0,40}|[a-z]{1,3}://\\PC{0,40}") {
        if let Ok(parts) = UrlParts::parse(&url) {
            let written = parts.to_string();
            let again = UrlParts::parse(&written).unwrap();
            prop_assert_eq!(again.to_string(), written);
            prop_assert_eq!(again, parts);
        }
    }

    #[test]
    fn another_parser_finds_the_user_and_the_password_that_were_put_in(username in "\\PC{1,12}", password in ".{1,12}", path in ".{0,12}") {
        let parts = UrlParts::parse("http://h:81/x?q#f").unwrap();
        let username = username.replace('%', "");
        prop_assume!(!username.is_empty());
        let parts = parts.with_username(&username).with_literal_password(&password).with_path(&path);
        let url = url::Url::parse(&parts.to_string()).unwrap();
        let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8().unwrap().into_owned();
        prop_assert_eq!(decoded(url.username()), username);
        prop_assert_eq!(decoded(url.password().unwrap()), password);
        prop_assert_eq!((url.host_str(), url.port(), url.query(), url.fragment()), (Some("h"), Some(81), Some("q"), Some("f")));
        prop_assert_eq!(UrlParts::parse(&parts.to_string()), Ok(parts));
    }

    #[test]
    fn replacing_a_part_twice_is_replacing_it_once(host in "[a-z]{1,5}|::1|\\[::1\\]", text in ".{0,12}") {
        let once = UrlParts::parse("http://u:p@h:81/x?q#f").unwrap()
            .with_host(&host).unwrap().with_username(&text).with_password(&text).with_path(&text);
        let twice = once.clone().with_host(once.host()).unwrap().with_username(once.username().unwrap())
            .with_password(once.password().unwrap()).with_path(once.path());
        prop_assert_eq!(once, twice);
    }
}
