//! The order of the sources, and files that are no ordinary text.
use std::{fs, path::Path, process::Command, time::Instant};

use utils_release::{Compiled, ReleaseSources, Source, UNKNOWN};

const COMPILED: Compiled = Compiled {
    releases: [None, Some(" "), Some("built-sha"), Some("0.1.0+abc")],
    version: Some("0.1.0"),
    built: Some("2026-11-23T21:00:00Z"),
};

fn sources(directory: &Path) -> ReleaseSources {
    ReleaseSources::new().file(directory.join("version.txt")).env_from([("", ""); 0])
}

#[track_caller]
fn check(sources: &ReleaseSources, release: &str, source: &Source) {
    let found = sources.find();
    assert_eq!((found.as_str(), found.source()), (release, source));
}

#[test]
fn each_source_gives_way_to_the_one_before_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("version.txt");
    let empty = sources(directory.path());
    check(&empty, UNKNOWN, &Source::Unknown);

    let only_version = Compiled { releases: [None; 4], ..COMPILED };
    check(&empty.clone().compiled(only_version), "0.1.0", &Source::CrateVersion);
    let compiled = empty.compiled(COMPILED);
    check(&compiled, "built-sha", &Source::Compiled);
    assert_eq!(compiled.find().built(), Some("2026-11-23T21:00:00Z"));

    let variable = |name: &str| Source::Environment(name.to_owned());
    let environment = compiled.clone().env_from([("GIT_SHA", "g"), ("SOURCE_VERSION", "s")]);
    check(&environment, "s", &variable("SOURCE_VERSION"));
    let environment = compiled.env_from([("GIT_SHA", "g"), ("SOURCE_VERSION", "s"), ("RELEASE", "r")]);
    check(&environment, "r", &variable("RELEASE"));
    check(&environment.clone().variables(["GIT_SHA"]), "g", &variable("GIT_SHA"));

    fs::write(&file, "from the file\n").unwrap();
    check(&environment, "from the file", &Source::File(file.clone()));
    check(&environment.clone().no_file(), "r", &variable("RELEASE"));
    fs::write(&file, "\n \n").unwrap();
    check(&environment, "r", &variable("RELEASE"));
}

#[test]
fn a_blank_variable_is_as_good_as_none() {
    let sources = ReleaseSources::new().no_file();
    let source = Source::Environment("GIT_SHA".to_owned());
    check(&sources.env_from([("RELEASE", " \n"), ("GIT_SHA", "\u{feff} g \nsecond line")]), "g", &source);
}

#[test]
fn the_text_of_a_file_is_read_as_python_would_and_cut_after_its_first_line() {
    for (content, release) in [
        (&b"\xef\xbb\xbf1.2.3\n"[..], "1.2.3"),
        (b"\n\r\n  1.2.3  \nabc\n", "1.2.3"),
        (b"1.2.3\r\nabc", "1.2.3"),
        (b"1.2.3\n\xff\xfe", "1.2.3"),
        (b"1.2\xff3\n", UNKNOWN),
        (b"\xff\xfe1\x00\n\x00", UNKNOWN),
        ("\u{2028}\u{a0}1\u{85}".as_bytes(), "1"),
        ("\u{200b}".as_bytes(), "\u{200b}"),
        (b"\xef\xbb\xbf", UNKNOWN),
    ] {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("version.txt"), content).unwrap();
        assert_eq!(sources(directory.path()).find().as_str(), release, "{content:?}");
    }
}

#[test]
fn a_huge_file_is_read_up_to_its_first_line_and_no_further() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("version.txt");
    let file = fs::File::create(&path).unwrap();
    // Sparse: 16 GiB of NUL without a line end, more than the machine could hold.
    file.set_len(16 << 30).unwrap();
    assert_eq!(sources(directory.path()).find().as_str(), UNKNOWN);

    fs::write(&path, "x".repeat(64 * 1024)).unwrap();
    assert_eq!(sources(directory.path()).find().as_str().len(), 64 * 1024);
    fs::write(&path, "x".repeat(64 * 1024 + 1)).unwrap();
    assert_eq!(sources(directory.path()).find().as_str(), UNKNOWN);
    fs::write(&path, format!("1.2.3\n{}", "é".repeat(64 * 1024))).unwrap();
    assert_eq!(sources(directory.path()).find().as_str(), "1.2.3");
}

#[test]
fn a_fifo_and_a_device_are_not_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let fifo = directory.path().join("version.txt");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let started = Instant::now();
    assert_eq!(sources(directory.path()).find().as_str(), UNKNOWN);
    assert_eq!(ReleaseSources::new().file("/dev/zero").variables([""; 0]).find().as_str(), UNKNOWN);
    assert!(started.elapsed().as_secs() < 5);
}
