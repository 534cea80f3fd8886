use std::{
    collections::BTreeMap,
    fmt::{self, Display},
};

use super::path::is_within;

/// What is wrong with one value. `Display` gives the text for clients, which stays the same over releases.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// A required field is not there.
    Missing,
    /// It is `null` and must not be.
    Null,
    /// The type knows no such field.
    Unknown,
    /// The field stands there twice.
    Duplicate,
    /// It is none of these names.
    Choice(&'static [&'static str]),
    /// It is a whole number outside these bounds.
    Range {
        /// The smallest that is accepted, where there is such a bound.
        min: Option<i128>,
        /// The largest that is accepted, where there is such a bound.
        max: Option<i128>,
    },
    /// It must have this many items.
    Length(usize),
    /// It is not, and cannot be read as, this: `integer`, `date`, `UUID`.
    Type(&'static str),
    /// It is no object where the type has fields.
    NotAnObject,
    /// It is wrong in a way that has no words of its own.
    Invalid,
    /// The type itself refused it, in its own words. They may repeat the value.
    Refused(String),
    /// A rule of `garde` was broken.
    Rule(String),
}

impl Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => formatter.write_str("Missing data for required field."),
            Self::Null => formatter.write_str("Field may not be null."),
            Self::Unknown => formatter.write_str("Unknown field."),
            Self::Duplicate => formatter.write_str("Duplicate field."),
            Self::Choice(_) => formatter.write_str("Not a valid choice."),
            Self::Range { min: Some(min), max: Some(max) } => {
                write!(formatter, "Must be between {min} and {max}.")
            }
            Self::Range { min: Some(min), max: None } => write!(formatter, "Must be at least {min}."),
            Self::Range { min: None, max: Some(max) } => write!(formatter, "Must be at most {max}."),
            Self::Range { min: None, max: None } | Self::Invalid => formatter.write_str("Invalid value."),
            Self::Length(items) => write!(formatter, "Length must be {items}."),
            Self::Type(name) => write!(formatter, "Not a valid {name}."),
            Self::NotAnObject => formatter.write_str("Invalid input type."),
            Self::Refused(message) | Self::Rule(message) => formatter.write_str(message),
        }
    }
}

/// A problem and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fault {
    /// Such as `address.zip` or `tags[1]`; empty when the value as a whole is meant.
    pub path: String,
    /// What is wrong there.
    pub problem: Problem,
}

/// Everything that is wrong with a value, at least one fault, in the order of their paths.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} of the values are wrong", .0.len())]
pub struct Faults(Vec<Fault>);

impl Faults {
    pub(crate) fn new(faults: Vec<Fault>) -> Self {
        Self(faults)
    }

    /// One fault.
    #[must_use]
    pub fn one(path: impl Into<String>, problem: Problem) -> Self {
        Self(vec![Fault { path: path.into(), problem }])
    }

    /// The faults, in the order of their paths.
    pub fn iter(&self) -> std::slice::Iter<'_, Fault> {
        self.0.iter()
    }

    /// The texts by path; faults of the value as a whole are under `""`.
    #[must_use]
    pub fn messages(&self) -> BTreeMap<String, Vec<String>> {
        let mut messages = BTreeMap::<String, Vec<String>>::new();
        for fault in &self.0 {
            messages.entry(fault.path.clone()).or_default().push(fault.problem.to_string());
        }
        messages
    }

    /// Is one of the faults at this path, or inside it, or around it?
    pub(crate) fn touch(&self, path: &str) -> bool {
        self.0.iter().any(|fault| is_within(path, &fault.path) || is_within(&fault.path, path))
    }

    pub(crate) fn into_vec(self) -> Vec<Fault> {
        self.0
    }
}

impl<'a> IntoIterator for &'a Faults {
    type Item = &'a Fault;
    type IntoIter = std::slice::Iter<'a, Fault>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
