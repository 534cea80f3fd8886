use std::fs;

use diesel::{Connection, QueryResult, SqliteConnection, connection::SimpleConnection};

use super::{
    Template, TestConnection,
    backend::{OwnDatabase, Prepare, Source, failed, sealed::Backend},
};

impl Template<SqliteConnection> {
    /// A template for SQLite; `prepare` runs once, in memory.
    ///
    /// Its databases are files, so that a pool has several connections, with `journal_mode=WAL`, `foreign_keys=ON` and
    /// `busy_timeout=5000` as in production; nothing is synced to the disk.
    #[must_use]
    pub const fn sqlite(prepare: Prepare<SqliteConnection>) -> Self {
        Self::new(String::new, prepare)
    }
}

impl TestConnection for SqliteConnection {}

impl Backend for SqliteConnection {
    /// The bytes of a database file.
    type Made = Vec<u8>;

    fn make(_: &Source, prepare: Prepare<Self>) -> Result<Vec<u8>, String> {
        let mut conn = failed(Self::establish(":memory:"), "opening the template")?;
        failed(prepare(&mut conn), "preparing the template")?;
        let mut file = conn.serialize_database_to_buffer().to_vec();
        // Read and write version 2: the file is opened in WAL mode. <https://www.sqlite.org/fileformat2.html#section_1_3_3>
        if let Some(versions) = file.get_mut(18..20) {
            versions.fill(2);
        }
        Ok(file)
    }

    fn fresh(made: &Vec<u8>, _: Prepare<Self>) -> OwnDatabase {
        let folder =
            failed(tempfile::Builder::new().prefix("test-db-").tempdir(), "making a temporary folder")?;
        let path = folder.path().join("test.db");
        failed(fs::write(&path, made), "copying the template")?;
        let url = path.to_str().ok_or("the temporary folder has a name that is not UTF-8")?.to_owned();
        Ok((url, Box::new(folder)))
    }

    fn shared(made: &Vec<u8>, prepare: Prepare<Self>) -> OwnDatabase {
        Self::fresh(made, prepare) // a copy costs less than anything that could be shared
    }

    fn set_up(conn: &mut Self) -> QueryResult<()> {
        conn.batch_execute("PRAGMA busy_timeout = 5000; PRAGMA synchronous = OFF; PRAGMA foreign_keys = ON;")
    }
}
