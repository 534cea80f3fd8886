use diesel::{
    Connection, MysqlConnection, QueryResult, QueryableByName, RunQueryDsl,
    connection::SimpleConnection,
    sql_query,
    sql_types::{BigInt, Nullable, Text},
};

use super::{
    Template, TestConnection,
    backend::{OwnDatabase, Prepare, Source, failed, sealed::Backend},
    server::{self, Keeper, Server, Shared},
};

impl Template<MysqlConnection> {
    /// A template on a MySQL or MariaDB server. They cannot copy a database: `prepare` runs for every
    /// [`fresh`](Self::fresh) one, and once in a process for [`rollback`](Self::rollback).
    ///
    /// `url` names any database there; its user has to be allowed to create databases. What a process leaves behind when it is
    /// killed is removed by the next one.
    #[must_use]
    pub const fn mysql(url: fn() -> String, prepare: Prepare<MysqlConnection>) -> Self {
        Self::new(url, prepare)
    }
}

impl TestConnection for MysqlConnection {}

/// What the process keeps.
#[derive(Debug)]
pub struct Made {
    keeper: Keeper<MysqlConnection>,
    shared: Shared,
}

impl Made {
    fn prepared(&self, prepare: Prepare<MysqlConnection>) -> Result<(String, String), String> {
        let (name, url) = self.keeper.create(None)?;
        let mut conn = failed(MysqlConnection::establish(&url), "connecting to a new database")?;
        failed(prepare(&mut conn), "preparing a new database")?;
        Ok((name, url))
    }
}

impl Backend for MysqlConnection {
    type Made = Made;

    fn make(source: &Source, _: Prepare<Self>) -> Result<Made, String> {
        Ok(Made { keeper: Keeper::new(&source())?, shared: Shared::default() })
    }

    fn fresh(made: &Made, prepare: Prepare<Self>) -> OwnDatabase {
        let (name, url) = made.prepared(prepare)?;
        Ok((url, made.keeper.cleanup(name)))
    }

    fn shared(made: &Made, prepare: Prepare<Self>) -> OwnDatabase {
        server::shared(&made.shared, || Ok(made.prepared(prepare)?.1))
    }
}

#[derive(QueryableByName)]
struct Name {
    #[diesel(sql_type = Text)]
    name: String,
}

#[derive(QueryableByName)]
struct Done {
    #[diesel(sql_type = Nullable<BigInt>)]
    done: Option<i64>,
}

impl Server for MysqlConnection {
    // locks belong to the whole server
    fn place(&mut self) -> QueryResult<String> {
        Ok("mysql".to_owned())
    }

    fn lock(&mut self, owner: &str) -> QueryResult<bool> {
        let lock = sql_query("SELECT CAST(GET_LOCK(?, 0) AS SIGNED) AS done");
        Ok(lock.bind::<Text, _>(owner).get_result::<Done>(self)?.done == Some(1))
    }

    fn unlock(&mut self, owner: &str) -> QueryResult<()> {
        sql_query("DO RELEASE_LOCK(?)").bind::<Text, _>(owner).execute(self).map(drop)
    }

    fn databases(&mut self, prefix: &str) -> QueryResult<Vec<String>> {
        let names = sql_query(
            "SELECT CAST(schema_name AS CHAR) AS name FROM information_schema.schemata WHERE LEFT(schema_name, CHAR_LENGTH(?)) = ?",
        );
        let names = names.bind::<Text, _>(prefix).bind::<Text, _>(prefix).load::<Name>(self)?;
        Ok(names.into_iter().map(|database| database.name).collect())
    }

    fn create(&mut self, name: &str, _template: Option<&str>) -> QueryResult<()> {
        self.batch_execute(&format!("CREATE DATABASE `{name}`"))
    }

    fn remove(&mut self, name: &str) -> QueryResult<()> {
        self.batch_execute(&format!("DROP DATABASE IF EXISTS `{name}`"))
    }
}
