//! All faults of a value for any type that derives serde's own `Deserialize`, not the first only.
//!
//! serde stops at the first error, so the type is read in several passes. In each, [`Reader`](reader::Reader) notes the
//! mismatches that it sees from serde's type hints and goes on with a stand-in of the hinted type. Where the type's own
//! code refuses a value (a bad UUID) or misses a field, the pass ends; the next one has a stand-in at that path.
mod fixes;
mod key;
mod list;
pub(crate) mod object;
pub(crate) mod path;
mod problem;
mod reader;
mod reading;
mod refusal;
mod variant;

use std::{cell::RefCell, collections::BTreeMap};

use serde::de::DeserializeOwned;
use serde_json::Value;

use self::{
    fixes::{Fix, Fixes},
    path::{Path, Step, show},
    reader::{Pass, Reader, Seen},
    refusal::{Kind, Refusal},
};
pub use self::{
    problem::{Fault, Faults, Problem},
    reading::Reading,
};

/// More faults than this help nobody.
pub(crate) const MOST_FAULTS: usize = 50;
/// Passes × (values + text) is bounded by this, whatever the client sends.
const MOST_WORK: usize = 1_000_000;
const MOST_PASSES: usize = 400;
/// A larger object is not searched for the one field that serde did not name.
const MOST_PROBES: usize = 32;

/// Reads a `T` from the value, or finds every fault of it.
///
/// It works for every type that derives `Deserialize`, and needs no derive of its own. Inside `#[serde(flatten)]`,
/// internally tagged and untagged enums serde hides where it is, so that the fault may be that of the whole struct or
/// enum. A struct is an object; the list of its fields, which serde takes as well, is refused.
///
/// The work is bounded whatever the value is: at most 50 faults are found, fewer in a huge value.
///
/// # Errors
/// [`Faults`], never empty.
///
/// # Examples
/// ```
/// use serde_json::json;
/// use utils_webargs::{Reading, collect};
///
/// #[derive(Debug, serde::Deserialize)]
/// struct Post {
///     title: String,
///     stars: u8,
///     tags: Vec<String>,
/// }
///
/// let faults = collect::<Post>(&json!({"stars": 300, "tags": ["a", 1]}), Reading::Typed).unwrap_err();
/// let texts: Vec<String> = faults.iter().map(|fault| format!("{}: {}", fault.path, fault.problem)).collect();
/// assert_eq!(
///     texts,
///     [
///         "stars: Must be between 0 and 255.",
///         "tags[1]: Not a valid string.",
///         "title: Missing data for required field.",
///     ]
/// );
/// ```
pub fn collect<T: DeserializeOwned>(value: &Value, reading: Reading) -> Result<T, Faults> {
    let outcome = search(value, reading);
    match (outcome.built, outcome.faults) {
        (_, Some(faults)) => Err(faults),
        (Some(built), None) => Ok(built),
        (None, None) => Err(Faults::one("", Problem::Invalid)),
    }
}

/// What the passes came to.
pub(crate) struct Outcome<T> {
    /// The value as far as it could be built: faulty parts are stand-ins.
    pub(crate) built: Option<T>,
    pub(crate) faults: Option<Faults>,
    fixes: Fixes,
}

pub(crate) fn search<T: DeserializeOwned>(value: &Value, reading: Reading) -> Outcome<T> {
    let passes = (MOST_WORK / weight(value)).clamp(3, MOST_PASSES);
    let mut search =
        Search { value, reading, passes, faults: BTreeMap::new(), fixes: Fixes::default(), last: None };
    let mut built = None;
    while search.passes > 0 {
        match search.pass(true) {
            Ok(value) => {
                built = Some(value);
                break;
            }
            Err(refusal) => {
                if !search.go_on_after::<T>(refusal) {
                    break;
                }
            }
        }
    }
    let found: Vec<Fault> =
        search.faults.into_iter().map(|(steps, problem)| Fault { path: show(&steps), problem }).collect();
    let faults = match (&built, found.is_empty()) {
        (_, false) => Some(Faults::new(found)),
        (Some(_), true) => None,
        (None, true) => Some(Faults::one("", Problem::Invalid)),
    };
    Outcome { built, faults, fixes: search.fixes }
}

impl<T: DeserializeOwned> Outcome<T> {
    /// The paths at which the value is made up, as is all that is inside them.
    pub(crate) fn made_up(&self) -> Vec<String> {
        self.fixes.paths()
    }

