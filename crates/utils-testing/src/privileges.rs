use std::{
    fmt::{self, Display, Write},
    future::Future,
    pin::Pin,
    rc::Rc,
};

use serde::Serialize;
use serde_json::Value;

use crate::{check::Check, client::Client, operation::Operation, reply::Reply, resource};

type MakeObject = Rc<dyn Fn() -> Pin<Box<dyn Future<Output = String>>>>;

/// Who may do what: a table of callers × operations → expected status.
///
/// Made by [`TestApp::privileges`](crate::TestApp::privileges). All cells run, and one failure shows the whole table:
///
/// ```text
/// privileges of /posts: 1 of 15 differ
///            list      get       post      put       delete
///   anon     200       200       401       401       401
///   reader   200       200       403       200≠403!  403
///   author   200       200       201       200       204
///
/// reader, put: expected 403, got 200 OK
///   > PUT /posts/5
///   …
/// ```
///
/// # Examples
/// ```no_run
/// # async fn test(app: utils_testing::TestApp, anon: utils_testing::Client, author: utils_testing::Client) {
/// # use serde_json::json;
/// let maker = author.clone();
/// app.privileges("/posts")
///     .body(json!({"title": "x"}))
///     .object(move || {
///         let post = maker.post("/posts", json!({"title": "fresh"}));
///         async { post.await.expect(201).value()["id"].to_string() }
///     })
///     //              list get  post put  delete
///     .row("anon",   &anon,   [200, 200, 401, 401, 401])
///     .row("author", &author, [200, 200, 201, 200, 204])
///     .run()
///     .await;
/// # }
/// ```
#[must_use = "a check runs when `run()` is awaited"]
pub struct Privileges {
    endpoint: String,
    columns: Vec<Operation>,
    rows: Vec<Row>,
    body: Rc<dyn Fn() -> Value>,
    object: Option<MakeObject>,
    document: Option<Value>,
}

struct Row {
    caller: String,
    client: Client,
    expected: Vec<u16>,
}

impl Privileges {
    /// In a row: this cell is not run.
    pub const SKIP: u16 = 0;

    pub(crate) fn new(endpoint: &str) -> Self {
        use Operation as O;
        Self {
            endpoint: endpoint.to_owned(),
            columns: vec![O::LIST, O::GET, O::POST, O::PUT, O::DELETE],
            rows: Vec::new(),
            body: Rc::new(|| Value::Object(Default::default())),
            object: None,
            document: None,
        }
    }

    /// Sets the body of POST, PUT and PATCH. Default: `{}`.
    ///
    /// # Panics
    /// When it has no JSON form.
    #[track_caller]
    pub fn body(self, body: impl Serialize) -> Self {
        let body = serde_json::to_value(body).unwrap_or_else(|error| panic!("the body is not JSON: {error}"));
        self.fresh_body(move || body.clone())
    }

    /// Makes a body for each cell, where two equal ones would clash.
    pub fn fresh_body(mut self, make: impl Fn() -> Value + 'static) -> Self {
        self.body = Rc::new(make);
        self
    }

    /// Makes an object for each cell that needs one and gives its id, so that a DELETE that works spoils no other cell.
    pub fn object<F>(mut self, make: impl Fn() -> F + 'static) -> Self
    where
        F: Future<Output: Display> + 'static,
    {
        self.object = Some(Rc::new(move || {
            let made = make();
            Box::pin(async move { made.await.to_string() })
        }));
        self
    }

    /// Uses one object in all cells; for tables in which nobody may delete it.
    pub fn object_id(self, id: impl Display) -> Self {
        let id = id.to_string();
        self.object(move || std::future::ready(id.clone()))
    }

    /// Sets the columns. Default: list, get, post, put, delete.
    ///
    /// # Panics
    /// When there are rows already.
    #[track_caller]
    pub fn columns(mut self, columns: impl IntoIterator<Item = Operation>) -> Self {
        assert!(self.rows.is_empty(), "the columns have to be set before the rows");
        self.columns = columns.into_iter().collect();
        self
    }

    /// Adds a row: the caller's name, their client, and the expected status of each column.
    ///
    /// # Panics
    /// When there are more or fewer cells than columns.
    #[track_caller]
    pub fn row(mut self, caller: impl Into<String>, client: &Client, expected: impl AsRef<[u16]>) -> Self {
        let expected = expected.as_ref().to_vec();
        assert_eq!(expected.len(), self.columns.len(), "a row needs as many cells as there are columns");
        self.rows.push(Row { caller: caller.into(), client: client.clone(), expected });
        self
    }

    /// Fails as well for an operation on this endpoint, or below it, that stands in the OpenAPI document and that no row
    /// tries.
    pub fn covers(mut self, openapi: &Value) -> Self {
        self.document = Some(openapi.clone());
        self
    }

    /// Runs all cells; panics at the `.await` when one of them differs.
    pub fn run(self) -> Check<'static> {
        Check::new(async move { self.cells().await })
    }

