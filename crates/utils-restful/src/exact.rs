use std::{fmt, str::FromStr};

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use serde_json::value::RawValue;

/// A decimal that is a JSON number with every digit: `1.10` stays `1.10` in both directions.
///
/// ```
/// use rust_decimal::Decimal;
/// use utils_restful::Exact;
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Price {
///     amount: Exact,
/// }
///
/// let price: Price = serde_json::from_str(r#"{"amount":1.10}"#)?;
/// assert_eq!(price.amount.0, Decimal::new(110, 2));
/// assert_eq!(serde_json::to_string(&price)?, r#"{"amount":1.10}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
///
/// It reads a JSON string of digits too (`"1.10"`), because JavaScript has no number that is exact. A number
/// of more than 28 digits that would have to be rounded is refused.
///
/// JSON only, and read from text: other formats, and fields inside `#[serde(flatten)]`, internally tagged and
/// untagged enums cannot hold it, since serde keeps their numbers as `f64`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Exact(pub Decimal);

impl fmt::Display for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<Decimal> for Exact {
    fn from(decimal: Decimal) -> Self {
        Self(decimal)
    }
}

impl From<Exact> for Decimal {
    fn from(exact: Exact) -> Self {
        exact.0
    }
}

impl Serialize for Exact {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.0.to_string()).map_err(ser::Error::custom)?.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Exact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let text = raw.get();
        let digits = match text.as_bytes() {
            [b'"', ..] => serde_json::from_str::<String>(text).map_err(de::Error::custom)?,
            [b'-' | b'0'..=b'9', ..] => text.to_owned(),
            _ => return Err(de::Error::custom("expected a decimal number")),
        };
        exact(&digits)
            .map(Self)
            .ok_or_else(|| de::Error::custom("expected a decimal number of at most 28 digits"))
    }
}

fn exact(digits: &str) -> Option<Decimal> {
    match digits.contains(['e', 'E']) {
        true => Decimal::from_scientific(digits).ok(),
        false => Decimal::from_str_exact(digits).ok(),
    }
}

impl FromStr for Exact {
    type Err = rust_decimal::Error;

    /// Reads `1.10`; what would have to be rounded is an error.
    fn from_str(digits: &str) -> Result<Self, Self::Err> {
        Decimal::from_str_exact(digits).map(Self)
    }
}
