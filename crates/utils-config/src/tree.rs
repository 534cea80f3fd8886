use std::{collections::BTreeMap, fmt, path::PathBuf};

use serde_json::{Map, Value};

use crate::spellings::Spellings;

/// Where the value of a setting came from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// The program: its type's default, or [`Loader::defaults`](crate::Loader::defaults).
    Default,
    /// The file.
    File(PathBuf),
    /// The environment variable of this name.
    Variable(String),
    /// The file that the environment variable of this name, which ends with `_FILE`, names.
    SecretFile(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("default"),
            Self::File(path) => write!(formatter, "{}", path.display()),
            Self::Variable(name) => write!(formatter, "environment variable {name}"),
            Self::SecretFile(name) => write!(formatter, "file named by {name}"),
        }
    }
}

/// The settings of all layers laid over each other, and which layer each came from.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    pub(crate) root: Map<String, Value>,
    origins: BTreeMap<String, Origin>,
    spellings: Spellings,
}

impl Tree {
    pub(crate) fn new(spellings: Spellings) -> Self {
        Self { spellings, ..Self::default() }
    }

    /// Lays a whole layer over what is there: tables are merged, everything else replaces.
    pub(crate) fn lay(&mut self, layer: Map<String, Value>, origin: &Origin) {
        let mut parts = Vec::new();
        self.lay_below(&mut parts, layer, origin);
    }

    fn lay_below(&mut self, parts: &mut Vec<String>, layer: Map<String, Value>, origin: &Origin) {
        for (key, value) in layer {
            parts.push(key);
            match value {
                Value::Object(below) if !below.is_empty() => self.lay_below(parts, below, origin),
                value => self.set(parts, value, origin.clone()),
            }
            parts.pop();
        }
    }

    /// Sets one setting. A key that is there in another spelling is the same one where spelling does not matter.
    pub(crate) fn set(&mut self, parts: &[String], value: Value, origin: Origin) {
        let Some((last, above)) = parts.split_last() else { return };
        let is_variable = matches!(origin, Origin::Variable(_) | Origin::SecretFile(_));
        let (mut table, mut path) = (&mut self.root, String::new());
        for part in above {
            let key = self.spellings.known(table, &path, part, is_variable);
            path = below(&path, &key);
            let slot = table.entry(key).or_insert_with(|| Value::Object(Map::new()));
            if !slot.is_object() {
                *slot = Value::Object(Map::new());
            }
            let Value::Object(inner) = slot else { return };
            table = inner;
        }
        let key = self.spellings.known(table, &path, last, is_variable);
        path = below(&path, &key);
        table.insert(key, value);
        self.origins.retain(|known, _| !is_within(known, &path) && !is_within(&path, known));
        self.origins.insert(path, origin);
    }

    /// Where the setting at this path came from, or what it is in, or the first of what is in it. The path may be
    /// spelled as the type spells it.
    pub(crate) fn origin(&self, path: &str) -> Option<&Origin> {
        let plain = plain_path(path);
        let find = |is_it: &dyn Fn(&str) -> bool| self.origins.iter().find(|(known, _)| is_it(known));
        let found = find(&|known| is_within(path, known))
            .or_else(|| find(&|known| is_within(known, path)))
            .or_else(|| find(&|known| is_within(&plain, &plain_path(known))))
            .or_else(|| find(&|known| is_within(&plain_path(known), &plain)));
        found.map(|(_, origin)| origin)
    }

    /// The settings that are no tables, with their paths.
    pub(crate) fn leaves(&self) -> Vec<(String, &Value)> {
        let mut leaves = Vec::new();
        add_leaves("", &self.root, &mut leaves);
        leaves
    }
}

fn add_leaves<'a>(path: &str, table: &'a Map<String, Value>, leaves: &mut Vec<(String, &'a Value)>) {
    for (key, value) in table {
        let path = below(path, key);
        match value {
            Value::Object(inner) if !inner.is_empty() => add_leaves(&path, inner, leaves),
            value => leaves.push((path, value)),
        }
    }
}

fn below(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// The path without indexes, and without what only its spelling adds: `Http.max-size[1]` is `http.maxsize`.
pub(crate) fn plain_path(path: &str) -> String {
    let mut in_index = false;
    let kept = path.chars().filter(|character| {
        let was_in_index = in_index;
        in_index = *character == '[' || (in_index && *character != ']');
        !in_index && !was_in_index && !matches!(character, '_' | '-')
    });
    kept.flat_map(char::to_lowercase).collect()
}

/// Is the plain path `inner` the same as `outer`, or below it?
pub(crate) fn is_within(inner: &str, outer: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|rest| outer.is_empty() || rest.is_empty() || rest.starts_with('.'))
}
