//! The steps, in their order. Each fails with a sentence that names it, and the exchange.
use actix_web::http::header::LOCATION;
use serde_json::{Map, Value};

use super::{Crud, Step, list::List};
use crate::{compare::differs, reply::Reply, resource};

impl Crud {
    pub(super) async fn steps(&self) -> Result<(), String> {
        let before = self.list("list").await?;
        if let (Some(wanted), Some(list)) = (self.starts_with, &before) {
            list.expect_count(wanted)?;
        }
        let before = before.map(|list| list.count);

        let (id, made) = match &self.object {
            Some(id) => (id.clone(), None),
            None if self.has(Step::Create) => self.created().await?,
            None => return Ok(()),
        };
        let is_new = self.has(Step::Create);
        if is_new && let (Some(before), Some(list)) = (before, self.list("list after create").await?) {
            list.expect_count(before + 1)?;
            self.expect_listed(list, &id).await?;
        }

        let read = self.read("read after create", &id, self.create.as_ref().filter(|_| is_new)).await?;
        let old = read.or(made);
        if self.has(Step::Update) {
            self.updated(&id, old.as_ref()).await?;
        }

        let mut after = before.map(|before| before + usize::from(is_new));
        if self.has(Step::Delete) {
            let reply = self.client.delete(self.uri(&id)).await;
            accept(&reply, "delete", &[200, 202, 204])?;
            after = after.map(|objects| objects.saturating_sub(1));
            if self.has(Step::Read) {
                let reply = self.client.get(self.uri(&id)).await;
                accept(&reply, "read after delete", &[404])?;
            }
        }
        if let (Some(after), Some(list)) = (after, self.list("last list").await?) {
            list.expect_count(after)?;
            if self.has(Step::Delete) && list.find(&self.id, &id).is_some() {
                return Err(format!("{}: the deleted object `{id}` is still there{}", list.step, list.reply));
            }
        }
        Ok(())
    }

    async fn created(&self) -> Result<(String, Option<Map<String, Value>>), String> {
        let Some(data) = &self.create else {
            return Err("create: there is nothing to send, call `.create(..)`".to_owned());
        };
        let reply = self.client.post(&self.endpoint, data).await;
        accept(&reply, "create", &[200, 201, 204])?;
        if reply.bytes().is_empty() {
            let id = reply.header(LOCATION.as_str()).and_then(last_segment);
            let id =
                id.ok_or_else(|| format!("create: neither a body nor a Location tells the id{reply}"))?;
            return Ok((id, None));
        }
        let made = object(&reply, "create")?;
        self.expect_same(&made, data, &reply, "create")?;
        let id = made.get(&self.id).and_then(as_id);
        let id = id.ok_or_else(|| format!("create: the answer has no `{}`{reply}", self.id))?;
        Ok((id, Some(made)))
    }

    async fn updated(&self, id: &str, old: Option<&Map<String, Value>>) -> Result<(), String> {
        let Some(data) = &self.update else {
            return Err("update: there is nothing to send, call `.update(..)`".to_owned());
        };
        let reply = self.client.request(self.update_with.clone(), self.uri(id)).json(data).await;
        accept(&reply, "update", &[200, 201, 204])?;
        let mut new = None;
        if !reply.bytes().is_empty() {
            let answer = object(&reply, "update")?;
            self.expect_same(&answer, data, &reply, "update")?;
            self.expect_kept(old, &answer, &reply, "update")?;
            new = Some(answer);
        }
        if self.has(Step::Read) {
            let reply = self.client.get(self.uri(id)).await;
            accept(&reply, "read after update", &[200])?;
            let read = object(&reply, "read after update")?;
            self.expect_same(&read, data, &reply, "read after update")?;
            self.expect_kept(old, &read, &reply, "read after update")?;
            new = Some(read);
        }
        match new {
            None if !self.keeps.is_empty() => Err("update: no answer shows what it kept".to_owned()),
            _ => Ok(()),
        }
    }

