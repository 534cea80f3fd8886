use diesel::{
    Connection, PgConnection, QueryResult, QueryableByName, RunQueryDsl,
    connection::SimpleConnection,
    sql_query,
    sql_types::{Bool, Text},
};

use super::{
    Template, TestConnection,
    backend::{OwnDatabase, Prepare, Source, failed, sealed::Backend},
    server::{self, Keeper, Server, Shared},
};

impl Template<PgConnection> {
    /// A template on a PostgreSQL server (13 or newer); `prepare` runs once in a process.
    ///
    /// `url` names any database there; its user has to be allowed to create databases. What a process leaves behind when it is
    /// killed is removed by the next one.
    #[must_use]
    pub const fn postgres(url: fn() -> String, prepare: Prepare<PgConnection>) -> Self {
        Self::new(url, prepare)
    }
}

impl TestConnection for PgConnection {}

/// What the process keeps.
#[derive(Debug)]
pub struct Made {
    keeper: Keeper<PgConnection>,
    /// The name of the template, to which nobody may be connected while it is copied.
    template: String,
    shared: Shared,
}

impl Backend for PgConnection {
    type Made = Made;

    fn make(source: &Source, prepare: Prepare<Self>) -> Result<Made, String> {
        let keeper = Keeper::<Self>::new(&source())?;
        let (template, url) = keeper.create(None)?;
        let mut conn = failed(Self::establish(&url), "connecting to the template")?;
        failed(prepare(&mut conn), "preparing the template")?;
        Ok(Made { keeper, template, shared: Shared::default() })
    }

    fn fresh(made: &Made, _: Prepare<Self>) -> OwnDatabase {
        let (name, url) = made.keeper.create(Some(&made.template))?;
        Ok((url, made.keeper.cleanup(name)))
    }

    fn shared(made: &Made, _: Prepare<Self>) -> OwnDatabase {
        server::shared(&made.shared, || Ok(made.keeper.create(Some(&made.template))?.1))
    }
}

#[derive(QueryableByName)]
struct Name {
    #[diesel(sql_type = Text)]
    name: String,
}

#[derive(QueryableByName)]
struct Done {
    #[diesel(sql_type = Bool)]
    done: bool,
}

impl Server for PgConnection {
    // advisory locks belong to the database that the connection is in
    fn place(&mut self) -> QueryResult<String> {
        Ok(sql_query("SELECT substr(md5(current_database()), 1, 6) AS name").get_result::<Name>(self)?.name)
    }

    fn lock(&mut self, owner: &str) -> QueryResult<bool> {
        let lock = sql_query("SELECT pg_try_advisory_lock(hashtextextended($1, 0)) AS done");
        Ok(lock.bind::<Text, _>(owner).get_result::<Done>(self)?.done)
    }

    fn unlock(&mut self, owner: &str) -> QueryResult<()> {
        let unlock = sql_query("SELECT pg_advisory_unlock(hashtextextended($1, 0)) AS done");
        unlock.bind::<Text, _>(owner).execute(self).map(drop)
    }

    fn databases(&mut self, prefix: &str) -> QueryResult<Vec<String>> {
        let names =
            sql_query("SELECT datname::text AS name FROM pg_database WHERE starts_with(datname::text, $1)");
        let names = names.bind::<Text, _>(prefix).load::<Name>(self)?;
        Ok(names.into_iter().map(|database| database.name).collect())
    }

    fn create(&mut self, name: &str, template: Option<&str>) -> QueryResult<()> {
        let template = template.map_or_else(String::new, |template| format!(" TEMPLATE \"{template}\""));
        self.batch_execute(&format!("CREATE DATABASE \"{name}\"{template}"))
    }

    fn remove(&mut self, name: &str) -> QueryResult<()> {
        self.batch_execute(&format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)"))
    }
}
