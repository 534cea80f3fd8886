use std::future::Future;

use utils_token_auth::{LiveAt, Purge, Revoked, Session, Sid, Store, Which, Why};

use super::{HOUR, LIVE, NOW, done, found, new_id, new_user, session};

/// Sessions end for exactly those who are meant, every process can hear of it, and the purge takes no more than it may.
pub async fn check_endings<S, Open, Opening>(open: &Open)
where
    S: Store,
    Open: Fn() -> Opening,
    Opening: Future<Output = S>,
{
    let store = open().await;
    a_revocation_ends_what_is_meant(&store).await;
    nobody_ends_another_users_session(&store).await;
    the_first_reason_stays(&store).await;
    the_latest_comes_first_in_a_list(&store).await;
    other_processes_hear_of_revocations(&store, &open().await).await;
    the_purge_takes_what_is_over_and_no_more(&store).await;
    the_purge_keeps_to_its_limit(&store).await;
}

async fn inserted<S: Store>(store: &S, sessions: usize, user: &str) -> Vec<Sid> {
    let mut ids = Vec::new();
    for _ in 0..sessions {
        let session = session(user);
        ids.push(session.id);
        done(store.insert(session).await);
    }
    ids
}

async fn live_ids<S: Store>(store: &S, user: &str) -> Vec<Sid> {
    let mut ids: Vec<Sid> = done(store.list(user, LIVE).await).iter().map(|session| session.id).collect();
    ids.sort();
    ids
}

async fn a_revocation_ends_what_is_meant<S: Store>(store: &S) {
    let user = new_user("ana");
    let user = user.as_str();
    let other = new_user("bo");
    let theirs = inserted(store, 2, &other).await;
    let ids = inserted(store, 5, user).await;

    let count = done(store.revoke(Which::One { user, id: ids[0] }, Why::User, NOW).await);
    assert_eq!(count, 1, "one session must end");
    let count = done(store.revoke(Which::Others { user, keep: ids[1] }, Why::Password, NOW + 1).await);
    assert_eq!(count, 3, "all but two, of which one had ended before, must end");
    assert_eq!(live_ids(store, user).await, [ids[1]], "`Others` must keep one session");
    let count = done(store.revoke(Which::All { user }, Why::Admin, NOW + 2).await);
    assert_eq!(count, 1, "the last session must end");
    assert!(live_ids(store, user).await.is_empty());
    assert_eq!(
        done(store.revoke(Which::All { user }, Why::Admin, NOW + 3).await),
        0,
        "nothing is left to end"
    );

    for (id, at, why) in
        [(ids[0], NOW, Why::User), (ids[2], NOW + 1, Why::Password), (ids[1], NOW + 2, Why::Admin)]
    {
        assert_eq!(found(store, id).await.revoked, Some(Revoked { at, why }));
    }
    let mut theirs = theirs;
    theirs.sort();
    assert_eq!(live_ids(store, &other).await, theirs, "another user's sessions ended");
}

async fn nobody_ends_another_users_session<S: Store>(store: &S) {
    let owner = new_user("owner");
    let thief = new_user("thief");
    let id = inserted(store, 1, &owner).await[0];
    let count = done(store.revoke(Which::One { user: &thief, id }, Why::User, NOW).await);
    assert_eq!(count, 0, "a session ended by its id alone");
    assert_eq!(found(store, id).await.revoked, None);
    let unknown = Which::One { user: &owner, id: new_id() };
    assert_eq!(done(store.revoke(unknown, Why::User, NOW).await), 0);
}

async fn the_first_reason_stays<S: Store>(store: &S) {
    let user = new_user("reasons");
    let id = inserted(store, 1, &user).await[0];
    let which = Which::One { user: &user, id };
    assert_eq!(done(store.revoke(which, Why::Reuse, NOW).await), 1);
    assert_eq!(done(store.revoke(which, Why::Logout, NOW + 9).await), 0, "a session ended twice");
    assert_eq!(found(store, id).await.revoked, Some(Revoked { at: NOW, why: Why::Reuse }));
}

