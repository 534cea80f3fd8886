use std::fmt::{self, Display};

use serde::de::{self, Expected, Unexpected};

use super::{
    path::{Path, Step},
    problem::Problem,
};

/// Why a pass stopped: `T`'s own code returned an error, so there is nothing to go on with.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) kind: Kind,
    /// Where, once a level that knows has added it.
    pub(super) steps: Option<Vec<Step>>,
}

#[derive(Debug, PartialEq)]
pub(super) enum Kind {
    Missing(&'static str),
    Unknown(String),
    Variant(&'static [&'static str]),
    /// The key of a map, not its value.
    Key(Problem),
    Other(Problem),
}

impl Refusal {
    /// Adds the path of the value that was being read. The innermost level comes first and is the one that counts.
    pub(super) fn at(mut self, path: &Path<'_>) -> Self {
        if self.steps.is_none() {
            let mut steps = path.steps();
            match &self.kind {
                Kind::Missing(field) => steps.push(Step::Key((*field).to_owned())),
                Kind::Unknown(field) => steps.push(Step::Key(field.clone())),
                Kind::Variant(_) | Kind::Key(_) | Kind::Other(_) => {}
            }
            self.steps = Some(steps);
        }
        self
    }

    /// Does the refusal itself say which field it is about?
    pub(super) fn names_a_field(&self) -> bool {
        self.steps.is_some() || matches!(self.kind, Kind::Missing(_) | Kind::Unknown(_))
    }

    /// The key at `path` was refused, whatever its value is.
    pub(super) fn of_key(mut self, path: &Path<'_>) -> Self {
        if self.steps.is_none() {
            self.kind = Kind::Key(self.kind.into_problem());
        }
        self.at(path)
    }

    /// A string was refused by a type that says what it `expected`, which gives a known text instead of the parser's.
    pub(super) fn of_string(mut self, expected: &str) -> Self {
        if self.steps.is_none()
            && let Kind::Other(Problem::Refused(_)) = self.kind
            && let Some(name) = parsed_type(expected)
        {
            self.kind = Kind::Other(Problem::Type(name));
        }
        self
    }

    fn other(problem: Problem) -> Self {
        Self { kind: Kind::Other(problem), steps: None }
    }
}

impl Kind {
    pub(super) fn into_problem(self) -> Problem {
        match self {
            Self::Missing(_) => Problem::Missing,
            Self::Unknown(_) => Problem::Unknown,
            Self::Variant(names) => Problem::Choice(names),
            Self::Key(problem) | Self::Other(problem) => problem,
        }
    }
}

impl Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", self.kind)
    }
}

impl std::error::Error for Refusal {}

impl de::Error for Refusal {
    fn custom<T: Display>(message: T) -> Self {
        let message = message.to_string();
        // serde names the Rust type here, which says nothing to a client.
        let is_unclear = message.starts_with("data did not match any variant");
        Self::other(if is_unclear { Problem::Invalid } else { Problem::Refused(message) })
    }

    fn missing_field(field: &'static str) -> Self {
        Self { kind: Kind::Missing(field), steps: None }
    }

    fn unknown_field(field: &str, _: &'static [&'static str]) -> Self {
        Self { kind: Kind::Unknown(field.to_owned()), steps: None }
    }

    fn duplicate_field(_: &'static str) -> Self {
        Self::other(Problem::Duplicate)
    }

    fn unknown_variant(_: &str, names: &'static [&'static str]) -> Self {
        Self { kind: Kind::Variant(names), steps: None }
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::other(match found {
            Unexpected::Unit => Problem::Null,
            _ => expectation(&expected.to_string()),
        })
    }

    /// As `invalid_type`; the value is not repeated, it may be a secret.
    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::other(expectation(&expected.to_string()))
    }

    fn invalid_length(_: usize, expected: &dyn Expected) -> Self {
        Self::other(expectation(&expected.to_string()))
    }
}

/// The problem of a value that is not what serde's or a type's own visitor says it expected.
fn expectation(expected: &str) -> Problem {
    match expected {
        "i8" | "i16" | "i32" | "i64" | "i128" | "isize" | "u8" | "u16" | "u32" | "u64" | "u128" | "usize" => {
            Problem::Type("integer")
        }
        "f32" | "f64" => Problem::Type("number"),
        "a boolean" => Problem::Type("boolean"),
        "a string" => Problem::Type("string"),
        "a sequence" => Problem::Type("list"),
        "a map" => Problem::Type("mapping type"),
        _ if ["struct ", "tuple struct ", "enum ", "internally tagged enum ", "adjacently tagged enum "]
            .iter()
            .any(|kind| expected.starts_with(kind)) =>
        {
            Problem::NotAnObject
        }
        _ => match parsed_type(expected) {
            Some(name) => Problem::Type(name),
            None => Problem::Refused(format!("Must be {expected}.")),
        },
    }
}

/// The name of a well known type that is written as a string, by what its visitor expects.
fn parsed_type(expected: &str) -> Option<&'static str> {
    let has = |word| expected.contains(word);
    Some(match expected {
        "IP address" => "IP address",
        "IPv4 address" => "IPv4 address",
        "IPv6 address" => "IPv6 address",
        "socket address" => "socket address",
        _ if has("UUID") => "UUID",
        _ if has("date and time") || has("RFC 3339") => "datetime",
        _ if has("date string") => "date",
        _ if has("time string") => "time",
        _ if has("URL") => "URL",
        _ if has("Decimal") => "number",
        _ => return None,
    })
}