    async fn cells(&self) -> Result<(), String> {
        let mut report = Report::new(&self.columns);
        for row in &self.rows {
            report.begin(&row.caller);
            for (column, &expected) in self.columns.iter().zip(&row.expected) {
                if expected == Self::SKIP {
                    report.skip();
                    continue;
                }
                let id = match (&self.object, column.has_object()) {
                    (_, false) => String::new(),
                    (Some(make), true) => make().await,
                    (None, true) => {
                        return Err(format!(
                            "privileges of {}: `{}` needs an object, call `.object(..)`",
                            self.endpoint, column.name
                        ));
                    }
                };
                let uri = resource::uri(&self.endpoint, &column.path, &id);
                let mut request = row.client.request(column.method.clone(), uri);
                if column.sends_body() {
                    request = request.json((self.body)());
                }
                report.cell(&row.caller, &column.name, expected, &request.await);
            }
        }
        report.finish(&self.endpoint, &self.uncovered())
    }

    fn uncovered(&self) -> Vec<String> {
        let paths = self.document.as_ref().and_then(|document| document["paths"].as_object());
        let base = self.endpoint.split('?').next().unwrap_or_default().trim_end_matches('/');
        let tried = |method: &str, below: &str| {
            self.columns.iter().enumerate().any(|(index, column)| {
                column.is(method, below) && self.rows.iter().any(|row| row.expected[index] != Self::SKIP)
            })
        };
        let mut missing = Vec::new();
        for (path, operations) in paths.into_iter().flatten() {
            let Some(below) =
                path.strip_prefix(base).filter(|below| below.is_empty() || below.starts_with('/'))
            else {
                continue;
            };
            let methods = operations.as_object().into_iter().flatten().map(|(method, _)| method);
            let missed = methods.filter(|method| is_method(method) && !tried(method, below));
            missing.extend(missed.map(|method| format!("{} {path}", method.to_uppercase())));
        }
        missing
    }
}

impl fmt::Debug for Privileges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Privileges").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// The fixed fields of a path item that are operations, by OpenAPI 3.1, section 4.8.9.
fn is_method(field: &str) -> bool {
    ["get", "put", "post", "delete", "options", "head", "patch", "trace"].contains(&field)
}

/// The table as it grows, and the cells that differ.
struct Report {
    table: String,
    cells: usize,
    wrong: Vec<String>,
}

impl Report {
    fn new(columns: &[Operation]) -> Self {
        let head: String = columns.iter().map(|column| format!("{:<10}", column.name)).collect();
        Self { table: format!("\n  {:<12}{}", "", head.trim_end()), cells: 0, wrong: Vec::new() }
    }

    fn begin(&mut self, caller: &str) {
        let _ = write!(self.table, "\n  {caller:<12}");
    }

    fn skip(&mut self) {
        let _ = write!(self.table, "{:<10}", "-");
    }

    fn cell(&mut self, caller: &str, column: &str, expected: u16, reply: &Reply) {
        self.cells += 1;
        let got = reply.status();
        if got == expected {
            let _ = write!(self.table, "{got:<10}");
            return;
        }
        let _ = write!(self.table, "{:<10}", format!("{got}≠{expected}!"));
        self.wrong.push(format!("\n\n{caller}, {column}: expected {expected}, got {got}{reply}"));
    }

    fn finish(self, endpoint: &str, uncovered: &[String]) -> Result<(), String> {
        if self.wrong.is_empty() && uncovered.is_empty() {
            return Ok(());
        }
        let mut message = format!("privileges of {endpoint}: {} of {} differ", self.wrong.len(), self.cells);
        message += &self.table.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
        if !uncovered.is_empty() {
            message += &format!("\n\nno row tries: {}", uncovered.join(", "));
        }
        message += &self.wrong.concat();
        Err(message)
    }
}
