//! Databases on a server: their names, and what is left of processes that ended without cleaning up.
use std::{
    fmt, process,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use diesel::{QueryResult, r2d2::R2D2Connection};
use url::Url;

use super::backend::{Cleanup, OwnDatabase, failed};

/// The first part of all names.
pub(super) const PREFIX: &str = "webutils_test_";

/// A server on which databases can be made, seen from one connection to it.
pub(super) trait Server: R2D2Connection + Send + 'static {
    /// What names of this place begin with, after [`PREFIX`]; locks of different places must not meet.
    fn place(&mut self) -> QueryResult<String>;

    /// Takes the lock of this name for as long as the connection lives; `false` when another connection has it.
    fn lock(&mut self, owner: &str) -> QueryResult<bool>;

    /// Gives a lock back.
    fn unlock(&mut self, owner: &str) -> QueryResult<()>;

    /// All databases whose names begin so.
    fn databases(&mut self, prefix: &str) -> QueryResult<Vec<String>>;

    /// Makes a database, as a copy of `template` where the server can.
    fn create(&mut self, name: &str, template: Option<&str>) -> QueryResult<()>;

    /// Removes a database, also when somebody is still connected to it.
    fn remove(&mut self, name: &str) -> QueryResult<()>;
}

/// The URL of the database that rolled back tests share, once there is one.
pub(super) type Shared = Mutex<Option<String>>;

/// The shared database; the first test that asks makes it.
pub(super) fn shared(shared: &Shared, make: impl FnOnce() -> Result<String, String>) -> OwnDatabase {
    let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
    let url = match &*shared {
        Some(url) => url.clone(),
        None => shared.insert(make()?).clone(),
    };
    // it stays until the process ends, and is removed by the next one
    Ok((url, Box::new(())))
}

/// A connection that stays open as long as the process: it makes databases, and its lock says that they are in use.
pub(super) struct Keeper<C> {
    conn: Mutex<C>,
    url: Url,
    owner: String,
    next: AtomicU32,
}

impl<C: Server> Keeper<C> {
    pub(super) fn new(url: &str) -> Result<Self, String> {
        let parsed: Url = failed(url.parse(), "reading the URL of the server")?;
        let mut conn = failed(C::establish(url), "connecting to the server")?;
        let place = failed(conn.place(), "asking the server")?;
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.subsec_nanos());
        let owner = format!("{PREFIX}{place}_{}_{nanos:x}", process::id());
        if !failed(conn.lock(&owner), "locking")? {
            return Err("locking: another process has the same name".to_owned());
        }
        failed(
            sweep(&mut conn, &format!("{PREFIX}{place}_")),
            "removing databases of processes that have ended",
        )?;
        Ok(Self { conn: Mutex::new(conn), url: parsed, owner, next: AtomicU32::new(0) })
    }

    /// A new database: its name and URL.
    pub(super) fn create(&self, template: Option<&str>) -> Result<(String, String), String> {
        let name = format!("{}_{}", self.owner, self.next.fetch_add(1, Ordering::Relaxed));
        let mut conn = self.conn.lock().unwrap_or_else(PoisonError::into_inner);
        failed(conn.create(&name, template), "creating a database")?;
        let mut url = self.url.clone();
        url.set_path(&name);
        Ok((name, url.into()))
    }

    /// Removes the database when it is dropped; if that fails, a later process does.
    pub(super) fn cleanup(&self, name: String) -> Cleanup {
        Box::new(Removal::<C> { url: self.url.to_string(), name, connection: std::marker::PhantomData })
    }
}

impl<C> fmt::Debug for Keeper<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").field("owner", &self.owner).finish_non_exhaustive()
    }
}

struct Removal<C: Server> {
    url: String,
    name: String,
    connection: std::marker::PhantomData<fn() -> C>,
}

impl<C: Server> Drop for Removal<C> {
    fn drop(&mut self) {
        if let Ok(mut conn) = C::establish(&self.url) {
            let _ = conn.remove(&self.name);
        }
    }
}

/// Removes databases whose owner does not hold its lock any more.
fn sweep<C: Server>(conn: &mut C, prefix: &str) -> QueryResult<()> {
    for name in conn.databases(prefix)? {
        let Some((owner, _)) = name.rsplit_once('_') else { continue };
        if conn.lock(owner)? {
            // another process that sweeps may have been faster
            let _ = conn.remove(&name);
            conn.unlock(owner)?;
        }
    }
    Ok(())
}
