use crate::{
    url::{UrlError, UrlParts},
    url_rules::parse_port,
};

/// What [`build_url`] replaces: `None` leaves a part as it is, `Some("")` removes it.
#[derive(Clone, Copy, Default)]
#[allow(missing_debug_implementations, reason = "it may hold a password")]
pub struct UrlOverrides<'a> {
    /// The scheme; it cannot be removed.
    pub scheme: Option<&'a str>,
    /// The user name.
    pub username: Option<&'a str>,
    /// The password.
    pub password: Option<&'a str>,
    /// The host; an IPv6 address needs no brackets.
    pub host: Option<&'a str>,
    /// The port, a number from 0 to 65535. A wrong one in the URL does not matter when it is replaced.
    pub port: Option<&'a str>,
    /// The path, with or without its first `/`.
    pub path: Option<&'a str>,
}

/// The URL with some of its parts replaced: `build_url` of flask-utils for those who know it.
/// [`UrlParts`] does the same and gives access to the parts.
///
/// # Errors
/// [`UrlError`], when the URL or a replacement is invalid.
///
/// # Examples
/// ```
/// use utils_config::{UrlOverrides, build_url};
///
/// let url = build_url(
///     "redis://localhost/0?timeout=5",
///     &UrlOverrides { host: Some("cache"), port: Some("6379"), ..UrlOverrides::default() },
/// )?;
/// assert_eq!(url, "redis://cache:6379/0?timeout=5");
/// # Ok::<(), utils_config::UrlError>(())
/// ```
pub fn build_url(url: &str, overrides: &UrlOverrides<'_>) -> Result<String, UrlError> {
    let (mut parts, port) = UrlParts::split(url)?;
    if let Some(port) = parse_port(overrides.port.unwrap_or(port))? {
        parts = parts.with_port(port);
    }
    if let Some(scheme) = overrides.scheme {
        parts = parts.with_scheme(scheme)?;
    }
    if let Some(host) = overrides.host {
        parts = parts.with_host(host)?;
    }
    parts = match overrides.username {
        None => parts,
        Some("") => parts.without_username(),
        Some(username) => parts.with_username(username),
    };
    parts = match overrides.password {
        None => parts,
        Some("") => parts.without_password(),
        Some(password) => parts.with_password(password),
    };
    if let Some(path) = overrides.path {
        parts = parts.with_path(path);
    }
    Ok(parts.to_string())
}
