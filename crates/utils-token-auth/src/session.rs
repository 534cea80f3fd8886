use std::{collections::BTreeMap, fmt, net::IpAddr};

use serde::{Serialize, Serializer, de::DeserializeOwned};
use serde_json::Value;

use crate::Sid;

/// One signed-in device: one row of the store, one refresh token, many short-lived access tokens.
///
/// Times are milliseconds since 1970.
#[derive(Clone, PartialEq, Eq)]
pub struct Session {
    /// The session's id; `rfid` in its access tokens.
    pub id: Sid,
    /// Whose session it is.
    pub user: String,
    /// What the application stored at login, for its claims function.
    pub data: Value,
    /// The scopes of the first access token, by the claim they were in; a renewal never goes beyond them.
    pub scopes: BTreeMap<String, Vec<String>>,
    /// SHA-256 of the secret that only the client has.
    pub secret_hash: [u8; 32],
    /// How often the refresh token was rotated.
    pub generation: u32,
    /// When the user signed in.
    pub created_at: i64,
    /// When the refresh token was last renewed; at first, when the user signed in.
    pub renewed_at: i64,
    /// When the session ends whatever happens.
    pub expires_at: i64,
    /// When and why it was ended.
    pub revoked: Option<Revoked>,
    /// The device: address and agent as of the last renewal that told them, the label as of the login.
    pub client: Client,
}

/// When and why a session was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// Milliseconds since 1970.
    pub at: i64,
    /// The reason.
    pub why: Why,
}

/// Why a session was ended before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Why {
    /// The device logged out.
    Logout,
    /// The user ended it, from a list of devices for example.
    User,
    /// An administrator ended it.
    Admin,
    /// A refresh token was used that had been replaced before: somebody has a copy.
    Reuse,
    /// The claims function said no at a renewal.
    Denied,
    /// The user signed in on more devices than the policy allows.
    Evicted,
    /// The password was changed.
    Password,
    /// The session got a new id, after a change of privileges for example.
    Replaced,
}

/// What is known of a device. Nothing here is trusted; it helps a user to recognise their devices.
///
/// As a handler's argument it is read from the request: the address of the connection, or what a proxy that
/// [`HttpAuth::proxies`](crate::HttpAuth::proxies) names says of it, `User-Agent`, and `X-Device-Label`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Client {
    /// The address it called from.
    pub ip: Option<IpAddr>,
    /// Its `User-Agent`; kept without control characters, and cut to 255 bytes.
    pub user_agent: Option<String>,
    /// A name for it, such as "Ana's phone"; kept without control characters, and cut to 100 bytes. It is taken at the
    /// login: a renewal does not change it.
    pub label: Option<String>,
}

/// A session as its user may see it: no secret, no hash, no token.
///
/// In JSON, times are RFC 3339 in UTC, and names are written in camel case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct SessionInfo {
    /// The session's id, to end it by.
    pub id: Sid,
    /// When the user signed in, in milliseconds since 1970.
    #[serde(serialize_with = "date_time")]
    pub created_at: i64,
    /// When it was last renewed, in milliseconds since 1970.
    #[serde(serialize_with = "date_time")]
    pub renewed_at: i64,
    /// When it ends at the latest, in milliseconds since 1970.
    #[serde(serialize_with = "date_time")]
    pub expires_at: i64,
    /// The address of the last renewal, or of the login.
    pub ip: Option<IpAddr>,
    /// The `User-Agent` of the last renewal, or of the login.
    pub user_agent: Option<String>,
    /// The device's name, as it was given at the login.
    pub label: Option<String>,
    /// Whether it is the session that asked.
    pub current: bool,
}

/// The moment at which a session must be live: its two time limits in one comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveAt {
    /// The time, in milliseconds since 1970: a session is over when its `expires_at` is not after it.
    pub now: i64,
    /// The idle limit, in milliseconds since 1970: a session is over when its `renewed_at` is before it.
    pub idle_since: i64,
}

impl LiveAt {
    /// Whether `session` is neither revoked, expired nor idle.
    #[must_use]
    pub fn holds(&self, session: &Session) -> bool {
        session.revoked.is_none() && session.expires_at > self.now && session.renewed_at >= self.idle_since
    }
}

