use std::ops::{Deref, DerefMut};

use diesel::{connection::SimpleConnection, sqlite::Sqlite};

/// A database in memory.
pub(crate) struct Database(SqliteConnection);

pub(crate) fn connect() -> Database {
    let mut conn = SqliteConnection::establish(":memory:").unwrap();
    conn.batch_execute(&crate::schema::statements().join(";")).unwrap();
    Database(conn)
}

impl Deref for Database {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.0
    }
}

impl DerefMut for Database {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.0
    }
}

test_backend!(Sqlite, connect);
