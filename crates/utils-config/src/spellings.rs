use std::collections::HashMap;

use serde_json::{Map, Value};
use utils_webargs::Survey;

use crate::tree::plain_path;

/// Where two spellings of a key are the same key: `max-size` and `max_size` are one field of a struct, but two keys of a
/// map.
#[derive(Debug, Clone, Default)]
pub(crate) struct Spellings {
    /// The fields of each struct, by the plain form of its path; `None` when it is not known yet where structs are.
    fields: Option<HashMap<String, Vec<&'static str>>>,
}

impl Spellings {
    pub(crate) fn of(survey: &Survey) -> Self {
        let mut fields: HashMap<String, Vec<&'static str>> = HashMap::new();
        for (path, names) in &survey.structs {
            fields.entry(plain_path(path)).or_default().extend(*names);
        }
        Self { fields: Some(fields) }
    }

    /// The key as the table at this path has it already, or as it is given.
    ///
    /// A variable has no other way to write `Web-1` than `WEB_1`, so that it means the one key that is written so.
    pub(crate) fn known(
        &self,
        table: &Map<String, Value>,
        path: &str,
        key: &str,
        is_variable: bool,
    ) -> String {
        if table.contains_key(key) {
            return key.to_owned();
        }
        let mut alike = table.keys().filter(|known| plain_path(known) == plain_path(key));
        let fields = self.fields.as_ref().map(|fields| fields.get(&plain_path(path)));
        let same = match fields {
            None => alike.next(),
            Some(Some(fields)) if field(fields, key).is_some() => {
                alike.find(|known| field(fields, known) == field(fields, key))
            }
            Some(_) if is_variable => {
                let mut same = alike.filter(|known| known.replace('-', "_").to_lowercase() == key);
                same.next().filter(|_| same.next().is_none())
            }
            Some(_) => None,
        };
        same.map_or_else(|| key.to_owned(), Clone::clone)
    }
}

/// The field that the key means.
fn field<'a>(fields: &[&'a str], key: &str) -> Option<&'a str> {
    let exact = fields.iter().find(|field| **field == key);
    exact.or_else(|| fields.iter().find(|field| plain_path(field) == plain_path(key))).copied()
}