impl Session {
    /// What the application stored at login, as `T`.
    ///
    /// # Errors
    /// When the data has another shape, because it was stored by an older release for example. In a claims function
    /// `?` makes it 503 at every renewal, until the session's time is over; with `map_err(|_| Refusal::Denied)` the
    /// user signs in again.
    pub fn data_as<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        T::deserialize(&self.data)
    }

    pub(crate) fn info(self, current: Option<Sid>) -> SessionInfo {
        SessionInfo {
            id: self.id,
            created_at: self.created_at,
            renewed_at: self.renewed_at,
            expires_at: self.expires_at,
            ip: self.client.ip,
            user_agent: self.client.user_agent,
            label: self.client.label,
            current: current == Some(self.id),
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Session")
            .field("id", &self.id)
            .field("user", &self.user)
            .field("generation", &self.generation)
            .field("created_at", &self.created_at)
            .field("renewed_at", &self.renewed_at)
            .field("expires_at", &self.expires_at)
            .field("revoked", &self.revoked)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// A device of which nothing is known.
    #[must_use]
    pub fn unknown() -> Self {
        Self::default()
    }

    /// Sets the address.
    #[must_use]
    pub fn ip(mut self, ip: IpAddr) -> Self {
        self.ip = Some(ip);
        self
    }

    /// Sets the `User-Agent`.
    #[must_use]
    pub fn user_agent(mut self, user_agent: impl Into<String>) -> Self {
        self.user_agent = Some(user_agent.into());
        self
    }

    /// Sets the device's name.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// What every database can store: no control characters, bounded lengths.
    pub(crate) fn tidy(self) -> Self {
        Self {
            ip: self.ip,
            user_agent: self.user_agent.and_then(|text| tidy(&text, 255)),
            label: self.label.and_then(|text| tidy(&text, 100)),
        }
    }

    /// What this client said, and for the rest what is known from `before`.
    pub(crate) fn or(self, before: &Self) -> Self {
        Self {
            ip: self.ip.or(before.ip),
            user_agent: self.user_agent.or_else(|| before.user_agent.clone()),
            label: self.label.or_else(|| before.label.clone()),
        }
    }
}

fn tidy(text: &str, max: usize) -> Option<String> {
    let mut kept = String::with_capacity(text.len().min(max));
    for character in text.trim().chars().filter(|character| !character.is_control()) {
        if kept.len() + character.len_utf8() > max {
            break;
        }
        kept.push(character);
    }
    (!kept.is_empty()).then_some(kept)
}

impl Why {
    /// The reason's number in a store.
    #[must_use]
    pub fn code(self) -> i16 {
        match self {
            Self::Logout => 1,
            Self::User => 2,
            Self::Admin => 3,
            Self::Reuse => 4,
            Self::Denied => 5,
            Self::Evicted => 6,
            Self::Password => 7,
            Self::Replaced => 8,
        }
    }

    /// The reason with this number.
    #[must_use]
    pub fn from_code(code: i16) -> Option<Self> {
        use Why::{Admin, Denied, Evicted, Logout, Password, Replaced, Reuse, User};
        [Logout, User, Admin, Reuse, Denied, Evicted, Password, Replaced]
            .into_iter()
            .find(|why| why.code() == code)
    }

    /// The reason in a word, for logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Logout => "logout",
            Self::User => "user",
            Self::Admin => "admin",
            Self::Reuse => "reuse",
            Self::Denied => "denied",
            Self::Evicted => "evicted",
            Self::Password => "password",
            Self::Replaced => "replaced",
        }
    }
}

fn date_time<S: Serializer>(millis: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&DateTime(*millis))
}

/// RFC 3339 in UTC, to the second.
struct DateTime(i64);

impl fmt::Display for DateTime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.div_euclid(1000);
        let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        // the civil calendar from a day number, counted from 1 March of year 0 so that leap days come last
        let days = days + 719_468;
        let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        write!(formatter, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_rfc_3339() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (1_735_689_599_999, "2024-12-31T23:59:59Z"),
            (1_795_468_058_123, "2026-11-23T21:07:38Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(DateTime(millis).to_string(), text);
        }
    }

    #[test]
    fn reasons_keep_their_numbers() {
        for code in 1..=8 {
            assert_eq!(Why::from_code(code).map(Why::code), Some(code));
        }
        assert_eq!(Why::from_code(0), None);
    }

    #[test]
    fn what_a_client_says_is_cut_at_a_character_and_without_control_characters() {
        let client = Client::unknown().label(format!("a\0b\n{}", "é".repeat(80))).user_agent(" \t ");
        let tidy = client.tidy();
        let label = tidy.label.unwrap();
        assert_eq!(label.len(), 100);
        assert!(label.starts_with("abé"));
        assert_eq!(tidy.user_agent, None);
    }
}
