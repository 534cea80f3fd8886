//! The application's own tables; those of sessions and jobs come with their crates.
#![allow(clippy::wildcard_imports, reason = "what `table!` writes")]

diesel::table! {
    users (id) {
        id -> Integer,
        username -> Text,
        password_hash -> Text,
        scopes -> Text,
    }
}

diesel::table! {
    items (id) {
        id -> Integer,
        name -> Text,
        quantity -> Integer,
        note -> Nullable<Text>,
    }
}

diesel::table! {
    reports (job_id) {
        job_id -> Text,
        requested_by -> Text,
        requested_at -> BigInt,
        items -> Nullable<BigInt>,
        quantity -> Nullable<BigInt>,
    }
}
