use std::{fmt, marker::PhantomData};

use serde::{Deserialize, Deserializer, de::Visitor};
use zeroize::Zeroize;

/// How a secret announces itself to whoever reads settings.
pub(crate) const SECRET: &str = "$utils_config::Secret";

/// A value that is not printed and not serialized by accident, and is overwritten in memory when it is dropped.
///
/// `Debug` shows `[secret]`; there is no `Display` and no `Serialize`. [`expose`](Self::expose) gives the value. What
/// the value was copied from, such as the environment or the text of a file, is not overwritten.
///
/// # Examples
/// ```
/// use utils_config::Secret;
///
/// let key = Secret::new("hunter2".to_owned());
/// assert_eq!(format!("{key:?}"), "[secret]");
/// assert_eq!(key.expose(), "hunter2");
/// ```
#[derive(Clone)]
pub struct Secret<T: Zeroize = String>(T);

impl<T: Zeroize> Secret<T> {
    /// Keeps the value.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value, for where it is needed.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> From<T> for Secret<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[secret]")
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<'de, T: Zeroize + Deserialize<'de>> Deserialize<'de> for Secret<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(SECRET, Inside(PhantomData))
    }
}

struct Inside<T>(PhantomData<T>);

impl<'de, T: Zeroize + Deserialize<'de>> Visitor<'de> for Inside<T> {
    type Value = Secret<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a secret")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Secret<T>, D::Error> {
        T::deserialize(deserializer).map(Secret)
    }
}
