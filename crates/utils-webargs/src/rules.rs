use std::{borrow::Cow, collections::HashMap, fmt::Display};

use garde::{
    Validate,
    i18n::{I18n, InvalidCreditCard, InvalidEmail, InvalidPhoneNumber, InvalidUrl, IpKind, with_i18n},
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::engine::{
    Fault, Faults, MOST_FAULTS, Outcome, Problem, Reading,
    object::plain,
    path::{LONGEST_KEY, is_within, push_cut},
    search,
};

/// No path is followed much further.
const LONGEST_PATH: usize = 500;

/// As [`collect`](crate::collect), and then the type's `garde` rules: wrong types, missing and unknown fields and broken
/// rules in one answer.
///
/// A rule is judged only where its field could be read. There are at most 50 faults, those of the types first.
///
/// # Errors
/// [`Faults`], never empty.
///
/// # Examples
/// ```
/// use serde_json::json;
/// use utils_webargs::{Reading, collect_valid};
///
/// #[derive(Debug, serde::Deserialize, garde::Validate)]
/// struct Post {
///     #[garde(length(min = 3))]
///     title: String,
///     #[garde(range(max = 5))]
///     stars: u8,
/// }
///
/// let faults = collect_valid::<Post>(&json!({"title": "a", "stars": "many"}), Reading::Typed, &()).unwrap_err();
/// assert_eq!(faults.messages()["title"], ["Shorter than minimum length 3."]);
/// assert_eq!(faults.messages()["stars"], ["Not a valid integer."]);
/// ```
pub fn collect_valid<T: DeserializeOwned + Validate>(
    value: &Value,
    reading: Reading,
    context: &T::Context,
) -> Result<T, Faults> {
    let outcome = search::<T>(value, reading);
    let made_up = outcome.made_up();
    let is_judged = |path: &str| {
        !made_up.iter().any(|made_up| is_within(path, made_up))
            && !outcome.faults.as_ref().is_some_and(|faults| faults.touch(path))
    };
    let broken = match &outcome.built {
        Some(built) => broken_rules(built, context, || FieldNames::of(&outcome, value, reading), is_judged),
        None => Vec::new(),
    };
    match (outcome.built, outcome.faults) {
        (Some(built), None) if broken.is_empty() => Ok(built),
        // Without faults there is a value, and without a value there are faults.
        (_, None) => Err(Faults::new(broken)),
        (_, Some(faults)) => {
            let mut all = faults.into_vec();
            let places = MOST_FAULTS.saturating_sub(all.len());
            all.extend(broken.into_iter().take(places));
            all.sort_by(|one, other| one.path.cmp(&other.path));
            Err(Faults::new(all))
        }
    }
}

/// The rules that the value breaks, in the order of their paths; no more than anybody reads, since a list of a million
/// items breaks a rule a million times. `names` is asked only when there are any.
pub(crate) fn broken_rules<T: Validate>(
    value: &T,
    context: &T::Context,
    names: impl FnOnce() -> FieldNames,
    is_judged: impl Fn(&str) -> bool,
) -> Vec<Fault> {
    let Err(report) = with_i18n(Texts, || value.validate_with(context)) else { return Vec::new() };
    let names = names();
    let broken = report.iter().map(|(path, error)| (names.on_the_wire(&path.to_string()), error));
    let judged = broken.filter(|(path, _)| is_judged(path)).take(MOST_FAULTS);
    let mut faults: Vec<Fault> = judged
        .map(|(path, error)| Fault { path, problem: Problem::Rule(error.message().to_owned()) })
        .collect();
    faults.sort_by(|one, other| one.path.cmp(&other.path));
    faults
}

/// The names that serde gives to the fields of each struct, by the struct's path without indexes.
#[derive(Default)]
pub(crate) struct FieldNames(HashMap<String, &'static [&'static str]>);

impl FieldNames {
    pub(crate) fn of<T: DeserializeOwned>(outcome: &Outcome<T>, value: &Value, reading: Reading) -> Self {
        let structs = outcome.survey(value, reading).structs;
        Self(structs.into_iter().map(|(path, fields)| (without_indexes(&path), fields)).collect())
    }

    /// garde knows the fields by their names in Rust. A client knows them by those of serde: `firstName` for
    /// `first_name`. Two names are one when they differ in case and underscores only.
    fn on_the_wire(&self, path: &str) -> String {
        let mut wire = String::new();
        for part in path.split('.') {
            let (name, index) = part.split_at(part.find('[').unwrap_or(part.len()));
            let known = self.0.get(&without_indexes(&wire)).copied().unwrap_or_default();
            let same = known.iter().find(|known| **known == name);
            let alike = || known.iter().find(|known| plain(known) == plain(name));
            if !wire.is_empty() {
                wire.push('.');
            }
            push_cut(&mut wire, same.or_else(alike).copied().unwrap_or(name), LONGEST_KEY);
            push_cut(&mut wire, index, LONGEST_KEY);
            // garde does not tell a dot in a key of a map from one between two names.
            if wire.len() > LONGEST_PATH {
                break;
            }
        }
        wire
    }
}

