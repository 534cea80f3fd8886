use std::{
    fmt::{self, Write},
    net::Ipv6Addr,
    str::FromStr,
};

use serde::{Deserialize, Deserializer, de};

use crate::{
    mask::{mask_query, mask_words},
    url_rules::{
        PASSWORD, PATH, USERNAME, looks_like_a_delimiter, parse_port, split_off, split_port, valid_host,
        valid_scheme,
    },
};

/// A URL in its parts, each of which can be replaced or removed; the rest stays as it was written.
///
/// It is for the URLs of services: `scheme://user:password@host:port/path?query#fragment`. Only the scheme and the host
/// are changed by reading one (to lower case), and leading zeros of a port. `Display` gives the URL with its password,
/// [`masked`](Self::masked) and `Debug` without.
///
/// # Examples
/// ```
/// use utils_config::UrlParts;
///
/// let url: UrlParts = "mysql://app@db:3306/shop?charset=utf8mb4".parse()?;
/// let url = url.with_password("p@ss/word").with_host("::1")?.with_port(3307);
/// assert_eq!(url.to_string(), "mysql://app:p%40ss%2Fword@[::1]:3307/shop?charset=utf8mb4");
/// assert_eq!(url.masked(), "mysql://app:***@[::1]:3307/shop?charset=utf8mb4");
/// assert_eq!(url.without_userinfo().without_port().to_string(), "mysql://[::1]/shop?charset=utf8mb4");
/// # Ok::<(), utils_config::UrlError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct UrlParts {
    scheme: String,
    username: Option<String>,
    password: Option<String>,
    host: String,
    port: Option<u16>,
    path: String,
    query: Option<String>,
    fragment: Option<String>,
}

/// Why a URL, or a part of one, was refused. No message repeats a part of the URL, since any may hold the password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// It has no scheme, such as `localhost`.
    #[error("the URL has no scheme, such as `redis://`")]
    NoScheme,
    /// The scheme has characters other than letters, digits, `+`, `-` and `.`, or does not begin with a letter.
    #[error("the scheme of the URL is invalid")]
    Scheme,
    /// What follows the scheme does not begin with `//`, as in `mailto:a@example.com` and `localhost:6379`.
    #[error("the URL has no `//` after its scheme")]
    NoAuthority,
    /// There is a control character in it, such as a tab or a line end.
    #[error("the URL contains a control character")]
    ControlCharacter,
    /// There is a backslash before the path; programs disagree about which host that means.
    #[error("the URL contains a backslash before its path")]
    Backslash,
    /// The host has a character that belongs to another part of a URL.
    #[error("the host of the URL is invalid")]
    Host,
    /// What is in brackets is no IPv6 address, or a bracket is missing.
    #[error("the IPv6 address of the URL is invalid")]
    Ipv6,
    /// It names several hosts, as MongoDB and Celery allow; one cannot tell which of them a part belongs to.
    #[error("the URL names several hosts")]
    SeveralHosts,
    /// The port is no number from 0 to 65535.
    #[error(
        "the port of the URL must be a number from 0 to 65535; `/`, `?` and `#` in a password must be percent-encoded"
    )]
    Port,
}

impl UrlParts {
    /// Takes the URL apart.
    ///
    /// # Errors
    /// [`UrlError`], when it has no scheme and `//`, or one of its parts is invalid.
    pub fn parse(url: &str) -> Result<Self, UrlError> {
        let (mut parts, port) = Self::split(url)?;
        parts.port = parse_port(port)?;
        Ok(parts)
    }

    /// All but the port, which is returned as it is written.
    pub(crate) fn split(url: &str) -> Result<(Self, &str), UrlError> {
        let url = url.trim_start_matches(' ');
        if url.chars().any(char::is_control) {
            return Err(UrlError::ControlCharacter);
        }
        let (rest, fragment) = split_off(url, '#');
        let (rest, query) = split_off(rest, '?');
        let (scheme, rest) = rest.split_once(':').ok_or(UrlError::NoScheme)?;
        if scheme.is_empty() || scheme.contains('/') {
            return Err(UrlError::NoScheme);
        }
        let scheme = valid_scheme(scheme)?;
        let rest = rest.strip_prefix("//").ok_or(UrlError::NoAuthority)?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if authority.contains('\\') {
            return Err(UrlError::Backslash);
        }
        if authority.contains(looks_like_a_delimiter) {
            return Err(UrlError::Host);
        }
        // A password may have an `@` that nobody encoded; a host never has one.
        let (userinfo, address) = match authority.rsplit_once('@') {
            Some((userinfo, address)) => (Some(userinfo), address),
            None => (None, authority),
        };
        let (username, password) = match userinfo.map(|userinfo| userinfo.split_once(':').ok_or(userinfo)) {
            None => (None, None),
            Some(Ok((username, password))) => (Some(username), Some(password)),
            Some(Err(username)) => (Some(username), None),
        };
        let (host, port) = split_port(address)?;
        let parts = Self {
            scheme,
            username: username.map(str::to_owned),
            password: password.map(str::to_owned),
            host: valid_host(host)?,
            port: None,
            path: path.to_owned(),
            query: query.map(str::to_owned),
            fragment: fragment.map(str::to_owned),
        };
        Ok((parts, port))
    }

