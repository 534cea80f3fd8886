//! 57 items of three groups, as in the golden cases, and the groups they belong to.
use diesel::prelude::*;
use serde::Serialize;

diesel::table! {
    items (id) {
        id -> BigInt,
        name -> Varchar,
        grp -> BigInt,
    }
}

diesel::table! {
    #[sql_name = "groups_of_items"] // `groups` is a word of SQL
    groups (id) {
        id -> BigInt,
        name -> Varchar,
    }
}

diesel::joinable!(items -> groups (grp));
diesel::allow_tables_to_appear_in_same_query!(items, groups);

#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Serialize)]
#[diesel(table_name = items)]
pub(crate) struct Item {
    pub(crate) id: i64,
    pub(crate) name: String,
    #[serde(skip)]
    pub(crate) grp: i64,
}

/// What every backend understands.
pub(crate) fn statements() -> Vec<String> {
    let items: Vec<_> = (1..=57).map(|id| format!("({id}, 'item-{id:02}', {})", id % 3)).collect();
    vec![
        "CREATE TABLE items (id BIGINT PRIMARY KEY, name VARCHAR(40) NOT NULL, grp BIGINT NOT NULL)"
            .to_owned(),
        "CREATE TABLE groups_of_items (id BIGINT PRIMARY KEY, name VARCHAR(40) NOT NULL)".to_owned(),
        "INSERT INTO groups_of_items VALUES (0, 'zero'), (1, 'one'), (2, 'two')".to_owned(),
        format!("INSERT INTO items VALUES {}", items.join(", ")),
    ]
}

/// A name that no other test, thread or run uses.
#[cfg(any(feature = "postgres", feature = "mysql"))]
pub(crate) fn unique_name() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};

    static COUNT: AtomicU32 = AtomicU32::new(0);
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_micros();
    format!("pagination_{}_{now}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}
