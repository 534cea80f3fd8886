use std::os::unix::fs::PermissionsExt;

use crate::support::{Showcase, command};

#[test]
fn the_first_start_makes_a_database_and_a_key_that_only_its_owner_reads() {
    let showcase = Showcase::start();
    assert!(showcase.directory.path().join("showcase.sqlite").is_file());
    let key = showcase.directory.path().join("showcase.sqlite.key").metadata().unwrap();
    assert_eq!((key.len(), key.permissions().mode() & 0o777), (32, 0o600));
}

#[test]
fn what_is_wrong_with_the_start_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let check = |change: &dyn Fn(&mut std::process::Command), code: i32, part: &str| {
        let mut command = command(directory.path());
        change(&mut command);
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(part), "{said}");
    };
    check(&|command| _ = command.arg("--prot"), 2, "unknown argument \"--prot\"");
    check(
        &|command| _ = command.env("DATABASE_URL", "mysql://root:secret@h/d"),
        2,
        "DATABASE_URL must begin with",
    );
    check(
        &|command| _ = command.env("DATABASE_URL", "sqlite:no/such/folder/x.sqlite"),
        1,
        "cannot be reached",
    );
}

#[test]
fn a_port_that_is_taken_is_named() {
    let running = Showcase::start();
    let address = running.program.address().to_string();
    let directory = tempfile::tempdir().unwrap();
    let output = command(directory.path()).arg(format!("--listen={address}")).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains(&address), "{said}");
}