    /// The structs and newtypes that reading the value comes to.
    pub(crate) fn survey(&self, value: &Value, reading: Reading) -> Survey {
        let survey = RefCell::new(Survey::default());
        let on_type = |path: &Path<'_>, seen| {
            let (path, mut survey) = (show(&path.steps()), survey.borrow_mut());
            match seen {
                Seen::Struct(fields) => survey.structs.push((path, fields)),
                Seen::Newtype(name) => survey.newtypes.push((path, name)),
                Seen::Untyped => survey.untyped.push(path),
            }
        };
        let pass = Pass {
            reading,
            limit: 0,
            found: RefCell::default(),
            on_type: Some(&on_type),
            troubled_last: true,
        };
        let reader = Reader { value: Some(value), path: &Path::Root, fixes: Some(&self.fixes), pass: &pass };
        // Only what it calls back with matters.
        drop(T::deserialize(reader));
        survey.into_inner()
    }
}

/// The types that a value is read as, by their paths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Survey {
    /// Structs, with the names of their fields.
    pub structs: Vec<(String, &'static [&'static str])>,
    /// Newtypes, with their names.
    pub newtypes: Vec<(String, &'static str)>,
    /// Values that are taken as they are, or that serde buffers for `flatten` and for tagged and untagged enums, and
    /// variants with content: which types are where in them is not known.
    pub untyped: Vec<String>,
}

/// Which structs and newtypes there are where in a `T` that is read from the value, faulty or not.
///
/// It tells which fields could be set, and which values are of a type that deserves care, such as a secret.
///
/// # Examples
/// ```
/// use serde_json::json;
/// use utils_webargs::{Reading, survey};
///
/// #[derive(serde::Deserialize)]
/// struct Settings {
///     port: u16,
///     key: Key,
/// }
/// #[derive(serde::Deserialize)]
/// struct Key(String);
///
/// let survey = survey::<Settings>(&json!({"port": 1, "key": "x"}), Reading::Settings);
/// assert_eq!(survey.structs, [(String::new(), &["port", "key"][..])]);
/// assert_eq!(survey.newtypes, [("key".to_owned(), "Key")]);
/// ```
#[must_use]
pub fn survey<T: DeserializeOwned>(value: &Value, reading: Reading) -> Survey {
    search::<T>(value, reading).survey(value, reading)
}

struct Search<'a> {
    value: &'a Value,
    reading: Reading,
    /// How many are left.
    passes: usize,
    faults: BTreeMap<Vec<Step>, Problem>,
    fixes: Fixes,
    /// Where the last fix was made.
    last: Option<Vec<Step>>,
}

