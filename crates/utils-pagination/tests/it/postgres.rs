use std::ops::{Deref, DerefMut};

use diesel::{connection::SimpleConnection, pg::Pg};

/// A schema of its own, which goes with it.
struct Database {
    conn: PgConnection,
    schema: String,
}

fn connect() -> Database {
    let Ok(url) = std::env::var("TEST_POSTGRES_URL") else {
        panic!("TEST_POSTGRES_URL is not set: the URL of a PostgreSQL database that the tests may write to")
    };
    let mut conn = PgConnection::establish(&url).unwrap();
    let schema = crate::schema::unique_name();
    conn.batch_execute(&format!("CREATE SCHEMA {schema}; SET search_path TO {schema}")).unwrap();
    for statement in crate::schema::statements() {
        conn.batch_execute(&statement).unwrap();
    }
    Database { conn, schema }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.conn.batch_execute(&format!("DROP SCHEMA {} CASCADE", self.schema)).unwrap();
    }
}

impl Deref for Database {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.conn
    }
}

impl DerefMut for Database {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.conn
    }
}

test_backend!(Pg, connect);
