//! A memory store that counts its calls and breaks on demand.
use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use utils_token_auth::{LiveAt, MemoryStore, Purge, Rotate, Session, Sid, Store, Which, Why};

#[derive(Clone, Default)]
pub(crate) struct Spy {
    store: MemoryStore,
    calls: Arc<Mutex<HashMap<&'static str, usize>>>,
    broken: Arc<AtomicBool>,
}

impl Spy {
    pub(crate) fn calls(&self, method: &str) -> usize {
        self.calls.lock().unwrap().get(method).copied().unwrap_or(0)
    }

    pub(crate) fn break_down(&self, broken: bool) {
        self.broken.store(broken, Ordering::SeqCst);
    }

    fn called(&self, method: &'static str) -> io::Result<&MemoryStore> {
        *self.calls.lock().unwrap().entry(method).or_default() += 1;
        if self.broken.load(Ordering::SeqCst) {
            return Err(io::Error::other("SELECT secret_hash FROM auth_sessions: connection refused"));
        }
        Ok(&self.store)
    }
}

impl Store for Spy {
    type Error = io::Error;

    async fn insert(&self, session: Session) -> io::Result<()> {
        self.called("insert")?.insert(session).await.map_err(io::Error::other)
    }

    async fn get(&self, id: Sid) -> io::Result<Option<Session>> {
        self.called("get")?.get(id).await.map_err(io::Error::other)
    }

    async fn rotate(&self, rotate: Rotate) -> io::Result<bool> {
        self.called("rotate")?.rotate(rotate).await.map_err(io::Error::other)
    }

    async fn revoke(&self, which: Which<'_>, why: Why, at: i64) -> io::Result<usize> {
        self.called("revoke")?.revoke(which, why, at).await.map_err(io::Error::other)
    }

    async fn list(&self, user: &str, live: LiveAt) -> io::Result<Vec<Session>> {
        self.called("list")?.list(user, live).await.map_err(io::Error::other)
    }

    async fn revoked_since(&self, at: i64) -> io::Result<Vec<(Sid, i64)>> {
        self.called("revoked_since")?.revoked_since(at).await.map_err(io::Error::other)
    }

    async fn purge(&self, purge: Purge) -> io::Result<usize> {
        self.called("purge")?.purge(purge).await.map_err(io::Error::other)
    }
}