impl Search<'_> {
    fn pass<T: DeserializeOwned>(&mut self, troubled_last: bool) -> Result<T, Refusal> {
        self.passes = self.passes.saturating_sub(1);
        let pass = Pass {
            reading: self.reading,
            limit: MOST_FAULTS,
            found: RefCell::default(),
            on_type: None,
            troubled_last,
        };
        let reader =
            Reader { value: Some(self.value), path: &Path::Root, fixes: Some(&self.fixes), pass: &pass };
        let result = T::deserialize(reader);
        for (steps, problem) in pass.found.into_inner() {
            self.note(steps, problem);
        }
        result
    }

    /// Notes a fault, unless what it is in or what it has in it is at fault already: it may come from a stand-in.
    fn note(&mut self, steps: Vec<Step>, problem: Problem) {
        if self.faults.len() >= MOST_FAULTS || self.faults.contains_key(&steps) {
            return;
        }
        let around =
            (0..steps.len()).map(|length| &steps[..length]).find(|outer| self.faults.contains_key(*outer));
        if let Some(outer) = around {
            // An absent object is told by its absent fields.
            let both_missing = problem == Problem::Missing && self.faults[outer] == Problem::Missing;
            if !both_missing {
                return;
            }
            let outer = outer.to_owned();
            self.faults.remove(&outer);
        }
        let is_made_up = (0..steps.len())
            .any(|length| self.fixes.get(&steps[..length]).is_some_and(Fixes::makes_up_content));
        let inside =
            self.faults.range(steps.clone()..).next().is_some_and(|(inner, _)| inner.starts_with(&steps));
        if !inside && !is_made_up {
            self.faults.insert(steps, problem);
        }
    }

    /// Notes why the pass stopped and prepares the next one; `false` when there is nothing left to try.
    fn go_on_after<T: DeserializeOwned>(&mut self, refusal: Refusal) -> bool {
        let mut steps = refusal.steps.clone().unwrap_or_default();
        if let Kind::Other(_) = refusal.kind
            && self.fixes.at(&steps).is_none()
        {
            // Where serde buffers, it complains about the whole: it is our last stand-in that did not fit, or one of
            // the fields that must be found first.
            if self.improve_last::<T>(&steps) {
                return true;
            }
            if let Some(culprit) = self.culprit::<T>(&steps) {
                steps = culprit;
            }
        }
        let first = match &refusal.kind {
            Kind::Missing(_) => Fix::Absent,
            Kind::Unknown(_) | Kind::Key(_) => Fix::LeftOut,
            Kind::Variant(names) => Fix::Name(names.first().copied().unwrap_or("")),
            Kind::Other(_) => Fix::StandIn(0),
        };
        let missing_again = first == Fix::Absent;
        let mut next = match *self.fixes.at(&steps) {
            None => {
                self.note(steps.clone(), refusal.kind.into_problem());
                Some(first)
            }
            // It was supplied and still not seen: only the parent can be left out.
            Some(_) if missing_again => None,
            Some(fix) => fix.next(),
        };
        while next.is_none() {
            steps.pop();
            if steps.is_empty() {
                return false;
            }
            next = match *self.fixes.at(&steps) {
                Some(Fix::LeftOut) => None,
                _ => Some(Fix::LeftOut),
            };
        }
        *self.fixes.at(&steps) = next;
        self.last = Some(steps);
        self.faults.len() < MOST_FAULTS
    }

    /// Looks for another stand-in at the last fix, if it is inside `steps`, with which serde says something else.
    fn improve_last<T: DeserializeOwned>(&mut self, steps: &[Step]) -> bool {
        let Some(last) = self.last.clone().filter(|last| last.len() > steps.len() && last.starts_with(steps))
        else {
            return false;
        };
        let before = *self.fixes.at(&last);
        let mut next = before.and_then(Fix::next);
        while let Some(fix) = next
            && fix != Fix::LeftOut
            && self.passes > 0
        {
            // A refusal of anything between the two is one of this stand-in.
            let refused = self.try_with::<T>(&last, fix).is_some_and(|other| {
                let steps_of_other = other.steps.unwrap_or_default();
                last.starts_with(&steps_of_other) && steps_of_other.starts_with(steps)
            });
            if !refused {
                *self.fixes.at(&last) = next;
                return true;
            }
            next = fix.next();
        }
        *self.fixes.at(&last) = before;
        false
    }

    /// What serde says with this fix. Notes nothing and leaves no fix behind.
    fn try_with<T: DeserializeOwned>(&mut self, steps: &[Step], fix: Fix) -> Option<Refusal> {
        *self.fixes.at(steps) = Some(fix);
        let refusal = self.try_pass::<T>();
        *self.fixes.at(steps) = None;
        refusal
    }

    /// A pass in the order of the fields that notes nothing.
    fn try_pass<T: DeserializeOwned>(&mut self) -> Option<Refusal> {
        let faults = self.faults.clone();
        let result = self.pass::<T>(false);
        self.faults = faults;
        result.err()
    }

    /// The field of the object at `steps` with which serde's complaint about the whole object changes.
    fn culprit<T: DeserializeOwned>(&mut self, steps: &[Step]) -> Option<Vec<Step>> {
        let object = value_at(self.value, steps)?.as_object()?;
        let refusal = self.try_pass::<T>().filter(|refusal| refusal.steps.as_deref() == Some(steps))?;
        if object.len() > MOST_PROBES {
            return None;
        }
        for key in object.keys() {
            let mut suspect = steps.to_vec();
            suspect.push(Step::Key(key.clone()));
            if self.fixes.at(&suspect).is_some() {
                continue;
            }
            // Null, and another value in case it was null.
            for stand_in in [Fix::StandIn(0), Fix::StandIn(1)] {
                if self.passes == 0 {
                    return None;
                }
                let is_guilty = self
                    .try_with::<T>(&suspect, stand_in)
                    .is_none_or(|other| other.steps == refusal.steps && other.kind != refusal.kind);
                if is_guilty {
                    return Some(suspect);
                }
            }
        }
        None
    }
}

fn value_at<'a>(value: &'a Value, steps: &[Step]) -> Option<&'a Value> {
    steps.iter().try_fold(value, |value, step| match step {
        Step::Key(key) => value.get(key),
        Step::Item(index) => value.get(index),
    })
}

/// The values in it, and a share for their text.
fn weight(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(weight).sum::<usize>(),
        Value::Object(object) => {
            1 + object.iter().map(|(key, value)| key.len() / 16 + weight(value)).sum::<usize>()
        }
        Value::String(text) => 1 + text.len() / 16,
        Value::Null | Value::Bool(_) | Value::Number(_) => 1,
    }
}
