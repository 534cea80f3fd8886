//! Refresh tokens: no input makes a renewal panic, and none but the one we minted succeeds.
//!
//! ```text
//! cargo +nightly fuzz run refresh_token
//! ```
#![no_main]
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use serde::{Deserialize, Serialize};
use tokio::runtime::{Builder, Runtime};
use utils_token_auth::{Client, Keys, MemoryStore, Policy, Refusal, TestClock, TokenAuth};

#[derive(Clone, Serialize, Deserialize)]
struct Claims {}

struct Subject {
    auth: TokenAuth<Claims, MemoryStore>,
    refresh_token: String,
    runtime: Runtime,
}

fn subject() -> &'static Subject {
    static SUBJECT: OnceLock<Subject> = OnceLock::new();
    SUBJECT.get_or_init(|| {
        let runtime = Builder::new_current_thread().build().expect("a runtime");
        let keys = Keys::hs256("1", b"0123456789abcdef0123456789abcdef").expect("a good secret");
        let auth = TokenAuth::new(keys, MemoryStore::new(), |_| async { Ok::<_, Refusal>(Claims {}) })
            .policy(Policy::default().rotate(false)) // so that the good token stays good
            .clock(TestClock::at(1_700_000_000_000))
            .build()
            .expect("an engine");
        let pair = runtime.block_on(auth.login("alice", (), Client::unknown())).expect("a session");
        Subject { auth, refresh_token: pair.refresh_token.expect("a refresh token"), runtime }
    })
}

fuzz_target!(|input: &[u8]| {
    let Subject { auth, refresh_token, runtime } = subject();
    let Some((kind, rest)) = input.split_first() else { return };
    let text = if kind % 2 == 0 {
        String::from_utf8_lossy(rest).into_owned()
    } else {
        let mut bytes = refresh_token.clone().into_bytes();
        for change in rest.chunks_exact(2) {
            let at = usize::from(change[0]) % bytes.len();
            bytes[at] = change[1];
        }
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let renewed = runtime.block_on(auth.renew(&text, Client::unknown()));
    assert_eq!(renewed.is_ok(), text == *refresh_token);
    let _ = runtime.block_on(auth.introspect(&text));
});
