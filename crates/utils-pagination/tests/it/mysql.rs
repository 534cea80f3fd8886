use std::ops::{Deref, DerefMut};

use diesel::{connection::SimpleConnection, mysql::Mysql};

/// A database of its own, which goes with it.
struct Database {
    conn: MysqlConnection,
    schema: String,
}

fn connect() -> Database {
    let Ok(url) = std::env::var("TEST_MYSQL_URL") else {
        panic!(
            "TEST_MYSQL_URL is not set: the URL of a MySQL or MariaDB server where the tests may create databases"
        )
    };
    let mut conn = MysqlConnection::establish(&url).unwrap();
    let schema = crate::schema::unique_name();
    conn.batch_execute(&format!("CREATE DATABASE {schema}; USE {schema}")).unwrap();
    for statement in crate::schema::statements() {
        conn.batch_execute(&statement).unwrap();
    }
    Database { conn, schema }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.conn.batch_execute(&format!("DROP DATABASE {}", self.schema)).unwrap();
    }
}

impl Deref for Database {
    type Target = MysqlConnection;

    fn deref(&self) -> &MysqlConnection {
        &self.conn
    }
}

impl DerefMut for Database {
    fn deref_mut(&mut self) -> &mut MysqlConnection {
        &mut self.conn
    }
}

test_backend!(Mysql, connect);
