//! Database URLs as people write them, turned into what the drivers read.

/// `sqlite:` in the spellings of SQLAlchemy (three slashes: relative, four: absolute), sqlx and SQLite itself.
#[cfg(feature = "sqlite")]
pub(super) fn sqlite(url: &str) -> Option<String> {
    let Some((scheme, rest)) = split_scheme(url) else {
        return (!url.is_empty()).then(|| url.to_owned());
    };
    match scheme {
        "sqlite" => {}
        "file" => return Some(url.to_owned()),
        // one letter is a drive of Windows
        drive if drive.len() == 1 => return Some(url.to_owned()),
        _ => return None,
    }
    let path = rest.strip_prefix("///").or_else(|| rest.strip_prefix("//")).unwrap_or(rest);
    Some(match path {
        // SQLAlchemy's `sqlite://`
        "" => ":memory:".to_owned(),
        // only `file:` names have parameters
        path if path.contains('?') => format!("file:{path}"),
        path => path.to_owned(),
    })
}

/// Whether SQLite makes a new database for each connection to this name.
#[cfg(feature = "sqlite")]
pub(super) fn is_sqlite_memory(name: &str) -> bool {
    let named = name.strip_prefix("file:").unwrap_or(name);
    let (path, parameters) = named.split_once('?').unwrap_or((named, ""));
    let has = |wanted: &str| parameters.split('&').any(|parameter| parameter == wanted);
    (path == ":memory:" || path.is_empty() || has("mode=memory")) && !has("cache=shared")
}

/// What libpq does about a server that has gone without a word, where the URL does not say: it gives up to connect after
/// 10 s, and a connection on which nothing comes back after 20 to 30 s. By itself it would wait for as long as the
/// system, which can be hours.
#[cfg(feature = "postgres")]
const PATIENCE: [(&str, &str); 5] = [
    ("connect_timeout", "10"),
    ("keepalives_idle", "15"),
    ("keepalives_interval", "5"),
    ("keepalives_count", "3"),
    ("tcp_user_timeout", "20000"),
];

/// Kerberos: libpq looks for a ticket at each new connection, to encrypt by it. Its library takes its locks down when the
/// process ends, and a pool that connects at this moment, as it does while the server is away, aborts the process.
#[cfg(feature = "postgres")]
const NO_TICKET: (&str, &str) = ("gssencmode", "disable");

/// Whether something else says how connections are encrypted, which the URL would overrule.
#[cfg(feature = "postgres")]
fn is_encryption_said(url: &str) -> bool {
    url.contains("service=")
        || std::env::var_os("PGSERVICE").is_some()
        || std::env::var_os("PGGSSENCMODE").is_some()
}

/// `postgres:` and `postgresql:`, or the keyword form `host=… dbname=…`.
#[cfg(feature = "postgres")]
pub(super) fn postgres(url: &str) -> Option<String> {
    let (mut url, mut sign) = match split_scheme(url) {
        Some(("postgres" | "postgresql", rest)) => {
            let rest = rest.trim_end_matches(['?', '&']);
            (format!("postgres:{rest}"), if rest.contains('?') { '&' } else { '?' })
        }
        Some(_) => return None,
        None => (url.contains('=').then(|| url.to_owned())?, ' '),
    };
    let is_said = |name: &str| url.contains(&format!("{name}="));
    let ticket = (!is_encryption_said(&url)).then_some(NO_TICKET);
    let unsaid: Vec<_> = PATIENCE.into_iter().chain(ticket).filter(|(name, _)| !is_said(name)).collect();
    for (name, value) in unsaid {
        url.push_str(&format!("{sign}{name}={value}"));
        sign = if sign == ' ' { ' ' } else { '&' };
    }
    Some(url)
}

/// `mysql:` and `mariadb:`.
#[cfg(feature = "mysql")]
pub(super) fn mysql(url: &str) -> Option<String> {
    match split_scheme(url)? {
        ("mysql" | "mariadb", rest) => Some(format!("mysql:{rest}")),
        _ => None,
    }
}

/// The scheme without SQLAlchemy's `+driver`, and what follows the colon.
#[allow(dead_code, reason = "without a database nobody asks")]
fn split_scheme(url: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = url.split_once(':')?;
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.chars().all(|each| each.is_ascii_alphanumeric() || "+-.".contains(each));
    let scheme = scheme.split_once('+').map_or(scheme, |(scheme, _driver)| scheme);
    is_scheme.then_some((scheme, rest))
}
