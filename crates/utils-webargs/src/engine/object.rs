use serde::de::{DeserializeSeed, MapAccess, Visitor};
use serde_json::Value;

use super::{
    fixes::{Fix, Fixes},
    key::Key,
    path::Path,
    problem::Problem,
    reader::Reader,
    reading::Reading,
    refusal::Refusal,
};

impl Reader<'_> {
    /// A map, or a struct with these fields. serde asks for a map and names no field where a struct is flattened.
    pub(super) fn object<'de, V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        let object = match self.given() {
            Some(Value::Object(object)) => Some(object),
            Some(_) => {
                let is_struct = !fields.is_empty();
                self.wrong(if is_struct { Problem::NotAnObject } else { Problem::Type("mapping type") });
                None
            }
            None => None,
        };
        let mut entries: Vec<(&str, Option<&Value>)> = Vec::new();
        for (key, value) in object.into_iter().flatten() {
            match self.field(key, fields) {
                Some(field) => entries.push((field, Some(value))),
                None => self.pass.add(&Path::Key(self.path, key), Problem::Unknown),
            }
        }
        let given: Vec<&str> = entries.iter().map(|(key, _)| *key).collect();
        let has = |key: &str| given.contains(&key);
        let standing = self.fixes.into_iter().flat_map(Fixes::standing_keys).filter(|key| !has(key));
        entries.extend(standing.map(|key| (key, None)));
        if object.is_none() && !self.is_absent() {
            let missing =
                fields.iter().filter(|field| self.child(field).is_none_or(|fixes| fixes.here.is_none()));
            entries.extend(missing.map(|field| (*field, None)));
        }
        entries.retain(|(key, _)| self.child(key).and_then(|fixes| fixes.here) != Some(Fix::LeftOut));
        if self.pass.troubled_last {
            entries.sort_by_key(|(key, _)| self.child(key).is_some_and(|fixes| fixes.here.is_some()));
        }
        entries.reverse();
        visitor
            .visit_map(Entries { reader: self, entries, value: None })
            .map_err(|refusal: Refusal| refusal.at(self.path))
    }

    /// What the type calls this key. Only settings may write it differently, and may not have others.
    fn field<'k>(&self, key: &'k str, fields: &'static [&'static str]) -> Option<&'k str> {
        if self.pass.reading != Reading::Settings || fields.is_empty() {
            return Some(key);
        }
        let same = fields.iter().find(|field| **field == key);
        same.or_else(|| fields.iter().find(|field| plain(field) == plain(key))).copied()
    }

    fn child(&self, key: &str) -> Option<&Fixes> {
        self.fixes.and_then(|fixes| fixes.key(key))
    }
}

/// A name without what only its spelling adds: `maxSize`, `max-size` and `MAX_SIZE` are one.
pub(crate) fn plain(name: &str) -> String {
    name.chars().filter(|character| !matches!(character, '_' | '-')).flat_map(char::to_lowercase).collect()
}

struct Entries<'a> {
    reader: Reader<'a>,
    /// Last first.
    entries: Vec<(&'a str, Option<&'a Value>)>,
    value: Option<(&'a str, Option<&'a Value>)>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Refusal;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Refusal> {
        let Some(entry) = self.entries.pop() else { return Ok(None) };
        self.value = Some(entry);
        let path = Path::Key(self.reader.path, entry.0);
        seed.deserialize(Key(entry.0)).map(Some).map_err(|refusal| {
            // An unknown field is named by the refusal itself.
            if refusal.names_a_field() { refusal.at(self.reader.path) } else { refusal.of_key(&path) }
        })
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Refusal> {
        let Some((key, value)) = self.value.take() else {
            return Err(serde::de::Error::custom("the value was asked for before its key"));
        };
        let path = Path::Key(self.reader.path, key);
        let fixes = self.reader.fixes.and_then(|fixes| fixes.key(key));
        let reader = Reader { value, path: &path, fixes, pass: self.reader.pass };
        seed.deserialize(reader).map_err(|refusal| refusal.at(&path))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.entries.len())
    }
}
