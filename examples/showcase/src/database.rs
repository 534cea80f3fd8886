//! Opening, migrating and seeding the database.
use std::error::Error;

use diesel::prelude::*;
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
