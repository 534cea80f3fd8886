use serde_json::json;

use crate::support::{Showcase, User};

#[test]
fn a_session_from_log_in_to_its_end() {
    let showcase = Showcase::start();
    let program = &showcase.program;
    let phone = showcase.log_in("demo");
    let laptop = showcase.log_in("demo");

    phone.send("GET", "/items").expect(200);
    let renewed =
        program.post("/api/v1/renew", &[], &json!({ "refreshToken": phone.refresh })).expect(200).json();
    let phone = User::with(program, &renewed);

    let sessions = phone.send("GET", "/tokens").expect(200).json();
    let sessions = sessions["tokens"].as_array().unwrap().clone();
    assert_eq!(sessions.len(), 2);
    assert_eq!(sessions.iter().filter(|session| session["current"] == true).count(), 1);
    let other = sessions.iter().find(|session| session["current"] == false).unwrap();
    let path = format!("/tokens/{}", other["id"].as_str().unwrap());

    // a stranger cannot end it
    showcase.log_in("reader").send("DELETE", &path).expect(404);
    laptop.send("GET", "/items").expect(200);

    let ended = phone.send("DELETE", &path);
    assert_eq!(ended.status / 100, 2, "{ended}");
    let refused = laptop.send("GET", "/items").expect(401);
    assert!(refused.header("www-authenticate").unwrap().contains("invalid_token"));
    program.post("/api/v1/renew", &[], &json!({ "refreshToken": laptop.refresh })).expect(401);
    phone.send("GET", "/items").expect(200);
}

#[test]
fn all_other_sessions_and_then_all_are_ended() {
    let showcase = Showcase::start();
    let (one, two, three) = (showcase.log_in("demo"), showcase.log_in("demo"), showcase.log_in("demo"));
    let status = |user: &User<'_>| user.send("GET", "/tokens").status;

    assert_eq!(one.send("DELETE", "/tokens/others").status / 100, 2);
    assert_eq!([status(&one), status(&two), status(&three)], [200, 401, 401]);

    let four = showcase.log_in("demo");
    assert_eq!(one.send("DELETE", "/tokens").status / 100, 2);
    assert_eq!([status(&one), status(&four)], [401, 401]);
}

#[test]
fn a_restart_signs_nobody_out_and_revives_nobody() {
    let showcase = Showcase::start();
    let (stays, leaves) = (showcase.log_in("demo"), showcase.log_in("demo"));
    leaves.send("POST", "/logout").expect(200);
    stays.send("GET", "/items").expect(200);
    leaves.send("GET", "/items").expect(401);
    let (stays, leaves) = (stays.refresh.clone(), leaves.refresh.clone());

    let showcase = showcase.kill_and_start_again();
    let renew =
        |refresh: &str| showcase.program.post("/api/v1/renew", &[], &json!({ "refreshToken": refresh }));
    renew(&stays).expect(200);
    renew(&leaves).expect(401);
}

#[test]
fn wrong_passwords_are_refused_and_then_slowed_down() {
    let showcase = Showcase::start();
    let attempt = |name: &str| {
        let credentials = json!({"username": name, "password": "wrong"});
        showcase.program.post("/api/v1/login", &[], &credentials)
    };
    let unknown = attempt("nobody").expect(401);
    let known = attempt("demo").expect(401);
    assert_eq!(known.body, unknown.body);
    assert!(known.header("www-authenticate").is_some());

    for _ in 0..10 {
        let _ = attempt("demo");
    }
    let last = attempt("demo").expect(429);
    assert!(last.header("retry-after").unwrap().parse::<u32>().unwrap() > 0);
}
