//! The CRUD application of the recorded cases: `/things` in memory, with faults to be found.
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
};

use actix_web::{
    App, HttpRequest, HttpResponse, HttpResponseBuilder,
    http::{Method, StatusCode},
    web::{self, Bytes},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use utils_testing::TestApp;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Things {
    pub(crate) initial: u64,
    pub(crate) key: Option<String>,
    /// The status of `plural-get`, `get`, `post`, `put`, `delete` or `missing`.
    pub(crate) statuses: HashMap<String, u16>,
    /// Every success has an HTML body.
    pub(crate) html: bool,
    /// The list is `{"items": [...]}`.
    pub(crate) paginated: bool,
    pub(crate) fault: String,
}

/// What was asked: method, path and JSON body.
pub(crate) type Asked = (String, String, Option<Value>);

#[derive(Debug, Clone)]
pub(crate) struct Store {
    things: Things,
    rows: Arc<Mutex<BTreeMap<u64, Map<String, Value>>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

pub(crate) async fn serve(things: Things) -> (TestApp, Store) {
    let store = Store { things, rows: Arc::default(), asked: Arc::default() };
    for id in 1..=store.things.initial {
        let row = json!({store.key(): id, "name": format!("seed{id}"), "size": id});
        store.rows.lock().unwrap().insert(id, row.as_object().unwrap().clone());
    }
    let app = App::new().app_data(web::Data::new(store.clone())).default_service(web::to(answer));
    (TestApp::new(app).await, store)
}

async fn answer(request: HttpRequest, body: Bytes, store: web::Data<Store>) -> HttpResponse {
    let body = (!body.is_empty()).then(|| serde_json::from_slice(&body).unwrap());
    let path = request.path().to_owned();
    store.asked.lock().unwrap().push((request.method().to_string(), path.clone(), body.clone()));
    let id = path.strip_prefix("/things/").and_then(|id| id.parse().ok());
    let is_list = path == "/things";
    match (request.method(), id, body) {
        (&Method::GET, None, _) if is_list => store.list(),
        (&Method::POST, None, Some(Value::Object(body))) if is_list => store.post(body),
        (&Method::POST, None, _) if is_list => HttpResponse::BadRequest().body("<h1>Bad Request</h1>"),
        (&Method::GET, Some(id), _) => store.get(id),
        (&Method::PUT, Some(id), Some(Value::Object(body))) => store.put(id, body),
        (&Method::DELETE, Some(id), _) => store.delete(id),
        _ => HttpResponse::NotFound().body("<h1>Not Found</h1>"),
    }
}

impl Store {
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    fn key(&self) -> &str {
        self.things.key.as_deref().unwrap_or("id")
    }

    fn is(&self, fault: &str) -> bool {
        self.things.fault == fault
    }

    fn list(&self) -> HttpResponse {
        let mut rows: Vec<_> = self.rows.lock().unwrap().values().cloned().collect();
        if self.is("list_misses_last") {
            rows.pop();
        }
        if self.is("list_other_data") {
            rows.iter_mut().for_each(|row| _ = row.insert("name".to_owned(), json!("other")));
        }
        let rows = json!(rows);
        self.success("plural-get", if self.things.paginated { json!({ "items": rows }) } else { rows })
    }

    fn post(&self, mut row: Map<String, Value>) -> HttpResponse {
        let mut rows = self.rows.lock().unwrap();
        let id = rows.keys().next_back().unwrap_or(&0) + 1;
        row.insert(self.key().to_owned(), json!(id));
        row.insert("created".to_owned(), json!(format!("c{id}")));
        if !self.is("post_not_stored") {
            rows.insert(id, row.clone());
        }
        if self.is("post_no_key") {
            row.remove(self.key());
        }
        if self.is("post_changes_name") {
            row.insert("name".to_owned(), json!("changed"));
        }
        self.success("post", Value::Object(row))
    }

    fn get(&self, id: u64) -> HttpResponse {
        match self.rows.lock().unwrap().get(&id) {
            Some(row) => self.success("get", Value::Object(row.clone())),
            None => self.missing(),
        }
    }

    fn put(&self, id: u64, changes: Map<String, Value>) -> HttpResponse {
        let mut rows = self.rows.lock().unwrap();
        let Some(stored) = rows.get_mut(&id) else { return self.missing() };
        let mut row = stored.clone();
        row.extend(changes);
        if self.is("put_changes_created") {
            row.insert("created".to_owned(), json!("changed"));
        }
        if !self.is("put_not_stored") {
            *stored = row.clone();
        }
        self.success("put", Value::Object(row))
    }

    fn delete(&self, id: u64) -> HttpResponse {
        let mut rows = self.rows.lock().unwrap();
        if !rows.contains_key(&id) {
            return self.missing();
        }
        if !self.is("delete_not_done") {
            rows.remove(&id);
        }
        self.success("delete", json!({"status": "ok"}))
    }

    fn success(&self, operation: &str, body: Value) -> HttpResponse {
        let status = self.things.statuses.get(operation).copied().unwrap_or(200);
        let mut response = HttpResponseBuilder::new(StatusCode::from_u16(status).unwrap());
        match status {
            204 => response.finish(),
            _ if self.things.html => response.content_type("text/html").body(format!("<h1>{status}</h1>")),
            _ => response.json(body),
        }
    }

    fn missing(&self) -> HttpResponse {
        let status = self.things.statuses.get("missing").copied().unwrap_or(404);
        let mut response = HttpResponseBuilder::new(StatusCode::from_u16(status).unwrap());
        if self.is("html_404") {
            response.body("<h1>404</h1>")
        } else {
            response.json(json!({"message": "nope"}))
        }
    }
}
