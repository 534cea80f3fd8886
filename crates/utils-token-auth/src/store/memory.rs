use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    Sid,
    session::{LiveAt, Revoked, Session, Why},
    store::{Purge, Rotate, Store, Which},
};

/// Sessions in memory: for tests, and for one process whose users may sign in again after a restart.
///
/// A clone shares the sessions.
#[derive(Clone, Default)]
pub struct MemoryStore {
    sessions: Arc<Mutex<Sessions>>,
}

#[derive(Default)]
struct Sessions {
    by_id: HashMap<Sid, Session>,
    by_user: HashMap<String, BTreeSet<Sid>>,
    revoked: BTreeSet<(i64, Sid)>,
}

/// Why a session was not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MemoryStoreError {
    /// There is a session with this id.
    #[error("there is a session with this id")]
    Duplicate,
}

impl MemoryStore {
    /// No sessions yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many sessions there are, ended ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().by_id.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, Sessions> {
        // no method leaves the maps half changed, so a panic elsewhere under the lock breaks nothing
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    type Error = MemoryStoreError;

    const SHARED: bool = false;

    async fn insert(&self, session: Session) -> Result<(), MemoryStoreError> {
        let mut sessions = self.lock();
        if sessions.by_id.contains_key(&session.id) {
            return Err(MemoryStoreError::Duplicate);
        }
        sessions.by_user.entry(session.user.clone()).or_default().insert(session.id);
        sessions.by_id.insert(session.id, session);
        Ok(())
    }

    async fn get(&self, id: Sid) -> Result<Option<Session>, MemoryStoreError> {
        Ok(self.lock().by_id.get(&id).cloned())
    }

    async fn rotate(&self, rotate: Rotate) -> Result<bool, MemoryStoreError> {
        let mut sessions = self.lock();
        let Some(session) = sessions.by_id.get_mut(&rotate.id) else { return Ok(false) };
        if session.generation != rotate.from || !rotate.live.holds(session) {
            return Ok(false);
        }
        session.generation = rotate.to;
        session.renewed_at = rotate.live.now;
        session.client.ip = rotate.client.ip;
        session.client.user_agent = rotate.client.user_agent;
        Ok(true)
    }

    async fn revoke(&self, which: Which<'_>, why: Why, at: i64) -> Result<usize, MemoryStoreError> {
        let mut sessions = self.lock();
        let Sessions { by_id, by_user, revoked } = &mut *sessions;
        let mut count = 0;
        for id in by_user.get(which.user()).into_iter().flatten() {
            if let Some(session) = by_id.get_mut(id)
                && session.revoked.is_none()
                && which.matches(session)
            {
                session.revoked = Some(Revoked { at, why });
                revoked.insert((at, *id));
                count += 1;
            }
        }
        Ok(count)
    }

    async fn list(&self, user: &str, live: LiveAt) -> Result<Vec<Session>, MemoryStoreError> {
        let sessions = self.lock();
        let ids = sessions.by_user.get(user).into_iter().flatten();
        let mut list: Vec<Session> = ids
            .filter_map(|id| sessions.by_id.get(id))
            .filter(|session| live.holds(session))
            .cloned()
            .collect();
        list.sort_by_key(|session| std::cmp::Reverse((session.renewed_at, session.id)));
        Ok(list)
    }

    async fn revoked_since(&self, at: i64) -> Result<Vec<(Sid, i64)>, MemoryStoreError> {
        let from = (at, Sid::from_bytes([0; 16]));
        Ok(self.lock().revoked.range(from..).map(|&(at, id)| (id, at)).collect())
    }

    async fn purge(&self, purge: Purge) -> Result<usize, MemoryStoreError> {
        let mut sessions = self.lock();
        let limit = usize::try_from(purge.limit).unwrap_or(usize::MAX);
        let ended: Vec<Sid> = sessions
            .by_id
            .values()
            .filter(|session| purge.matches(session))
            .map(|session| session.id)
            .take(limit)
            .collect();
        for id in &ended {
            sessions.remove(*id);
        }
        Ok(ended.len())
    }
}

impl Sessions {
    fn remove(&mut self, id: Sid) {
        let Some(session) = self.by_id.remove(&id) else { return };
        if let Some(ids) = self.by_user.get_mut(&session.user) {
            ids.remove(&id);
            if ids.is_empty() {
                self.by_user.remove(&session.user);
            }
        }
        if let Some(revoked) = session.revoked {
            self.revoked.remove(&(revoked.at, id));
        }
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("MemoryStore").field("sessions", &self.len()).finish()
    }
}