async fn the_latest_comes_first_in_a_list<S: Store>(store: &S) {
    let user = new_user("list");
    for renewed_at in [NOW - 20, NOW - 40, NOW - 10, NOW - 30] {
        done(store.insert(Session { renewed_at, ..session(&user) }).await);
    }
    let times: Vec<i64> =
        done(store.list(&user, LIVE).await).iter().map(|session| session.renewed_at).collect();
    assert_eq!(times, [NOW - 10, NOW - 20, NOW - 30, NOW - 40], "the session renewed last comes first");
}

async fn other_processes_hear_of_revocations<S: Store>(store: &S, other_process: &S) {
    let user = new_user("feed");
    let ids = inserted(store, 4, &user).await;
    // a day of its own for each run, so that a database with earlier runs in it says the same
    for (index, id) in ids.iter().take(3).enumerate() {
        let at = NOW + 100 + i64::try_from(index).unwrap_or(0);
        done(store.revoke(Which::One { user: &user, id: *id }, Why::User, at).await);
    }
    for (since, expected) in [(NOW + 100, 3), (NOW + 101, 2), (NOW + 102, 1), (NOW + 103, 0)] {
        let heard = done(other_process.revoked_since(since).await);
        assert!(heard.iter().all(|(_, at)| *at >= since), "older than was asked for");
        let ours: Vec<_> = heard.iter().filter(|(id, _)| ids.contains(id)).collect();
        assert_eq!(ours.len(), expected, "`revoked_since` includes its own moment, and what came after");
        for (id, at) in ours {
            let revoked = found(store, *id).await.revoked.map(|revoked| revoked.at);
            assert_eq!(revoked, Some(*at), "`revoked_since` says when");
        }
    }
}

async fn the_purge_takes_what_is_over_and_no_more<S: Store>(store: &S) {
    let user = new_user("purge");
    let purge = Purge { ended_before: NOW - HOUR, idle_before: NOW - 5 * HOUR, limit: 1_000 };
    let revoked = |at| Some(Revoked { at, why: Why::Logout });
    let cases = [
        ("live", session(&user)),
        ("revoked lately", Session { revoked: revoked(NOW - HOUR), ..session(&user) }),
        ("revoked long ago", Session { revoked: revoked(NOW - HOUR - 1), ..session(&user) }),
        ("expired lately", Session { expires_at: NOW - HOUR, ..session(&user) }),
        ("expired long ago", Session { expires_at: NOW - HOUR - 1, ..session(&user) }),
        ("idle, not for long", Session { renewed_at: NOW - 5 * HOUR, ..session(&user) }),
        ("idle for long", Session { renewed_at: NOW - 5 * HOUR - 1, ..session(&user) }),
        (
            "expired long ago, revoked lately: other processes must still hear of it",
            Session { revoked: revoked(NOW - 5), expires_at: NOW - 9 * HOUR, ..session(&user) },
        ),
    ];
    for (_, session) in &cases {
        done(store.insert(session.clone()).await);
    }
    while done(store.purge(purge).await) > 0 {}
    for (name, session) in &cases {
        let kept = done(store.get(session.id).await).is_some();
        assert_eq!(kept, !purge.matches(session), "after the purge: {name}");
    }
    let listed = done(store.list(&user, LiveAt { now: NOW - 2 * HOUR, idle_since: 0 }).await);
    assert!(listed.iter().all(|session| !purge.matches(session)), "`list` has a purged session");
}

async fn the_purge_keeps_to_its_limit<S: Store>(store: &S) {
    let user = new_user("batches");
    // older than everything else in the store, so that only these can go
    let long_ago = NOW / 2;
    for _ in 0..5 {
        done(store.insert(Session { expires_at: long_ago, ..session(&user) }).await);
    }
    let purge = Purge { ended_before: long_ago + 1, idle_before: 0, limit: 2 };
    let mut batches = Vec::new();
    loop {
        let deleted = done(store.purge(purge).await);
        batches.push(deleted);
        if deleted == 0 {
            break;
        }
    }
    assert!(batches.iter().all(|batch| *batch <= 2), "a purge beyond its limit: {batches:?}");
    assert_eq!(batches.iter().sum::<usize>(), 5, "`purge` says how many it deleted: {batches:?}");
}
