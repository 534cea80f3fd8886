//! What the job table needs from a Diesel connection: run a statement, read six kinds of rows.
use diesel::QueryResult;
#[cfg(any(feature = "postgres", feature = "mysql"))]
use diesel::{
    Connection,
    connection::{AnsiTransactionManager as Manager, TransactionManager},
};
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
use diesel::{
    RunQueryDsl,
    query_builder::{AstPass, QueryFragment},
    sql_types as ty,
};

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
pub trait JobConn: Raw + Migrate {}

/// The part of [`JobConn`] that is nobody else's business.
pub trait Raw: SessionConn {
    const DIALECT: Dialect;

    fn execute(&mut self, statement: Statement<'_>) -> QueryResult<usize>;
    fn claimed(&mut self, statement: Statement<'_>) -> QueryResult<Vec<Claimed>>;
    fn records(&mut self, statement: Statement<'_>) -> QueryResult<Vec<Record>>;
    fn leases(&mut self, statement: Statement<'_>) -> QueryResult<Vec<Lease>>;
    fn counts(&mut self, statement: Statement<'_>) -> QueryResult<Vec<Count>>;
    fn texts(&mut self, statement: Statement<'_>) -> QueryResult<Vec<TextRow>>;
    fn workers(&mut self, statement: Statement<'_>) -> QueryResult<Vec<SeenWorker>>;
    fn number(&mut self, statement: Statement<'_>) -> QueryResult<Option<i64>>;

    /// Runs a round of a worker in a transaction.
    fn round_tx<T>(&mut self, work: impl FnOnce(&mut Self) -> QueryResult<T>) -> QueryResult<T> {
        self.own_tx(work)
    }

    /// Runs what is ours alone in a transaction.
    fn own_tx<T, E: From<diesel::result::Error>>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        self.write_tx(work)
    }

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
    is_kept: bool,
}

/// A bind.
#[derive(Debug, Clone)]
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
    /// PostgreSQL only.
    Array(Array<'a>),
}

/// Many values in one bind, so that the text of a statement does not depend on how many there are.
#[derive(Debug, Clone)]
#[cfg_attr(not(feature = "postgres"), allow(dead_code, reason = "only PostgreSQL reads it"))]
pub enum Array<'a> {
    Texts(Vec<&'a str>),
    OptTexts(Vec<Option<&'a str>>),
    Ints(Vec<i32>),
    Bigs(Vec<i64>),
    OptBigs(Vec<Option<i64>>),
    Bytes(Vec<&'a [u8]>),
}

impl<'a> Statement<'a> {
    pub fn new(sql: impl Into<String>) -> Self {
        Self { sql: sql.into(), binds: Vec::new(), is_kept: false }
    }

    /// Sets whether the connection keeps the prepared statement: only if the text does not depend on how much there is of
    /// something. On PostgreSQL one that looks for rows may be kept in a [round](Raw::round_tx) alone.
    #[must_use]
    pub fn kept(mut self, kept: bool) -> Self {
        self.is_kept = kept;
        self
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

    /// Appends the condition that a column has one of these values. There are few texts of it, so the statement may be kept.
    pub fn push_in<C: JobConn>(&mut self, column: &str, values: impl Iterator<Item = &'a str>) {
        let mut values: Vec<&str> = values.collect();
        self.push(column);
        if C::DIALECT == Dialect::Postgres {
            self.push_with(" = ANY (?)", [Value::Array(Array::Texts(values))]);
        } else {
            // one, two, four, eight … of them, the last one as often as it takes
            let last = values.last().copied();
            values.resize(values.len().next_power_of_two(), last.unwrap_or_default());
            let mut marks = "?, ".repeat(values.len());
            marks.truncate(marks.len().saturating_sub(2));
            self.push_with(&format!(" IN ({marks})"), values.into_iter().map(Value::Text));
        }
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

/// Rows of a query with these names and types of columns, and the cache of statements, are Diesel's own affair.
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
mod query {
    use diesel::{
        RunQueryDsl,
        query_builder::{Query, QueryId},
        sql_types::Untyped,
    };

    use super::Statement;

    impl QueryId for Statement<'_> {
        type QueryId = ();

        // the text is what tells one from another
        const HAS_STATIC_QUERY_ID: bool = false;
    }

    impl Query for Statement<'_> {
        type SqlType = Untyped;
    }

    impl<C> RunQueryDsl<C> for Statement<'_> {}
}

#[allow(unused_macros, reason = "without a database there is no connection")]
macro_rules! raw {
    ($connection:ty, $backend:ty, $dialect:expr, $push_array:ident, { $($more:tt)* }) => {
        impl JobConn for $connection {}

        impl QueryFragment<$backend> for Statement<'_> {
            fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, $backend>) -> QueryResult<()> {
                if !self.is_kept {
                    out.unsafe_to_cache_prepared();
                }
                let mut binds = self.binds.iter();
                for (position, part) in self.sql.split('?').enumerate() {
                    if position > 0 && let Some(bind) = binds.next() {
                        match bind {
                            Value::Text(text) => out.push_bind_param::<ty::Text, _>(text)?,
                            Value::OptText(text) => out.push_bind_param::<ty::Nullable<ty::Text>, _>(text)?,
                            Value::Int(number) => out.push_bind_param::<ty::Integer, _>(number)?,
                            Value::Big(number) => out.push_bind_param::<ty::BigInt, _>(number)?,
                            Value::OptBig(number) => out.push_bind_param::<ty::Nullable<ty::BigInt>, _>(number)?,
                            Value::Double(number) => out.push_bind_param::<ty::Double, _>(number)?,
                            Value::Bytes(bytes) => out.push_bind_param::<ty::Binary, _>(bytes)?,
                            Value::Array(array) => $push_array(array, &mut out)?,
                        }
                    }
                    out.push_sql(part);
                }
                Ok(())
            }
        }

        impl Raw for $connection {
            const DIALECT: Dialect = $dialect;

            fn execute(&mut self, statement: Statement<'_>) -> QueryResult<usize> {
                RunQueryDsl::execute(statement, self)
            }
            fn claimed(&mut self, statement: Statement<'_>) -> QueryResult<Vec<Claimed>> {
                statement.load(self)
            }
            fn records(&mut self, statement: Statement<'_>) -> QueryResult<Vec<Record>> {
                statement.load(self)
            }
            fn leases(&mut self, statement: Statement<'_>) -> QueryResult<Vec<Lease>> {
                statement.load(self)
            }
            fn counts(&mut self, statement: Statement<'_>) -> QueryResult<Vec<Count>> {
                statement.load(self)
            }
            fn texts(&mut self, statement: Statement<'_>) -> QueryResult<Vec<TextRow>> {
                statement.load(self)
            }
            fn workers(&mut self, statement: Statement<'_>) -> QueryResult<Vec<SeenWorker>> {
                statement.load(self)
            }
            fn number(&mut self, statement: Statement<'_>) -> QueryResult<Option<i64>> {
                let rows: Vec<super::row::Number> = statement.load(self)?;
                Ok(rows.first().and_then(|row| row.n))
            }
            $($more)*
        }
    };

}

#[cfg(any(feature = "sqlite", feature = "mysql"))]
fn no_array<DB: diesel::backend::Backend>(_: &Array<'_>, _: &mut AstPass<'_, '_, DB>) -> QueryResult<()> {
    Err(diesel::result::Error::QueryBuilderError("this database has no arrays".into()))
}

#[cfg(feature = "postgres")]
fn push_array<'b>(array: &'b Array<'_>, out: &mut AstPass<'_, 'b, diesel::pg::Pg>) -> QueryResult<()> {
    match array {
        Array::Texts(texts) => out.push_bind_param::<ty::Array<ty::Text>, _>(texts),
        Array::OptTexts(texts) => out.push_bind_param::<ty::Array<ty::Nullable<ty::Text>>, _>(texts),
        Array::Ints(numbers) => out.push_bind_param::<ty::Array<ty::Integer>, _>(numbers),
        Array::Bigs(numbers) => out.push_bind_param::<ty::Array<ty::BigInt>, _>(numbers),
        Array::OptBigs(numbers) => out.push_bind_param::<ty::Array<ty::Nullable<ty::BigInt>>, _>(numbers),
        Array::Bytes(bytes) => out.push_bind_param::<ty::Array<ty::Binary>, _>(bytes),
    }
}

#[cfg(feature = "sqlite")]
raw!(diesel::SqliteConnection, diesel::sqlite::Sqlite, Dialect::Sqlite, no_array, {});

#[cfg(feature = "mysql")]
raw!(diesel::MysqlConnection, diesel::mysql::Mysql, Dialect::Mysql, no_array, {
    fn own_tx<T, E: From<diesel::result::Error>>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        // The default, REPEATABLE READ, locks gaps: workers would block enqueues. Set so, it is for one transaction only.
        transaction(self, "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; BEGIN", work)
    }
});

#[cfg(feature = "postgres")]
raw!(diesel::PgConnection, diesel::pg::Pg, Dialect::Postgres, push_array, {
    fn round_tx<T>(&mut self, work: impl FnOnce(&mut Self) -> QueryResult<T>) -> QueryResult<T> {
        // The plan of a statement that is kept may be as old as the connection: made for a table that was empty then, it
        // would read all of what is a large one by now. So a plan here must go by an index.
        transaction(self, "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL enable_seqscan = off", work)
    }

    fn own_tx<T, E: From<diesel::result::Error>>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        // Whatever the database or the role begins with by default: under REPEATABLE READ, workers that take jobs at the
        // same time would keep undoing each other's exchanges.
        transaction(self, "BEGIN ISOLATION LEVEL READ COMMITTED", work)
    }

    fn was_notified(&mut self) -> QueryResult<bool> {
        let mut any = false;
        for notification in self.notifications_iter() {
            notification?;
            any = true;
        }
        Ok(any)
    }
});

/// A transaction that begins in its own way, with one call of the server. Inside another one, a savepoint of that.
#[cfg(any(feature = "postgres", feature = "mysql"))]
fn transaction<C, T, E>(conn: &mut C, begin: &str, work: impl FnOnce(&mut C) -> Result<T, E>) -> Result<T, E>
where
    C: Connection<TransactionManager = Manager>,
    E: From<diesel::result::Error>,
{
    use diesel::result::Error;
    match Manager::begin_transaction_sql(conn, begin) {
        Ok(()) => {}
        Err(Error::AlreadyInTransaction) => return conn.transaction(work),
        Err(error) => {
            // It may have begun, and only Diesel knows nothing of it.
            let _ = conn.batch_execute("ROLLBACK");
            return Err(error.into());
        }
    }
    match work(conn) {
        Ok(done) => Ok(Manager::commit_transaction(conn).map(|()| done)?),
        Err(error) => match Manager::rollback_transaction(conn) {
            Ok(()) | Err(Error::BrokenTransactionManager) => Err(error),
            Err(rollback) => Err(rollback.into()),
        },
    }
}
