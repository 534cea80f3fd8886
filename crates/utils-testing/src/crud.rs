mod list;
mod run;

use std::fmt::Display;

use actix_web::http::Method;
use serde::Serialize;
use serde_json::Value;

use crate::{check::Check, client::Client};

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
    pub fn run(self) -> Check<'static> {
        Check::new(
            async move { self.steps().await.map_err(|why| format!("crud of {}: {why}", self.endpoint)) },
        )
    }
}

#[track_caller]
fn json(object: impl Serialize) -> Value {
    serde_json::to_value(object).unwrap_or_else(|error| panic!("the object is not JSON: {error}"))
}
