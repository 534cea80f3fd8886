use diesel::prelude::*;

use super::DieselStoreError;
use crate::{
    Sid,
    session::{Client, Revoked, Session, Why},
};

diesel::table! {
    /// One signed-in device a row; see the crate's migrations.
    auth_sessions (id) {
        id -> Binary,
        user_id -> Text,
        data -> Text,
        scopes -> Text,
        secret_hash -> Binary,
        generation -> Integer,
        created_at -> BigInt,
        renewed_at -> BigInt,
        expires_at -> BigInt,
        revoked_at -> Nullable<BigInt>,
        revoked_why -> Nullable<SmallInt>,
        ip -> Nullable<Text>,
        user_agent -> Nullable<Text>,
        label -> Nullable<Text>,
    }
}

/// A session as the table has it.
#[derive(Queryable, Insertable)]
#[diesel(table_name = auth_sessions)]
pub(super) struct Row {
    id: Vec<u8>,
    user_id: String,
    data: String,
    scopes: String,
    secret_hash: Vec<u8>,
    generation: i32,
    created_at: i64,
    renewed_at: i64,
    expires_at: i64,
    revoked_at: Option<i64>,
    revoked_why: Option<i16>,
    ip: Option<String>,
    user_agent: Option<String>,
    label: Option<String>,
}

impl TryFrom<Session> for Row {
    type Error = DieselStoreError;

    fn try_from(session: Session) -> Result<Self, DieselStoreError> {
        Ok(Self {
            id: session.id.as_bytes().to_vec(),
            user_id: session.user,
            data: session.data.to_string(),
            scopes: serde_json::to_string(&session.scopes).map_err(damaged)?,
            secret_hash: session.secret_hash.to_vec(),
            generation: generation(session.generation)?,
            created_at: session.created_at,
            renewed_at: session.renewed_at,
            expires_at: session.expires_at,
            revoked_at: session.revoked.map(|revoked| revoked.at),
            revoked_why: session.revoked.map(|revoked| revoked.why.code()),
            ip: session.client.ip.map(|ip| ip.to_string()),
            user_agent: session.client.user_agent,
            label: session.client.label,
        })
    }
}

impl TryFrom<Row> for Session {
    type Error = DieselStoreError;

    fn try_from(row: Row) -> Result<Self, DieselStoreError> {
        Ok(Self {
            id: sid(&row.id)?,
            user: row.user_id,
            data: serde_json::from_str(&row.data).map_err(damaged)?,
            scopes: serde_json::from_str(&row.scopes).map_err(damaged)?,
            secret_hash: row.secret_hash.as_slice().try_into().map_err(damaged)?,
            generation: u32::try_from(row.generation).map_err(damaged)?,
            created_at: row.created_at,
            renewed_at: row.renewed_at,
            expires_at: row.expires_at,
            // a reason that a newer release wrote is no reason to let the session live
            revoked: row.revoked_at.map(|at| Revoked {
                at,
                why: row.revoked_why.and_then(Why::from_code).unwrap_or(Why::Admin),
            }),
            client: Client {
                ip: row.ip.and_then(|ip| ip.parse().ok()),
                user_agent: row.user_agent,
                label: row.label,
            },
        })
    }
}

/// A generation as the table holds it.
pub(super) fn generation(generation: u32) -> Result<i32, DieselStoreError> {
    i32::try_from(generation).map_err(damaged)
}

pub(super) fn sid(bytes: &[u8]) -> Result<Sid, DieselStoreError> {
    Ok(Sid::from_bytes(bytes.try_into().map_err(damaged)?))
}

fn damaged(cause: impl std::error::Error + Send + Sync + 'static) -> DieselStoreError {
    DieselStoreError::Row(Box::new(cause))
}
