use std::fmt::Display;

use actix_web::http::{Method, header::LOCATION};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{check::Check, client::Client, compare::differs, reply::Reply, resource};

/// A step of [`Crud`] that can be switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// The lists at the beginning, after creating and after deleting.
    List,
    /// POST to the endpoint. Without it, and without [`Crud::object`], only the list is looked at.
    Create,
    /// GET of the object: after creating, after updating, and 404 after deleting.
    Read,
    /// PUT (or [`update_with`](Crud::update_with)) of the object.
    Update,
    /// DELETE of the object.
    Delete,
}

/// Checks a whole resource: list → create → list → read → update → read → delete → read is 404 → list.
///
/// Made by [`Client::crud`]. What was sent has to come back, key by key, in the answers, in the list and when it is read
/// again; other keys of the object (its id, timestamps) are free. 200, 201 and 204 are fine for creating and updating, 200,
/// 202 and 204 for deleting. After an answer without a body the id comes from its `Location`.
///
/// # Examples
/// ```no_run
/// # async fn test(me: utils_testing::Client) {
/// # use serde_json::json;
/// me.crud("/posts")
///     .items("items")
///     .create(json!({"title": "One", "tags": ["a"]}))
///     .update(json!({"title": "Two", "tags": []}))
///     .keeps(&["author_id", "created_at"])
///     .run()
///     .await;
/// # }
/// ```
///
/// A failure names the step and the key, shows the exchange, and is at the line of the `.await`:
///
/// ```text
/// crud of /posts: read after update: `tags` is ["a"], expected []
///   > GET /posts/5
///   < 200 OK
///   < content-type: application/json
///   < {"id":5,"tags":["a"],"title":"Two"}
/// ```
#[derive(Debug, Clone)]
#[must_use = "a check runs when `run()` is awaited"]
pub struct Crud {
    client: Client,
    endpoint: String,
    item: String,
    id: String,
    items: Option<String>,
    starts_with: Option<usize>,
    create: Option<Value>,
    update: Option<Value>,
    update_with: Method,
    compares: Option<Vec<String>>,
    keeps: Vec<String>,
    object: Option<String>,
    off: Vec<Step>,
}

impl Crud {
    pub(crate) fn new(client: Client, endpoint: &str) -> Self {
        Self {
            client,
            endpoint: endpoint.to_owned(),
            item: "/{id}".to_owned(),
            id: "id".to_owned(),
            items: None,
            starts_with: None,
            create: None,
            update: None,
            update_with: Method::PUT,
            compares: None,
            keeps: Vec::new(),
            object: None,
            off: Vec::new(),
        }
    }

    /// Sets the object that is created.
    ///
    /// # Panics
    /// When it has no JSON form; this holds for [`update`](Self::update) as well.
    #[track_caller]
    pub fn create(mut self, object: impl Serialize) -> Self {
        self.create = Some(json(object));
        self
    }

    /// Sets what the object is updated with.
    #[track_caller]
    pub fn update(mut self, object: impl Serialize) -> Self {
        self.update = Some(json(object));
        self
    }

    /// Updates with another method than PUT.
    pub fn update_with(mut self, method: Method) -> Self {
        self.update_with = method;
        self
    }

    /// Compares only these keys of what is sent. Default: all of them.
    pub fn compares(mut self, keys: &[&str]) -> Self {
        self.compares = Some(keys.iter().map(|&key| key.to_owned()).collect());
        self
    }

    /// Names keys that an update must leave as they are.
    pub fn keeps(mut self, keys: &[&str]) -> Self {
        self.keeps = keys.iter().map(|&key| key.to_owned()).collect();
        self
    }

    /// Names the key of the object's id. Default: `id`.
    pub fn id(mut self, key: impl Into<String>) -> Self {
        self.id = key.into();
        self
    }

    /// Names the key under which a page holds its items; without it a list is a plain array.
    ///
    /// The number of objects is then the page's `totalItems`, if it has that; the new object is looked for on all pages, by
    /// `offset`.
    pub fn items(mut self, key: impl Into<String>) -> Self {
        self.items = Some(key.into());
        self
    }

    /// Expects this many objects in the first list. Default: any number.
    pub fn starts_with(mut self, objects: usize) -> Self {
        self.starts_with = Some(objects);
        self
    }

    /// Sets where an object lives, below the endpoint. Default: `/{id}`.
    pub fn item_path(mut self, path: impl Into<String>) -> Self {
        self.item = path.into();
        self
    }

    /// Works on an object that exists already; for a resource that cannot be created through the API.
    pub fn object(mut self, id: impl Display) -> Self {
        self.object = Some(id.to_string());
        self.without(Step::Create)
    }

    /// Switches a step off.
    pub fn without(mut self, step: Step) -> Self {
        self.off.push(step);
        self
    }

    /// Runs the steps; panics at the `.await` when one of them fails.
    pub fn run(self) -> Check {
        Check::new(
            async move { self.steps().await.map_err(|why| format!("crud of {}: {why}", self.endpoint)) },
        )
    }

    async fn steps(&self) -> Result<(), String> {
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
            if self.has(Step::Delete)
                && list.items.iter().any(|item| id_of(item, &self.id).as_deref() == Some(&*id))
            {
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
            let found = list.items.iter().find(|item| id_of(item, &self.id).as_deref() == Some(id));
            if let (Some(Value::Object(found)), Some(data)) = (found, &self.create) {
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

/// A list, or the first page of one.
struct List {
    step: &'static str,
    reply: Reply,
    items: Vec<Value>,
    count: usize,
}

impl List {
    fn read(reply: Reply, step: &'static str, key: Option<&str>) -> Result<Self, String> {
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

    fn expect_count(&self, wanted: usize) -> Result<(), String> {
        if self.count == wanted {
            return Ok(());
        }
        Err(format!("{}: it has {} objects, expected {wanted}{}", self.step, self.count, self.reply))
    }
}

fn accept(reply: &Reply, step: &str, statuses: &[u16]) -> Result<(), String> {
    if statuses.contains(&reply.status()) {
        return Ok(());
    }
    let statuses: Vec<_> = statuses.iter().map(u16::to_string).collect();
    Err(format!("{step}: expected {}, got {}{reply}", statuses.join(" or "), reply.status()))
}

fn parsed(reply: &Reply, step: &str) -> Result<Value, String> {
    serde_json::from_slice(reply.bytes())
        .map_err(|error| format!("{step}: the body is not JSON: {error}{reply}"))
}

fn object(reply: &Reply, step: &str) -> Result<Map<String, Value>, String> {
    match parsed(reply, step)? {
        Value::Object(object) => Ok(object),
        _ => Err(format!("{step}: the body is not an object{reply}")),
    }
}

fn id_of(item: &Value, key: &str) -> Option<String> {
    item.get(key).and_then(as_id)
}

fn as_id(value: &Value) -> Option<String> {
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

#[track_caller]
fn json(object: impl Serialize) -> Value {
    serde_json::to_value(object).unwrap_or_else(|error| panic!("the object is not JSON: {error}"))
}
