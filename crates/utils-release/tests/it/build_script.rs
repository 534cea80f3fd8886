//! What the build script tells cargo, for every way a repository can look.
use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, UNIX_EPOCH},
};

use utils_release::BuildScript;

const COMMIT: &str = "9f2c1ab04d5e6f708192a3b4c5d6e7f801234567";

fn write(path: impl AsRef<Path>, content: &str) {
    fs::create_dir_all(path.as_ref().parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn lines(directory: &Path) -> Vec<String> {
    BuildScript::new(directory, "1.2.3").now(UNIX_EPOCH + Duration::from_secs(1_795_467_600)).instructions()
}

fn release(directory: &Path) -> Option<String> {
    let lines = lines(directory);
    lines.iter().find_map(|line| line.strip_prefix("cargo::rustc-env=UTILS_RELEASE=")).map(str::to_owned)
}

/// The files below `root` that make cargo run the script again.
fn watched(directory: &Path, root: &Path) -> Vec<String> {
    let watched = lines(directory).into_iter().filter_map(|line| {
        let path = line.strip_prefix("cargo::rerun-if-changed=")?.to_owned();
        let path = fs::canonicalize(path).ok()?;
        Some(path.strip_prefix(fs::canonicalize(root).unwrap()).ok()?.display().to_string())
    });
    watched.collect()
}

#[test]
fn without_a_repository_there_is_a_build_time_and_no_commit() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(
        lines(directory.path()),
        [
            "cargo::rerun-if-changed=build.rs",
            "cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH",
            "cargo::rustc-env=UTILS_RELEASE_BUILT=2026-11-23T21:00:00Z",
        ]
    );
}

#[test]
fn a_branch_is_followed_to_its_own_file_or_to_the_packed_references() {
    let root = tempfile::tempdir().unwrap();
    let package = root.path().join("crates/shop");
    fs::create_dir_all(&package).unwrap();
    write(root.path().join(".git/HEAD"), "ref: refs/heads/feature/x\n");
    fs::create_dir_all(root.path().join(".git/refs/heads")).unwrap();
    assert_eq!(release(&package), None, "no commit yet");
    assert_eq!(watched(&package, root.path()), [".git/HEAD", ".git/refs/heads"]);

    let packed =
        format!("# pack-refs with: peeled fully-peeled sorted\n{COMMIT} refs/heads/feature/x\n^{COMMIT}\n");
    write(root.path().join(".git/packed-refs"), &packed);
    assert_eq!(release(&package).as_deref(), Some("1.2.3+9f2c1ab04d5e"));
    assert_eq!(watched(&package, root.path()), [".git/HEAD", ".git/refs/heads", ".git/packed-refs"]);

    write(root.path().join(".git/refs/heads/feature/x"), &format!("{}\n", "a".repeat(40)));
    assert_eq!(release(&package).as_deref(), Some("1.2.3+aaaaaaaaaaaa"));
    assert_eq!(watched(&package, root.path()), [".git/HEAD", ".git/refs/heads/feature/x"]);
}

#[test]
fn a_detached_head_of_either_hash_is_read() {
    for commit in [COMMIT.to_owned(), "0".repeat(64)] {
        let root = tempfile::tempdir().unwrap();
        write(root.path().join(".git/HEAD"), &format!("{commit}\n"));
        assert_eq!(release(root.path()), Some(format!("1.2.3+{}", &commit[..12])));
    }
}

#[test]
fn a_broken_repository_is_no_reason_to_fail_a_build() {
    for head in [
        "",
        "ref:",
        "ref: refs/heads/.invalid",
        "ref: HEAD",
        "ref: ../../etc/passwd",
        "ref: /etc/passwd",
        "nonsense",
    ] {
        let root = tempfile::tempdir().unwrap();
        write(root.path().join(".git/HEAD"), head);
        assert_eq!(release(root.path()), None, "{head}");
    }
    let root = tempfile::tempdir().unwrap();
    write(root.path().join(".git"), "gitdir: /nowhere");
    assert_eq!(release(root.path()), None);
}

#[test]
fn git_itself_agrees_in_a_repository_a_worktree_and_after_packing() {
    let root = tempfile::tempdir().unwrap();
    let main = root.path().join("main");
    let git = |directory: &Path, arguments: &[&str]| {
        let output = Command::new("git")
            .args(["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"])
            .args(arguments)
            .current_dir(directory)
            .output();
        let Ok(output) = output else { return None };
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        Some(String::from_utf8(output.stdout).unwrap())
    };
    // A machine without git has the other tests of this file; that we do not need it is the point.
    if git(root.path(), &["init", "-q", "main"]).is_none() {
        return;
    }
    git(&main, &["commit", "-q", "--allow-empty", "-m", "one"]);
    git(&main, &["worktree", "add", "-q", "-b", "other", "../linked"]);
    let linked = root.path().join("linked");
    git(&linked, &["commit", "-q", "--allow-empty", "-m", "two"]);
    let check = |directory: &Path| {
        let head = git(directory, &["rev-parse", "HEAD"]).unwrap();
        assert_eq!(release(directory), Some(format!("1.2.3+{}", &head[..12])));
    };
    check(&main);
    check(&linked);
    assert_ne!(release(&main), release(&linked));
    git(&main, &["pack-refs", "--all"]);
    check(&main);
    check(&linked);
}

#[test]
fn the_source_date_replaces_the_clock() {
    let directory = tempfile::tempdir().unwrap();
    for (seconds, last) in [
        ("0", "cargo::rustc-env=UTILS_RELEASE_BUILT=1970-01-01T00:00:00Z"),
        ("951782400", "cargo::rustc-env=UTILS_RELEASE_BUILT=2000-02-29T00:00:00Z"),
        ("1709251199", "cargo::rustc-env=UTILS_RELEASE_BUILT=2024-02-29T23:59:59Z"),
        ("4107542400", "cargo::rustc-env=UTILS_RELEASE_BUILT=2100-03-01T00:00:00Z"),
        ("253402300799", "cargo::rustc-env=UTILS_RELEASE_BUILT=9999-12-31T23:59:59Z"),
    ] {
        let script = BuildScript::new(directory.path(), "1.2.3").source_date_epoch(seconds);
        assert_eq!(script.instructions().last().map(String::as_str), Some(last), "{seconds}");
    }
    for seconds in ["", "soon", "-1", "253402300800", "18446744073709551615"] {
        let script = BuildScript::new(directory.path(), "1.2.3").source_date_epoch(seconds);
        let last = script.instructions().pop().unwrap();
        assert!(last.starts_with("cargo::warning=SOURCE_DATE_EPOCH"), "{seconds}: {last}");
    }
}

#[test]
fn a_version_with_build_metadata_keeps_one_plus_sign() {
    let root = tempfile::tempdir().unwrap();
    write(root.path().join(".git/HEAD"), COMMIT);
    let lines = BuildScript::new(root.path(), "1.2.3+eu").instructions();
    assert!(lines.contains(&"cargo::rustc-env=UTILS_RELEASE=1.2.3+eu.9f2c1ab04d5e".to_owned()), "{lines:?}");
}