    async fn read(
        &self,
        step: &'static str,
        id: &str,
        wanted: Option<&Value>,
    ) -> Result<Option<Map<String, Value>>, String> {
        if !self.has(Step::Read) {
            return Ok(None);
        }
        let reply = self.client.get(self.uri(id)).await;
        accept(&reply, step, &[200])?;
        let read = object(&reply, step)?;
        if let Some(wanted) = wanted {
            self.expect_same(&read, wanted, &reply, step)?;
        }
        Ok(Some(read))
    }

    async fn list(&self, step: &'static str) -> Result<Option<List>, String> {
        if !self.has(Step::List) {
            return Ok(None);
        }
        List::read(self.client.get(&self.endpoint).await, step, self.items.as_deref()).map(Some)
    }

    /// Looks for the object on this page and, if there are more, on the following ones.
    async fn expect_listed(&self, mut list: List, id: &str) -> Result<(), String> {
        let mut seen = 0;
        loop {
            seen += list.items.len();
            if let (Some(Value::Object(found)), Some(data)) = (list.find(&self.id, id), &self.create) {
                return self.expect_same(found, data, &list.reply, list.step);
            }
            if list.items.is_empty() || seen >= list.count {
                return Err(format!("{}: the new object `{id}` is not in it{}", list.step, list.reply));
            }
            let page = self.client.get(&self.endpoint).query([("offset", seen)]).await;
            list = List::read(page, list.step, self.items.as_deref())?;
        }
    }

    fn expect_same(
        &self,
        got: &Map<String, Value>,
        sent: &Value,
        reply: &Reply,
        step: &str,
    ) -> Result<(), String> {
        let Value::Object(sent) = sent else {
            return Err(format!("{step}: what is sent has to be an object"));
        };
        let difference = match &self.compares {
            Some(keys) => differs(got, sent, keys),
            None => differs(got, sent, sent.keys()),
        };
        difference.map_or(Ok(()), |difference| Err(format!("{step}: {difference}{reply}")))
    }

    fn expect_kept(
        &self,
        old: Option<&Map<String, Value>>,
        new: &Map<String, Value>,
        reply: &Reply,
        step: &str,
    ) -> Result<(), String> {
        if self.keeps.is_empty() {
            return Ok(());
        }
        let Some(old) = old else {
            return Err(format!("{step}: no answer before the update shows what to keep{reply}"));
        };
        differs(new, old, &self.keeps)
            .map_or(Ok(()), |difference| Err(format!("{step}: it has to keep this: {difference}{reply}")))
    }

    fn has(&self, step: Step) -> bool {
        !self.off.contains(&step)
    }

    fn uri(&self, id: &str) -> String {
        resource::uri(&self.endpoint, &self.item, id)
    }
}

pub(super) fn accept(reply: &Reply, step: &str, statuses: &[u16]) -> Result<(), String> {
    if statuses.contains(&reply.status()) {
        return Ok(());
    }
    let statuses: Vec<_> = statuses.iter().map(u16::to_string).collect();
    Err(format!("{step}: expected {}, got {}{reply}", statuses.join(" or "), reply.status()))
}

pub(super) fn parsed(reply: &Reply, step: &str) -> Result<Value, String> {
    serde_json::from_slice(reply.bytes())
        .map_err(|error| format!("{step}: the body is not JSON: {error}{reply}"))
}

fn object(reply: &Reply, step: &str) -> Result<Map<String, Value>, String> {
    match parsed(reply, step)? {
        Value::Object(object) => Ok(object),
        _ => Err(format!("{step}: the body is not an object{reply}")),
    }
}

pub(super) fn as_id(value: &Value) -> Option<String> {
    match value {
        Value::String(id) => Some(id.clone()),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    }
}

fn last_segment(location: &str) -> Option<String> {
    let path = location.split(['?', '#']).next()?.trim_end_matches('/');
    let segment = path.rsplit('/').next().filter(|segment| !segment.is_empty())?;
    Some(percent_encoding::percent_decode_str(segment).decode_utf8_lossy().into_owned())
}
