//! What the job table needs from a Diesel connection: run a statement, read six kinds of rows.
use diesel::QueryResult;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
use diesel::{RunQueryDsl, sql_query, sql_types as ty};

use super::{
    Dialect,
    row::{Claimed, Count, Lease, Record, SeenWorker, TextRow},
};
use crate::{SessionConn, migrations::Migrate};

/// A Diesel connection that can hold the job table: `SqliteConnection`, `PgConnection`, `MysqlConnection`, each by the
/// feature of its database.
///
/// [`Jobs::enqueue_in`](crate::Jobs::enqueue_in) and [`Context::finish_in`](crate::Context::finish_in) take one, so that
/// they run in whatever transaction the connection is in. The trait is sealed.
pub trait JobConn: SessionConn + Raw + Migrate {}

/// The part of [`JobConn`] that is nobody else's business.
pub trait Raw: Sized {
    const DIALECT: Dialect;

    fn execute(&mut self, statement: Statement<'_>) -> QueryResult<usize>;
    fn claimed(&mut self, statement: Statement<'_>) -> QueryResult<Vec<Claimed>>;
    fn records(&mut self, statement: Statement<'_>) -> QueryResult<Vec<Record>>;
    fn leases(&mut self, statement: Statement<'_>) -> QueryResult<Vec<Lease>>;
    fn counts(&mut self, statement: Statement<'_>) -> QueryResult<Vec<Count>>;
    fn texts(&mut self, statement: Statement<'_>) -> QueryResult<Vec<TextRow>>;
    fn workers(&mut self, statement: Statement<'_>) -> QueryResult<Vec<SeenWorker>>;
    fn number(&mut self, statement: Statement<'_>) -> QueryResult<Option<i64>>;

    /// Whether another process has announced new jobs on this connection since the last call (PostgreSQL only).
    fn was_notified(&mut self) -> QueryResult<bool> {
        Ok(false)
    }
}

/// SQL with `?` for each bind, in all dialects.
#[derive(Debug, Clone, Default)]
#[cfg_attr(
    not(any(feature = "sqlite", feature = "postgres", feature = "mysql")),
    allow(dead_code, reason = "without a database nobody reads it")
)]
pub struct Statement<'a> {
    sql: String,
    binds: Vec<Value<'a>>,
}

/// A bind.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(
    not(any(feature = "sqlite", feature = "postgres", feature = "mysql")),
    allow(dead_code, reason = "without a database nobody reads it")
)]
pub enum Value<'a> {
    Text(&'a str),
    OptText(Option<&'a str>),
    Int(i32),
    Big(i64),
    OptBig(Option<i64>),
    Double(f64),
    Bytes(&'a [u8]),
}

impl<'a> Statement<'a> {
    pub fn new(sql: impl Into<String>) -> Self {
        Self { sql: sql.into(), binds: Vec::new() }
    }

    #[must_use]
    pub fn bind(mut self, value: impl Into<Value<'a>>) -> Self {
        self.binds.push(value.into());
        self
    }

    /// Appends SQL.
    pub fn push(&mut self, sql: &str) {
        self.sql.push_str(sql);
    }

    /// Appends SQL and its binds.
    pub fn push_with(&mut self, sql: &str, binds: impl IntoIterator<Item = Value<'a>>) {
        self.sql.push_str(sql);
        self.binds.extend(binds);
    }

    /// Appends another statement.
    pub fn append(&mut self, other: Self) {
        self.sql.push_str(&other.sql);
        self.binds.extend(other.binds);
    }

    /// `?` becomes `$1`, `$2`, …; no statement of ours has a question mark elsewhere.
    #[cfg(feature = "postgres")]
    fn numbered(&self) -> String {
        use std::fmt::Write;
        let mut sql = String::with_capacity(self.sql.len() + 2 * self.binds.len());
        for (position, part) in self.sql.split('?').enumerate() {
            if position > 0 {
                let _ = write!(sql, "${position}");
            }
            sql.push_str(part);
        }
        sql
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<Option<&'a str>> for Value<'a> {
    fn from(text: Option<&'a str>) -> Self {
        Self::OptText(text)
    }
}

impl From<i32> for Value<'_> {
    fn from(number: i32) -> Self {
        Self::Int(number)
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Big(number)
    }
}

impl From<Option<i64>> for Value<'_> {
    fn from(number: Option<i64>) -> Self {
        Self::OptBig(number)
    }
}

#[allow(unused_macros, reason = "without a database there is no connection")]
macro_rules! raw {
    ($connection:ty, $backend:ty, $dialect:expr, $sql:ident, $($more:tt)*) => {
        impl JobConn for $connection {}

        impl Raw for $connection {
            const DIALECT: Dialect = $dialect;

            fn execute(&mut self, statement: Statement<'_>) -> QueryResult<usize> {
                raw!(@query statement, $backend, $sql).execute(self)
            }
            fn claimed(&mut self, statement: Statement<'_>) -> QueryResult<Vec<Claimed>> {
                raw!(@query statement, $backend, $sql).load(self)
            }
            fn records(&mut self, statement: Statement<'_>) -> QueryResult<Vec<Record>> {
                raw!(@query statement, $backend, $sql).load(self)
            }
            fn leases(&mut self, statement: Statement<'_>) -> QueryResult<Vec<Lease>> {
                raw!(@query statement, $backend, $sql).load(self)
            }
            fn counts(&mut self, statement: Statement<'_>) -> QueryResult<Vec<Count>> {
                raw!(@query statement, $backend, $sql).load(self)
            }
            fn texts(&mut self, statement: Statement<'_>) -> QueryResult<Vec<TextRow>> {
                raw!(@query statement, $backend, $sql).load(self)
            }
            fn workers(&mut self, statement: Statement<'_>) -> QueryResult<Vec<SeenWorker>> {
                raw!(@query statement, $backend, $sql).load(self)
            }
            fn number(&mut self, statement: Statement<'_>) -> QueryResult<Option<i64>> {
                let rows: Vec<super::row::Number> = raw!(@query statement, $backend, $sql).load(self)?;
                Ok(rows.first().and_then(|row| row.n))
            }
            $($more)*
        }
    };
    (@query $statement:ident, $backend:ty, $sql:ident) => {{
        let mut query = sql_query($sql(&$statement)).into_boxed::<$backend>();
        for value in $statement.binds {
            query = match value {
                Value::Text(text) => query.bind::<ty::Text, _>(text),
                Value::OptText(text) => query.bind::<ty::Nullable<ty::Text>, _>(text),
                Value::Int(number) => query.bind::<ty::Integer, _>(number),
                Value::Big(number) => query.bind::<ty::BigInt, _>(number),
                Value::OptBig(number) => query.bind::<ty::Nullable<ty::BigInt>, _>(number),
                Value::Double(number) => query.bind::<ty::Double, _>(number),
                Value::Bytes(bytes) => query.bind::<ty::Binary, _>(bytes),
            };
        }
        query
    }};
}

#[cfg(any(feature = "sqlite", feature = "mysql"))]
fn plain<'a>(statement: &'a Statement<'_>) -> &'a str {
    &statement.sql
}

#[cfg(feature = "postgres")]
fn numbered(statement: &Statement<'_>) -> String {
    statement.numbered()
}

#[cfg(feature = "sqlite")]
raw!(diesel::SqliteConnection, diesel::sqlite::Sqlite, Dialect::Sqlite, plain,);

#[cfg(feature = "mysql")]
raw!(diesel::MysqlConnection, diesel::mysql::Mysql, Dialect::Mysql, plain,);

#[cfg(feature = "postgres")]
raw!(
    diesel::PgConnection,
    diesel::pg::Pg,
    Dialect::Postgres,
    numbered,
    fn was_notified(&mut self) -> QueryResult<bool> {
        let mut any = false;
        for notification in self.notifications_iter() {
            notification?;
            any = true;
        }
        Ok(any)
    }
);
