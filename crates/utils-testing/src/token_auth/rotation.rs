use std::future::Future;

use serde_json::json;
use utils_token_auth::{Client, LiveAt, Rotate, Session, Store, Which, Why};

use super::{HOUR, LIVE, NOW, done, found, new_id, new_user, session};

/// `rotate` moves a live session one generation, and nothing else.
pub async fn check_rotation<S, Open, Opening>(open: &Open)
where
    S: Store,
    Open: Fn() -> Opening,
    Opening: Future<Output = S>,
{
    let store = open().await;
    a_rotation_moves_one_session_and_its_device(&store, &open().await).await;
    only_the_right_generation_moves(&store).await;
    the_limits_of_a_session_are_exact(&store).await;
    a_revoked_session_never_moves(&store).await;
}

fn step(session: &Session, from: u32, to: u32) -> Rotate {
    Rotate { id: session.id, from, to, live: LIVE, client: Client::unknown() }
}

async fn a_rotation_moves_one_session_and_its_device<S: Store>(store: &S, other_process: &S) {
    let user = new_user("mover");
    let before = Session {
        data: json!({"role": "editor"}),
        scopes: [("scope".to_owned(), vec!["read".to_owned()])].into(),
        generation: 41,
        client: Client::unknown().ip([192, 0, 2, 1].into()).user_agent("old").label("phone"),
        ..session(&user)
    };
    let bystander = session(&user);
    done(store.insert(before.clone()).await);
    done(store.insert(bystander.clone()).await);

    let client = Client::unknown().ip([192, 0, 2, 2].into()).user_agent("new");
    assert!(
        done(store.rotate(Rotate { client, ..step(&before, 41, 42) }).await),
        "a live session must rotate"
    );

    let client = Client::unknown().ip([192, 0, 2, 2].into()).user_agent("new").label("phone");
    let after = Session { generation: 42, renewed_at: NOW, client, ..before };
    let read = found(other_process, after.id).await;
    assert!(
        read == after,
        "`rotate` sets generation, renewed_at, ip and user_agent:\n expected {after:#?}\n is {read:#?}"
    );
    assert!(found(store, bystander.id).await == bystander, "`rotate` moved another session");
}

async fn only_the_right_generation_moves<S: Store>(store: &S) {
    let before = Session { generation: 5, ..session(&new_user("generations")) };
    done(store.insert(before.clone()).await);
    for (from, to) in [(4, 5), (6, 7), (0, 1), (4, 6)] {
        assert!(
            !done(store.rotate(step(&before, from, to)).await),
            "rotated from {from} while the row is at 5"
        );
    }
    assert!(found(store, before.id).await == before, "a refused rotation changed the row");
    assert!(done(store.rotate(step(&before, 5, 6)).await));
    assert!(!done(store.rotate(step(&before, 5, 6)).await), "the same step worked twice");
    assert!(
        done(store.rotate(step(&before, 6, 6)).await),
        "a step to the same generation renews without rotating"
    );
    assert!(
        done(store.rotate(step(&before, 6, 6)).await),
        "and so it does a second time in the same millisecond"
    );
    let unknown = Session { id: new_id(), ..before };
    assert!(!done(store.rotate(step(&unknown, 5, 6)).await), "an unknown session rotated");
}

async fn the_limits_of_a_session_are_exact<S: Store>(store: &S) {
    let user = new_user("limits");
    for (expires_at, renewed_at, live) in [
        (NOW + 1, NOW - HOUR, true),
        (NOW, NOW - 1, false),
        (NOW - 1, NOW - 1, false),
        (NOW + HOUR, NOW - HOUR - 1, false),
        (NOW + HOUR, NOW + 5, true),
    ] {
        let session = Session { expires_at, renewed_at, ..session(&user) };
        assert_eq!(LIVE.holds(&session), live);
        done(store.insert(session.clone()).await);
        let listed = done(store.list(&user, LIVE).await).iter().any(|listed| listed.id == session.id);
        assert_eq!(listed, live, "`list` of a session that expires at {expires_at}, renewed at {renewed_at}");
        let rotated = done(store.rotate(step(&session, 0, 1)).await);
        assert_eq!(
            rotated, live,
            "`rotate` of a session that expires at {expires_at}, renewed at {renewed_at}"
        );
    }
    let early = LiveAt { now: NOW - 2 * HOUR, idle_since: NOW - 3 * HOUR };
    let session = session(&user);
    done(store.insert(session.clone()).await);
    let rotate = Rotate { live: early, ..step(&session, 0, 1) };
    assert!(done(store.rotate(rotate).await), "a clock that was set back is no reason to refuse");
    assert_eq!(found(store, session.id).await.renewed_at, early.now);
}

async fn a_revoked_session_never_moves<S: Store>(store: &S) {
    let session = session(&new_user("revoked"));
    done(store.insert(session.clone()).await);
    let which = Which::One { user: &session.user, id: session.id };
    assert_eq!(done(store.revoke(which, Why::Logout, NOW).await), 1);
    assert!(!done(store.rotate(step(&session, 0, 1)).await), "a revoked session rotated");
    assert_eq!(found(store, session.id).await.generation, 0);
}