    /// The scheme, in lower case.
    #[must_use]
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// The user name, percent-encoded as it stands in the URL.
    #[must_use]
    pub fn username(&self) -> Option<&str> {
        self.username.as_deref()
    }

    /// The password, percent-encoded as it stands in the URL.
    #[must_use]
    pub fn password(&self) -> Option<&str> {
        self.password.as_deref()
    }

    /// The host, in lower case; an IPv6 address is in brackets. It is empty in `sqlite:///shop.db`.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, if the URL names one.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The path as it is written, with its first `/`; empty when there is none.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The query without its `?`.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// The fragment without its `#`.
    #[must_use]
    pub fn fragment(&self) -> Option<&str> {
        self.fragment.as_deref()
    }

    /// Replaces the scheme.
    ///
    /// # Errors
    /// [`UrlError::Scheme`] for anything but letters, digits, `+`, `-` and `.` after a first letter.
    pub fn with_scheme(mut self, scheme: &str) -> Result<Self, UrlError> {
        self.scheme = valid_scheme(scheme)?;
        Ok(self)
    }

    /// Replaces the user name. What a user name must not have is percent-encoded; what is so already, as `%40`, stays.
    #[must_use]
    pub fn with_username(mut self, username: &str) -> Self {
        self.username = Some(USERNAME.encode(username, true));
        self
    }

    /// Replaces the password. What a password must not have is percent-encoded; what is so already, as `%40`, stays.
    #[must_use]
    pub fn with_password(mut self, password: &str) -> Self {
        self.password = Some(PASSWORD.encode(password, true));
        self
    }

    /// Replaces the password by this one exactly: a `%40` in it is three characters of the password.
    #[must_use]
    pub fn with_literal_password(mut self, password: &str) -> Self {
        self.password = Some(PASSWORD.encode(password, false));
        self
    }

    /// Removes the password, and the `:` before it.
    #[must_use]
    pub fn without_password(mut self) -> Self {
        self.password = None;
        self
    }

    /// Removes user name and password.
    #[must_use]
    pub fn without_userinfo(mut self) -> Self {
        (self.username, self.password) = (None, None);
        self
    }

    /// Removes the user name. A password stays, as in `redis://:password@host`.
    #[must_use]
    pub fn without_username(mut self) -> Self {
        self.username = None;
        self
    }

    /// Replaces the host. An IPv6 address gets its brackets.
    ///
    /// # Errors
    /// [`UrlError::Host`], [`UrlError::Ipv6`] or [`UrlError::SeveralHosts`].
    pub fn with_host(mut self, host: &str) -> Result<Self, UrlError> {
        self.host = match host.parse::<Ipv6Addr>() {
            Ok(_) => format!("[{}]", host.to_ascii_lowercase()),
            Err(_) => valid_host(host)?,
        };
        Ok(self)
    }

    /// Replaces the port.
    #[must_use]
    pub fn with_port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Removes the port.
    #[must_use]
    pub fn without_port(mut self) -> Self {
        self.port = None;
        self
    }

    /// Replaces the path, which gets a `/` before it if it has none; `""` removes it. `?`, `#`, spaces and control
    /// characters are percent-encoded. Query and fragment stay.
    #[must_use]
    pub fn with_path(mut self, path: &str) -> Self {
        let slash = if path.is_empty() || path.starts_with('/') { "" } else { "/" };
        self.path = format!("{slash}{}", PATH.encode(path, true));
        self
    }

    /// Removes the query.
    #[must_use]
    pub fn without_query(mut self) -> Self {
        self.query = None;
        self
    }

    /// The URL for logs: `***` stands for the password, and for what path, query and fragment name so or like a token
    /// or key, as `?password=` and `&sslkey=` do.
    #[must_use]
    pub fn masked(&self) -> String {
        let masked = Self {
            password: self.password.as_ref().map(|_| "***".to_owned()),
            path: mask_words(&self.path),
            query: self.query.as_deref().map(mask_query),
            fragment: self.fragment.as_deref().map(mask_query),
            ..self.clone()
        };
        masked.to_string()
    }
}

impl fmt::Display for UrlParts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}://", self.scheme)?;
        if self.username.is_some() || self.password.is_some() {
            formatter.write_str(self.username().unwrap_or_default())?;
            if let Some(password) = &self.password {
                write!(formatter, ":{password}")?;
            }
            formatter.write_char('@')?;
        }
        formatter.write_str(&self.host)?;
        if let Some(port) = self.port {
            write!(formatter, ":{port}")?;
        }
        formatter.write_str(&self.path)?;
        if let Some(query) = &self.query {
            write!(formatter, "?{query}")?;
        }
        if let Some(fragment) = &self.fragment {
            write!(formatter, "#{fragment}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for UrlParts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "UrlParts({})", self.masked())
    }
}

impl FromStr for UrlParts {
    type Err = UrlError;

    fn from_str(url: &str) -> Result<Self, UrlError> {
        Self::parse(url)
    }
}

impl<'de> Deserialize<'de> for UrlParts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let url = String::deserialize(deserializer)?;
        Self::parse(&url).map_err(de::Error::custom)
    }
}
