//! The contract is worth something: stores with the usual mistakes do not pass it.
use utils_testing::token_auth::check_session_store;
use utils_token_auth::{
    LiveAt, MemoryStore, MemoryStoreError, Purge, Rotate, Session, Sid, Store, Which, Why,
};

#[derive(Clone, Copy, PartialEq)]
enum Fault {
    /// Two callers may both see the old generation.
    ReadsThenWrites,
    /// As MySQL compares text by default.
    FoldsUsers,
    /// A session is found by its id, whoever asks.
    IgnoresTheOwner,
    /// The idle limit is looked at when reading only.
    RotatesIdleSessions,
    /// The last reason wins.
    RevokesTwice,
    /// What other processes must still hear of is gone.
    PurgesRevokedAtOnce,
    /// Not the moment itself.
    HearsOfLaterOnly,
    /// The device's name is lost on the way.
    DropsTheLabel,
    /// A session that is deleted while it rotates is written again, as `HSET` would.
    BringsThePurgedBack,
    /// A list is read, and each of it ended by itself if nothing moved since.
    EndsWhatItHasRead,
}

#[derive(Clone)]
struct Faulty {
    store: MemoryStore,
    fault: Fault,
}

impl Faulty {
    fn has(&self, fault: Fault) -> bool {
        self.fault == fault
    }
}

impl Store for Faulty {
    type Error = MemoryStoreError;

    async fn insert(&self, mut session: Session) -> Result<(), MemoryStoreError> {
        if self.has(Fault::DropsTheLabel) {
            session.client.label = None;
        }
        if self.has(Fault::FoldsUsers) {
            session.user = session.user.to_lowercase();
        }
        self.store.insert(session).await
    }

    async fn get(&self, id: Sid) -> Result<Option<Session>, MemoryStoreError> {
        self.store.get(id).await
    }

    async fn rotate(&self, rotate: Rotate) -> Result<bool, MemoryStoreError> {
        if self.has(Fault::ReadsThenWrites) {
            let Some(read) = self.store.get(rotate.id).await? else { return Ok(false) };
            if read.generation != rotate.from || !rotate.live.holds(&read) {
                return Ok(false);
            }
            tokio::task::yield_now().await;
            let now = self.store.get(rotate.id).await?.map_or(0, |session| session.generation);
            self.store.rotate(Rotate { from: now, ..rotate }).await?;
            return Ok(true);
        }
        if self.has(Fault::BringsThePurgedBack) {
            let Some(mut session) = self.store.get(rotate.id).await? else { return Ok(false) };
            tokio::task::yield_now().await;
            let moved = self.store.rotate(rotate.clone()).await?;
            if self.store.get(rotate.id).await?.is_none() {
                session.generation = rotate.to;
                self.store.insert(session).await?;
            }
            return Ok(moved);
        }
        let idle_since = if self.has(Fault::RotatesIdleSessions) { 0 } else { rotate.live.idle_since };
        self.store.rotate(Rotate { live: LiveAt { idle_since, ..rotate.live }, ..rotate }).await
    }

    async fn revoke(&self, which: Which<'_>, why: Why, at: i64) -> Result<usize, MemoryStoreError> {
        if let Which::One { id, .. } = which
            && let Some(found) = self.store.get(id).await?
        {
            if self.has(Fault::IgnoresTheOwner) {
                return self.store.revoke(Which::One { user: &found.user, id }, why, at).await;
            }
            if self.has(Fault::RevokesTwice) && found.user == which.user() {
                self.store.revoke(which, why, at).await?;
                return Ok(1);
            }
        }
        if self.has(Fault::EndsWhatItHasRead) && !matches!(which, Which::One { .. }) {
            let user = which.user();
            let live = LiveAt { now: 0, idle_since: 0 };
            let read = self.store.list(user, live).await?;
            tokio::task::yield_now().await;
            let mut count = 0;
            for session in read.into_iter().filter(|session| which.matches(session)) {
                let moved =
                    self.store.get(session.id).await?.map(|now| now.generation) != Some(session.generation);
                if !moved {
                    count += self.store.revoke(Which::One { user, id: session.id }, why, at).await?;
                }
            }
            return Ok(count);
        }
        self.store.revoke(which, why, at).await
    }

    async fn list(&self, user: &str, live: LiveAt) -> Result<Vec<Session>, MemoryStoreError> {
        let folded = user.to_lowercase();
        self.store.list(if self.has(Fault::FoldsUsers) { &folded } else { user }, live).await
    }

    async fn revoked_since(&self, at: i64) -> Result<Vec<(Sid, i64)>, MemoryStoreError> {
        self.store.revoked_since(at + i64::from(self.has(Fault::HearsOfLaterOnly))).await
    }

    async fn purge(&self, purge: Purge) -> Result<usize, MemoryStoreError> {
        let now = self.has(Fault::PurgesRevokedAtOnce);
        let ended_before = if now { purge.ended_before + 7_200_000 } else { purge.ended_before };
        self.store.purge(Purge { ended_before, ..purge }).await
    }
}

#[actix_web::test]
async fn a_store_that_reads_and_then_writes_does_not_pass() {
    check(Fault::ReadsThenWrites, "the same step worked twice|callers, ").await;
}

#[actix_web::test]
async fn a_store_that_folds_users_does_not_pass() {
    check(Fault::FoldsUsers, "a session changed in the store|to the byte").await;
}

#[actix_web::test]
async fn a_store_that_ignores_the_owner_does_not_pass() {
    check(Fault::IgnoresTheOwner, "a session ended by its id alone").await;
}

#[actix_web::test]
async fn a_store_that_rotates_idle_sessions_does_not_pass() {
    check(Fault::RotatesIdleSessions, "`rotate` of a session").await;
}

#[actix_web::test]
async fn a_store_that_revokes_twice_does_not_pass() {
    check(Fault::RevokesTwice, "a session ended twice").await;
}

#[actix_web::test]
async fn a_store_that_purges_too_early_does_not_pass() {
    check(Fault::PurgesRevokedAtOnce, "after the purge").await;
}

#[actix_web::test]
async fn a_store_that_forgets_the_moment_itself_does_not_pass() {
    check(Fault::HearsOfLaterOnly, "`revoked_since` includes its own moment").await;
}

#[actix_web::test]
async fn a_store_that_loses_a_column_does_not_pass() {
    check(Fault::DropsTheLabel, "a session changed in the store").await;
}

#[actix_web::test]
async fn a_store_that_brings_a_purged_session_back_does_not_pass() {
    check(Fault::BringsThePurgedBack, "after the end was committed (Purge)|after the end of its session")
        .await;
}

#[actix_web::test]
async fn a_store_that_ends_only_what_does_not_move_does_not_pass() {
    check(Fault::EndsWhatItHasRead, "Others failed|All failed|as many as are meant").await;
}

/// The contract ends with one of these messages.
async fn check(fault: Fault, messages: &str) {
    let store = Faulty { store: MemoryStore::new(), fault };
    let verdict = actix_web::rt::spawn(async move { check_session_store(|| async { store.clone() }).await });
    let panic = verdict.await.expect_err("a faulty store passed").into_panic();
    let text = match panic.downcast_ref::<&str>() {
        Some(text) => (*text).to_owned(),
        None => panic.downcast_ref::<String>().cloned().unwrap_or_default(),
    };
    assert!(
        messages.split('|').any(|message| text.contains(message)),
        "it failed for another reason: {text}"
    );
}
