use std::future::Future;

use serde_json::json;
use utils_token_auth::{Client, Revoked, Session, Store, Why};

use super::{LIVE, NOW, done, found, new_id, new_user, session};

/// What is put into a store comes out of it as it was, in every process, and belongs to exactly one user.
pub async fn check_rows<S, Open, Opening>(open: &Open)
where
    S: Store,
    Open: Fn() -> Opening,
    Opening: Future<Output = S>,
{
    sessions_come_back_as_they_were(open).await;
    users_are_told_apart_to_the_byte(&open().await).await;
    an_unknown_id_is_nothing(&open().await).await;
    an_id_is_inserted_once(&open().await).await;
}

async fn sessions_come_back_as_they_were<S, Open, Opening>(open: &Open)
where
    S: Store,
    Open: Fn() -> Opening,
    Opening: Future<Output = S>,
{
    let user = new_user("Ana Ünïcode 日本 🦀 \"quoted\"'; --");
    let plain = session(&user);
    let full = Session {
        data: json!({"z": [1, 2.5, null, "\u{0}\u{1f980}"], "a": {"nested": {"scopes": ["read"]}}, "big": i64::MAX}),
        scopes: [("scopes", vec!["orders:read", "with blank", "ünï"]), ("scope", Vec::new())]
            .map(|(claim, scopes)| (claim.to_owned(), scopes.into_iter().map(str::to_owned).collect()))
            .into(),
        secret_hash: std::array::from_fn(|byte| u8::try_from(byte * 8).unwrap_or(0)),
        generation: 2_147_483_647,
        revoked: Some(Revoked { at: NOW - 5, why: Why::Password }),
        client: Client::unknown()
            .ip(std::net::IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1]))
            .user_agent("Mozilla/5.0 (日本; rv:1.0) 'quoted'".repeat(4))
            .label("Ana’s phone 📱"),
        ..session(&user)
    };
    let zeros = Session { secret_hash: [0; 32], expires_at: NOW + 1, ..session(&user) };

    let writer = open().await;
    for session in [&plain, &full, &zeros] {
        done(writer.insert(session.clone()).await);
    }
    let reader = open().await;
    for session in [plain, full, zeros] {
        let read = found(&reader, session.id).await;
        assert!(read == session, "a session changed in the store:\n was {session:#?}\n  is {read:#?}");
    }
}

/// "Ana", "ana", "ana " and two spellings of "Anä" are five users.
async fn users_are_told_apart_to_the_byte<S: Store>(store: &S) {
    let run = new_user("user");
    let users = [
        format!("{run}Ana"),
        format!("{run}ana"),
        format!("{run}ana "),
        format!("{run}An\u{e4}"),
        format!("{run}Ana\u{308}"),
    ];
    for user in &users {
        done(store.insert(session(user)).await);
    }
    for user in &users {
        let listed = done(store.list(user, LIVE).await);
        let names: Vec<&str> = listed.iter().map(|session| session.user.as_str()).collect();
        assert_eq!(names, [user], "`list` must compare users to the byte");
    }
}

async fn an_unknown_id_is_nothing<S: Store>(store: &S) {
    assert!(done(store.get(new_id()).await).is_none(), "`get` of an unknown id must be None");
    let nobody = new_user("nobody");
    assert!(done(store.list(&nobody, LIVE).await).is_empty(), "`list` of an unknown user must be empty");
}

async fn an_id_is_inserted_once<S: Store>(store: &S) {
    let user = new_user("first");
    let first = session(&user);
    done(store.insert(first.clone()).await);
    let second = Session { user: new_user("second"), id: first.id, ..session(&user) };
    let _ = store.insert(second).await;
    assert_eq!(
        found(store, first.id).await.user,
        user,
        "`insert` must not take over the id of another session"
    );
}
