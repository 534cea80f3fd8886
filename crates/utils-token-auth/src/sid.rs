use std::{fmt, str::FromStr};

use base64_simd::{Out, URL_SAFE_NO_PAD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The id of a session: 128 random bits, the `rfid` claim of an access token.
///
/// Written as 22 base64url characters. The 32 hexadecimal digits of a UUID, as flask-utils wrote its `rfid`, are
/// read as well. `Debug` shows only the beginning, so that a log line does not hand out ids.
///
/// # Examples
/// ```
/// use utils_token_auth::Sid;
///
/// let session = Sid::from_bytes([0xfb; 16]);
/// assert_eq!(session.to_string(), "-_v7-_v7-_v7-_v7-_v7-w");
/// assert_eq!(session.to_string().parse(), Ok(session));
/// assert_eq!("fbfbfbfbfbfbfbfbfbfbfbfbfbfbfbfb".parse(), Ok(session));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sid([u8; 16]);

impl Sid {
    /// Draws a new id from the operating system's generator.
    ///
    /// # Errors
    /// [`RandomError`] when the operating system has no randomness to give.
    pub fn random() -> Result<Self, RandomError> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(RandomError)?;
        Ok(Self(bytes))
    }

    /// The id with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The id as bytes, which is how a database holds it.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    fn with_text<T>(self, use_text: impl FnOnce(&str) -> T) -> T {
        let mut text = [0; 22];
        use_text(URL_SAFE_NO_PAD.encode_as_str(&self.0, Out::from_slice(&mut text)))
    }
}

impl fmt::Display for Sid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_text(|text| formatter.pad(text))
    }
}

impl fmt::Debug for Sid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_text(|text| write!(formatter, "Sid({}…)", text.get(..4).unwrap_or_default()))
    }
}

impl FromStr for Sid {
    type Err = ParseSidError;

    fn from_str(text: &str) -> Result<Self, ParseSidError> {
        let mut bytes = [0; 16];
        match text.len() {
            22 => match URL_SAFE_NO_PAD.decode(text.as_bytes(), Out::from_slice(&mut bytes)) {
                Ok(_) => Ok(Self(bytes)),
                Err(_) => Err(ParseSidError),
            },
            32 => {
                for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
                    *byte = hex_digit(digits[0])? << 4 | hex_digit(digits[1])?;
                }
                Ok(Self(bytes))
            }
            _ => Err(ParseSidError),
        }
    }
}

fn hex_digit(digit: u8) -> Result<u8, ParseSidError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(ParseSidError),
    }
}

impl Serialize for Sid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.with_text(|text| serializer.serialize_str(text))
    }
}

impl<'de> Deserialize<'de> for Sid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(SidVisitor)
    }
}

struct SidVisitor;

impl de::Visitor<'_> for SidVisitor {
    type Value = Sid;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a session id")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Sid, E> {
        text.parse().map_err(E::custom)
    }
}

/// The text is not a session id: neither 22 base64url characters nor 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a session id has 22 base64url characters or 32 hexadecimal digits")]
pub struct ParseSidError;

/// The operating system has no randomness to give.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the operating system has no randomness to give")]
pub struct RandomError(#[source] pub(crate) getrandom::Error);
