//! What the original's `build_url` makes of a URL, case by case.
use serde_json::Value;
use utils_config::{UrlOverrides, build_url};

/// Where we deviate from the original on purpose; `None` is an error. The reasons are in
/// docs/guide/coming-from-flask-utils.md.
const BETTER: &[(&str, Option<&str>)] = &[
    ("user_without_password", Some("redis://user@localhost/0")),
    ("user_override_reserved_chars", Some("http://a%40b%3Ac:p%2Fw%3Fx%23y@h/")),
    ("password_override_space", Some("http://u:a%20b@h/")),
    ("remove_userinfo_with_empty_strings", Some("http://h/")),
    ("port_override_negative", None),
    ("port_override_text", None),
    ("host_override_not_lowercased", Some("http://new/x")),
    ("host_override_ipv6_bare", Some("http://[::1]:80/x")),
    ("ipv6_port", Some("http://[2001:db8::1]:8080/x")),
    ("query_dropped", Some("http://h/p?a=1&b=2")),
    ("fragment_dropped", Some("http://h/p#frag")),
    ("query_and_fragment_dropped", Some("http://h/p?a=1#frag")),
    ("params_dropped", Some("http://h/p;type=a")),
    ("mysql_charset_query_dropped", Some("mysql+pymysql://u:p@db:3306/app?charset=utf8mb4")),
    ("postgres_socket_query_dropped", Some("postgresql+psycopg2://u:p@/app?host=/var/run/postgresql")),
    ("rediss_ssl_query_dropped", Some("rediss://:pw@h:6380/0?ssl_cert_reqs=required")),
    ("path_override_no_slash", Some("http://h/new")),
    ("path_override_no_slash_with_port", Some("redis://h:6379/1")),
    ("path_override_drops_query", Some("http://h/new?x=1")),
    ("scheme_override_with_colon", None),
    ("scheme_digit_first", None),
    ("sqlite_uri_query", Some("sqlite:///file:app.db?mode=ro&uri=true")),
    ("empty_string", None),
    ("only_word", None),
    ("scheme_relative", None),
    ("only_scheme_colon", None),
    ("mailto", None),
    ("urn", None),
    ("newline_inside", None),
    ("tab_in_host", None),
    ("backslash", None),
];

#[test]
fn every_recorded_url_gives_the_recorded_result_or_the_better_one() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("cases/config.json")).unwrap();
    assert_eq!(cases.len(), 96);
    let mut deviations = 0;
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        let recorded = case["expect"]["url"].as_str();
        let better = BETTER.iter().find(|(case, _)| *case == name);
        if let Some((_, better)) = better {
            deviations += 1;
            assert!(case["quirk"].is_string(), "{name} deviates, but the original is not said to be odd");
            assert_ne!(*better, recorded, "{name} is no deviation");
        }
        let expected = better.map_or(recorded, |(_, better)| *better);
        assert_eq!(build(&case["given"]).as_deref(), expected, "{name}");
    }
    assert_eq!(deviations, BETTER.len(), "a case of the table is not in the file");
}

fn build(given: &Value) -> Option<String> {
    let overrides = &given["overrides"];
    let text = |part: &str| match &overrides[part] {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        number => Some(number.to_string()),
    };
    let known = ["scheme", "username", "password", "hostname", "port", "path"];
    assert!(overrides.as_object().unwrap().keys().all(|part| known.contains(&part.as_str())));
    let [scheme, username, password, host, port, path] = known.map(text);
    let overrides = UrlOverrides {
        scheme: scheme.as_deref(),
        username: username.as_deref(),
        password: password.as_deref(),
        host: host.as_deref(),
        port: port.as_deref(),
        path: path.as_deref(),
    };
    build_url(given["url"].as_str().unwrap(), &overrides).ok()
}
