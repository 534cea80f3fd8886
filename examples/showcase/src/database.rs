//! Opening, migrating and seeding the database, and the key that stands beside it.
use std::{
    error::Error,
    fs::{self, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
};

use diesel::{prelude::*, sql_query, sql_types::Text};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use webutils::{
    jobs::{SessionConn, Sessions},
    token_auth::Passwords,
};

use crate::schema::{items, users};

pub(crate) type Db = Sessions<SqliteConnection>;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations");

/// Opens the database, creates its file if there is none, and brings the application's tables up to date.
pub(crate) fn open(url: &str) -> Result<Db, Box<dyn Error>> {
    let sessions = Db::new(url)?;
    let mut conn = sessions.pool().get()?;
    // the write lock keeps out a second process that starts at the same moment
    conn.write_tx(|conn| {
        conn.run_pending_migrations(MIGRATIONS).map_err(diesel::result::Error::QueryBuilderError)?;
        QueryResult::Ok(())
    })?;
    Ok(sessions)
}

#[derive(QueryableByName)]
struct File {
    #[diesel(sql_type = Text)]
    file: String,
}

/// The key of the tokens: in a file of its own beside the database, so that a restart signs nobody out, and a copy of the
/// database alone is of no use to a thief. A database in memory has a key in memory.
pub(crate) fn key(sessions: &Db) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut fresh = [0; 32];
    getrandom::fill(&mut fresh)?;
    let query = sql_query("SELECT file FROM pragma_database_list WHERE name = 'main'");
    let File { file } = query.get_result(&mut *sessions.pool().get()?)?;
    if file.is_empty() {
        return Ok(fresh.to_vec());
    }
    let path = format!("{file}.key");
    if !fs::exists(&path)? {
        // whole or not at all: a process that is killed here leaves no half of a key, and of two only one is first
        let draft = format!("{path}.{}", std::process::id());
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?.write_all(&fresh)?;
        let linked = fs::hard_link(&draft, &path);
        fs::remove_file(&draft)?;
        linked.or_else(|error| if error.kind() == ErrorKind::AlreadyExists { Ok(()) } else { Err(error) })?;
    }
    Ok(fs::read(&path)?)
}

const SEEDED_ITEMS: [(&str, i32, Option<&str>); 5] = [
    ("Anvil", 3, Some("heavy")),
    ("Bellows", 7, None),
    ("Crucible", 12, None),
    ("Dolly", 4, Some("one wheel squeaks")),
    ("Ember tongs", 25, None),
];

/// Two users, who differ in what they may do, and some items: once, in a database without users.
pub(crate) async fn seed(sessions: &Db) -> Result<(), Box<dyn Error>> {
    let users: i64 = sessions.run(|conn| users::table.count().get_result(conn)).await?;
    if users > 0 {
        return Ok(());
    }
    let passwords = Passwords::new();
    let (demo, reader) = (passwords.hash("demo").await?, passwords.hash("reader").await?);
    sessions
        .tx(move |conn| {
            let user = |name, hash, scopes| {
                (users::username.eq(name), users::password_hash.eq(hash), users::scopes.eq(scopes))
            };
            diesel::insert_or_ignore_into(users::table)
                .values([
                    user("demo", demo, "items:read items:write jobs"),
                    user("reader", reader, "items:read"),
                ])
                .execute(conn)?;
            let items = SEEDED_ITEMS.map(|(name, quantity, note)| {
                (items::name.eq(name), items::quantity.eq(quantity), items::note.eq(note))
            });
            diesel::insert_into(items::table).values(items).execute(conn)
        })
        .await?;
    Ok(())
}
