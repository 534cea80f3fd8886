//! What the original reads from `version.txt`, case by case.
use std::{fs, path::Path};

use serde_json::Value;
use utils_release::{ReleaseSources, UNKNOWN};

/// Where we deviate from the original on purpose; the reasons are in docs/guide/coming-from-flask-utils.md.
const BETTER: [(&str, &str); 4] = [
    ("empty", UNKNOWN),
    ("whitespace_only", UNKNOWN),
    ("multi_line_crlf", "1.2.3"),
    ("multi_line_cr", "1.2.3"),
];

#[test]
fn every_recorded_file_gives_the_recorded_release_or_the_better_one() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("cases/release.json")).unwrap();
    assert_eq!(cases.len(), 19);
    let better = |name: &str| BETTER.iter().find(|(case, _)| *case == name).map(|(_, release)| *release);
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        let directory = tempfile::tempdir().unwrap();
        make(directory.path(), &case["given"]["version.txt"]);
        let found =
            ReleaseSources::new().file(directory.path().join("app/version.txt")).variables([""; 0]).find();
        let recorded = case["expect"]["release"].as_str().unwrap();
        assert_eq!(found.as_str(), better(name).unwrap_or(recorded), "{name}");
        if better(name).is_some() {
            assert!(case["quirk"].is_string(), "{name} deviates, but the original is not said to be odd");
        }
    }
}

/// Makes what the case describes: the application runs in `app`.
fn make(root: &Path, file: &Value) {
    let app = root.join("app");
    fs::create_dir(&app).unwrap();
    let content = file["bytes_base64"].as_str().map(decode);
    let path = match file["kind"].as_str().unwrap() {
        "absent" => return,
        "dir" => return fs::create_dir(app.join("version.txt")).unwrap(),
        "dangling" => {
            return std::os::unix::fs::symlink(root.join("nowhere"), app.join("version.txt")).unwrap();
        }
        "symlink" => {
            std::os::unix::fs::symlink(root.join("target"), app.join("version.txt")).unwrap();
            root.join("target")
        }
        "parent" => root.join("version.txt"),
        "case" => app.join("VERSION.TXT"),
        "file" => app.join("version.txt"),
        kind => panic!("unknown kind {kind}"),
    };
    fs::write(path, content.unwrap()).unwrap();
}

fn decode(base64: &str) -> Vec<u8> {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0_u32, 0);
    for digit in base64.bytes().filter(|byte| *byte != b'=') {
        bits = bits << 6 | u32::try_from(alphabet.iter().position(|known| *known == digit).unwrap()).unwrap();
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes
}
