//! The programs as their users see them.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::{fs, process::Command};

use utils_testing::Program;

#[test]
fn pages_over_a_table() {
    let program = Program::start(Command::new(env!("CARGO_BIN_EXE_pages")).env("PORT", "0"));
    let page = program.send("GET", "/words?offset=90&limit=10", &[]).expect(200);
    assert_eq!(page.json()["totalItems"], 95);
    assert_eq!(page.json()["items"].as_array().unwrap().len(), 5);
    assert!(page.header("link").unwrap().contains("rel=\"prev\""));
    let faults = program.send("GET", "/words?offset=x&limit=51", &[]).expect(422).json();
    assert!(faults["offset"].is_array() && faults["limit"].is_array(), "{faults}");
}

#[test]
fn settings_come_in_layers_and_all_problems_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let file = "listen = \"127.0.0.1:80\"\nworkers = 2\n[database]\nhost = \"db\"\npassword = \"hunter2\"\n";
    fs::write(directory.path().join("settings.toml"), file).unwrap();
    let run = |variables: &[(&str, &str)]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_settings"));
        let output = command.current_dir(directory.path()).envs(variables.iter().copied()).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(said).unwrap())
    };

    let (fine, said) = run(&[("SHOP_WORKERS", "4")]);
    assert!(fine && said.contains("SHOP_WORKERS") && said.contains("settings.toml"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");

    let (fine, said) = run(&[("SHOP_WORKERS", "many"), ("SHOP_LISTEN", "here"), ("SHOP_COLOUR", "red")]);
    assert!(!fine, "{said}");
    for variable in ["SHOP_WORKERS", "SHOP_LISTEN", "SHOP_COLOUR"] {
        assert!(said.contains(variable), "{said}");
    }
}
