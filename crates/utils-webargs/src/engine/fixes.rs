use std::collections::HashMap;

use super::path::{Step, show};

/// Strings that stand in for a refused one, for types that parse a string: most take one of these.
pub(super) const STRINGS: [&str; 15] = [
    "",
    "0",
    "00000000-0000-0000-0000-000000000000",
    "2000-01-01",
    "2000-01-01T00:00:00Z",
    "2000-01-01T00:00:00",
    "00:00:00",
    "127.0.0.1",
    "::1",
    "a@example.com",
    "http://example.com/",
    "a",
    "P1D",
    "1s",
    "127.0.0.1:80",
];

/// What stands in before the strings for types that take any kind of value.
pub(super) const MADE_UP: [&str; 5] = ["null", "0", "false", "[]", "{}"];

/// What the next pass does with a value that made the last one stop.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Fix {
    /// The field is absent: an empty object where the type has fields, so that those are asked for one by one;
    /// otherwise the first stand-in.
    Absent,
    /// Stand-in number so and so instead of the value.
    StandIn(usize),
    /// This name instead of one that is not known.
    Name(&'static str),
    /// As if it were not there.
    LeftOut,
}

impl Fix {
    /// What to try when this one did not help; `None` when the fault must be looked for further up.
    pub(super) fn next(self) -> Option<Self> {
        match self {
            Self::Absent => Some(Self::StandIn(1)),
            Self::Name(_) => Some(Self::StandIn(0)),
            Self::StandIn(index) if index + 1 < MADE_UP.len() + STRINGS.len() => {
                Some(Self::StandIn(index + 1))
            }
            Self::StandIn(_) => Some(Self::LeftOut),
            Self::LeftOut => None,
        }
    }

    fn stands_in(self) -> bool {
        !matches!(self, Self::LeftOut)
    }
}

/// The fixes at a path and below it. A pass carries the part for the value it is at, so that looking one up costs
/// nothing where there is none.
#[derive(Debug, Default)]
pub(super) struct Fixes {
    pub(super) here: Option<Fix>,
    keys: HashMap<String, Fixes>,
    items: HashMap<usize, Fixes>,
}

impl Fixes {
    pub(super) fn key(&self, key: &str) -> Option<&Self> {
        self.keys.get(key)
    }

    pub(super) fn item(&self, index: usize) -> Option<&Self> {
        self.items.get(&index)
    }

    pub(super) fn at(&mut self, steps: &[Step]) -> &mut Option<Fix> {
        let mut fixes = self;
        for step in steps {
            fixes = match step {
                Step::Key(key) => fixes.keys.entry(key.clone()).or_default(),
                Step::Item(index) => fixes.items.entry(*index).or_default(),
            };
        }
        &mut fixes.here
    }

    /// The fixes below this path, if there are any.
    pub(super) fn get(&self, steps: &[Step]) -> Option<&Self> {
        steps.iter().try_fold(self, |fixes, step| match step {
            Step::Key(key) => fixes.key(key),
            Step::Item(index) => fixes.item(*index),
        })
    }

    /// The paths of all fixes, as they are shown.
    pub(super) fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.add_paths(&mut Vec::new(), &mut paths);
        paths
    }

    fn add_paths(&self, steps: &mut Vec<Step>, paths: &mut Vec<String>) {
        if self.here.is_some() {
            paths.push(show(steps));
        }
        let keys = self.keys.iter().map(|(key, below)| (Step::Key(key.clone()), below));
        let items = self.items.iter().map(|(index, below)| (Step::Item(*index), below));
        for (step, below) in keys.chain(items) {
            steps.push(step);
            below.add_paths(steps, paths);
            steps.pop();
        }
    }

    /// Is what is below this path made up? So it is where the name of a variant was, which decides the content.
    pub(super) fn makes_up_content(&self) -> bool {
        let has_named_key = || self.keys.values().any(|fixes| matches!(fixes.here, Some(Fix::Name(_))));
        !matches!(self.here, None | Some(Fix::Absent)) || has_named_key()
    }

    /// The keys that get a stand-in although the object may not have them.
    pub(super) fn standing_keys(&self) -> impl Iterator<Item = &str> {
        let standing = self.keys.iter().filter(|(_, fixes)| fixes.here.is_some_and(Fix::stands_in));
        standing.map(|(key, _)| key.as_str())
    }
}
