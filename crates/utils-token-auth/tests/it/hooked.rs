//! A memory store that does what a test says before each of its calls: wait, fail or panic.
use std::{future::Future, io, pin::Pin, sync::Arc};

use utils_token_auth::{LiveAt, MemoryStore, Purge, Rotate, Session, Sid, Store, Which, Why};

type Hook = dyn Fn(&'static str) -> Pin<Box<dyn Future<Output = io::Result<()>> + Send>> + Send + Sync;

#[derive(Clone)]
pub(crate) struct Hooked {
    pub(crate) store: MemoryStore,
    hook: Arc<Hook>,
}

impl Hooked {
    pub(crate) fn before<F, Fut>(hook: F) -> Self
    where
        F: Fn(&'static str) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = io::Result<()>> + Send + 'static,
    {
        Self { store: MemoryStore::new(), hook: Arc::new(move |method| Box::pin(hook(method))) }
    }

    async fn called(&self, method: &'static str) -> io::Result<&MemoryStore> {
        (self.hook)(method).await?;
        Ok(&self.store)
    }
}

impl Store for Hooked {
    type Error = io::Error;

    async fn insert(&self, session: Session) -> io::Result<()> {
        self.called("insert").await?.insert(session).await.map_err(io::Error::other)
    }

    async fn get(&self, id: Sid) -> io::Result<Option<Session>> {
        self.called("get").await?.get(id).await.map_err(io::Error::other)
    }

    async fn rotate(&self, rotate: Rotate) -> io::Result<bool> {
        self.called("rotate").await?.rotate(rotate).await.map_err(io::Error::other)
    }

    async fn revoke(&self, which: Which<'_>, why: Why, at: i64) -> io::Result<usize> {
        self.called("revoke").await?.revoke(which, why, at).await.map_err(io::Error::other)
    }

    async fn list(&self, user: &str, live: LiveAt) -> io::Result<Vec<Session>> {
        self.called("list").await?.list(user, live).await.map_err(io::Error::other)
    }

    async fn revoked_since(&self, at: i64) -> io::Result<Vec<(Sid, i64)>> {
        self.called("revoked_since").await?.revoked_since(at).await.map_err(io::Error::other)
    }

    async fn purge(&self, purge: Purge) -> io::Result<usize> {
        self.called("purge").await?.purge(purge).await.map_err(io::Error::other)
    }
}