fn without_indexes(path: &str) -> String {
    let mut inside = false;
    path.chars()
        .filter(|character| {
            inside = *character == '[' || inside && *character != ']';
            !inside && *character != ']'
        })
        .collect()
}

/// A rule for `#[garde(custom(between(1, 100)))]`: `Must be between 1 and 100.`
///
/// garde's own `range` says only which of the two bounds was broken.
///
/// # Examples
/// ```
/// use utils_webargs::between;
///
/// #[derive(serde::Deserialize, garde::Validate)]
/// struct Page {
///     #[garde(custom(between(1, 100)))]
///     limit: u32,
/// }
/// ```
pub fn between<T: PartialOrd + Display, C>(min: T, max: T) -> impl FnOnce(&T, &C) -> garde::Result {
    move |value, _| {
        if *value >= min && *value <= max {
            return Ok(());
        }
        Err(garde::Error::new(format!("Must be between {min} and {max}.")))
    }
}

/// A rule for `#[garde(custom(length_between(3, 20)))]`, counted in characters: `Length must be between 3 and 20.`, or
/// `Length must be 3.` when both are the same.
pub fn length_between<T: AsRef<str>, C>(min: usize, max: usize) -> impl FnOnce(&T, &C) -> garde::Result {
    move |text, _| {
        let length = text.as_ref().chars().count();
        if (min..=max).contains(&length) {
            return Ok(());
        }
        Err(garde::Error::new(match min == max {
            true => format!("Length must be {min}."),
            false => format!("Length must be between {min} and {max}."),
        }))
    }
}

/// A rule for `#[garde(custom(one_of(&["new", "old"])))]`: `Not a valid choice.`
pub fn one_of<T: AsRef<str>, C>(choices: &'static [&'static str]) -> impl FnOnce(&T, &C) -> garde::Result {
    move |text, _| match choices.contains(&text.as_ref()) {
        true => Ok(()),
        false => Err(garde::Error::new("Not a valid choice.")),
    }
}

/// The texts of the rules: those of webargs where it has the rule.
struct Texts;

impl I18n for Texts {
    fn length_lower_than(&self, min: usize) -> Cow<'static, str> {
        format!("Shorter than minimum length {min}.").into()
    }

    fn length_greater_than(&self, max: usize) -> Cow<'static, str> {
        format!("Longer than maximum length {max}.").into()
    }

    fn range_lower_than(&self, min: &dyn Display) -> Cow<'static, str> {
        format!("Must be at least {min}.").into()
    }

    fn range_greater_than(&self, max: &dyn Display) -> Cow<'static, str> {
        format!("Must be at most {max}.").into()
    }

    fn credit_card_invalid(&self, _: InvalidCreditCard) -> Cow<'static, str> {
        "Not a valid credit card number.".into()
    }

    fn pattern_no_match(&self, _: &dyn Display) -> Cow<'static, str> {
        "String does not match expected pattern.".into()
    }

    fn contains_missing(&self, part: &dyn Display) -> Cow<'static, str> {
        format!("Must contain \"{part}\".").into()
    }

    fn url_invalid(&self, _: InvalidUrl) -> Cow<'static, str> {
        "Not a valid URL.".into()
    }

    fn prefix_missing(&self, part: &dyn Display) -> Cow<'static, str> {
        format!("Must begin with \"{part}\".").into()
    }

    fn suffix_missing(&self, part: &dyn Display) -> Cow<'static, str> {
        format!("Must end with \"{part}\".").into()
    }

    fn phone_number_invalid(&self, _: InvalidPhoneNumber) -> Cow<'static, str> {
        "Not a valid phone number.".into()
    }

    fn ip_invalid(&self, kind: IpKind) -> Cow<'static, str> {
        format!("Not a valid {kind} address.").into()
    }

    fn matches_field_mismatch(&self, field: &dyn Display) -> Cow<'static, str> {
        format!("Must be the same as {field}.").into()
    }

    fn email_invalid(&self, _: InvalidEmail) -> Cow<'static, str> {
        "Not a valid email address.".into()
    }

    fn ascii_invalid(&self) -> Cow<'static, str> {
        "Must be ASCII characters only.".into()
    }

    fn alphanumeric_invalid(&self) -> Cow<'static, str> {
        "Must be letters and digits only.".into()
    }

    fn required_not_set(&self) -> Cow<'static, str> {
        "Missing data for required field.".into()
    }
}
