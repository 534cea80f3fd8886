//! Session ids, secrets and key rings.
use utils_token_auth::{KeyError, Keys, Sid};

#[test]
fn a_session_id_survives_text_and_json() {
    for _ in 0..100 {
        let session = Sid::random().unwrap();
        assert_eq!(session.to_string().len(), 22);
        assert_eq!(session.to_string().parse(), Ok(session));
        let json = serde_json::to_string(&session).unwrap();
        assert_eq!(json, format!("\"{session}\""));
        assert_eq!(serde_json::from_str::<Sid>(&json).unwrap(), session);
    }
}

#[test]
fn a_session_id_has_one_spelling_in_base64url() {
    for text in ["", "-_v7-_v7-_v7-_v7-_v7-x", "-_v7-_v7-_v7-_v7-_v7-", "-_v7-_v7-_v7-_v7-_v7-w==", "é"] {
        assert!(text.parse::<Sid>().is_err(), "{text}");
    }
}

#[test]
fn the_hexadecimal_id_of_flask_utils_is_read() {
    let session: Sid = "0f8fad5bd9cb469fA16570867728950E".parse().unwrap();
    assert_eq!(session.as_bytes()[..4], [0x0f, 0x8f, 0xad, 0x5b]);
    assert!("0f8fad5bd9cb469fa16570867728950g".parse::<Sid>().is_err());
}

#[test]
fn a12_a_short_secret_is_refused_at_construction() {
    for (made, needed) in [
        (Keys::hs256("1", &[7; 31]), 32),
        (Keys::hs256("1", b""), 32),
        (Keys::hs384("1", &[7; 47]), 48),
        (Keys::hs512("1", &[7; 63]), 64),
    ] {
        assert!(matches!(made, Err(KeyError::WeakSecret { needed: n, .. }) if n == needed));
    }
    Keys::hs256("1", &[7; 32]).unwrap();
    Keys::hs384("1", &[7; 48]).unwrap();
    Keys::hs512("1", &[7; 64]).unwrap();
}
