use serde_json::Value;

use super::run::{accept, as_id, parsed};
use crate::reply::Reply;

/// A list, or the first page of one.
pub(super) struct List {
    pub(super) step: &'static str,
    pub(super) reply: Reply,
    pub(super) items: Vec<Value>,
    pub(super) count: usize,
}

impl List {
    pub(super) fn read(reply: Reply, step: &'static str, key: Option<&str>) -> Result<Self, String> {
        accept(&reply, step, &[200])?;
        let body: Value = parsed(&reply, step)?;
        let items = key.map_or(Some(&body), |key| body.get(key)).and_then(Value::as_array).cloned();
        let Some(items) = items else {
            return Err(match key {
                Some(key) => format!("{step}: no list under `{key}`{reply}"),
                None => format!(
                    "{step}: the answer is not an array; if it is a page, call `.items(\"items\")`{reply}"
                ),
            });
        };
        let total = key.and_then(|_| body.get("totalItems")).and_then(Value::as_u64);
        let count = total.and_then(|total| total.try_into().ok()).unwrap_or(items.len());
        Ok(Self { step, reply, items, count })
    }

    pub(super) fn expect_count(&self, wanted: usize) -> Result<(), String> {
        if self.count == wanted {
            return Ok(());
        }
        Err(format!("{}: it has {} objects, expected {wanted}{}", self.step, self.count, self.reply))
    }

    /// The object with this id, if it is on this page.
    pub(super) fn find(&self, key: &str, id: &str) -> Option<&Value> {
        self.items.iter().find(|item| item.get(key).and_then(as_id).as_deref() == Some(id))
    }
}
