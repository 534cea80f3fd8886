use std::{cell::RefCell, collections::HashSet, fmt};

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::engine::path::{Path, show};

/// More are not named.
const MOST: usize = 50;

/// The paths of the keys that an object has twice, each once.
pub(crate) fn duplicate_keys(json: &[u8]) -> Vec<String> {
    let found = RefCell::new(Vec::new());
    let mut json = serde_json::Deserializer::from_slice(json);
    // It has been read before, so that it can be read again.
    let _ = Look { path: &Path::Root, found: &found }.deserialize(&mut json);
    found.into_inner()
}

struct Look<'a> {
    path: &'a Path<'a>,
    found: &'a RefCell<Vec<String>>,
}

impl<'de> DeserializeSeed<'de> for Look<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Look<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let mut index = 0;
        while items
            .next_element_seed(Look { path: &Path::Item(self.path, index), found: self.found })?
            .is_some()
        {
            index += 1;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = entries.next_key::<String>()? {
            let path = Path::Key(self.path, &key);
            if seen.contains(&key) && self.found.borrow().len() < MOST {
                let path = show(&path.steps());
                if !self.found.borrow().contains(&path) {
                    self.found.borrow_mut().push(path);
                }
            }
            entries.next_value_seed(Look { path: &path, found: self.found })?;
            seen.insert(key);
        }
        Ok(())
    }
}
