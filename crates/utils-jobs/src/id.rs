use std::{convert::Infallible, fmt, hash, marker::PhantomData, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Stands for a job whose type is not known: `JobId<AnyJob>` is what a status or a list holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnyJob {}

/// The id of a job of type `J`. In text and JSON it is a string of 26 characters (a ULID), in the order of enqueueing.
///
/// Any text makes a `JobId`, so that one can stand in a request's path; an id that nobody gave out finds no job.
pub struct JobId<J = AnyJob> {
    text: Arc<str>,
    job: PhantomData<fn() -> J>,
}

impl<J> JobId<J> {
    pub(crate) fn new(text: &str) -> Self {
        Self { text: text.into(), job: PhantomData }
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The same id, of any job.
    #[must_use]
    pub fn untyped(&self) -> JobId {
        JobId { text: Arc::clone(&self.text), job: PhantomData }
    }

    /// The same id, of a job of type `T`: the caller knows which it is.
    #[must_use]
    pub fn typed<T>(&self) -> JobId<T> {
        JobId { text: Arc::clone(&self.text), job: PhantomData }
    }
}

impl<J> Clone for JobId<J> {
    fn clone(&self) -> Self {
        Self { text: Arc::clone(&self.text), job: PhantomData }
    }
}

impl<J> PartialEq for JobId<J> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl<J> Eq for JobId<J> {}

impl<J> hash::Hash for JobId<J> {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl<J> fmt::Debug for JobId<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("JobId").field(&self.text).finish()
    }
}

impl<J> fmt::Display for JobId<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl<J> AsRef<str> for JobId<J> {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

impl<J> FromStr for JobId<J> {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self::new(text))
    }
}

impl<J> Serialize for JobId<J> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de, J> Deserialize<'de> for JobId<J> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self::new(&text))
    }
}
