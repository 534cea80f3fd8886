//! `docs/reference/security.md` names a test for each promise.
use std::{collections::BTreeSet, fs, path::Path};

#[test]
fn every_test_that_the_security_reference_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let reference = fs::read_to_string(root.join("../../docs/reference/security.md")).unwrap();
    let mut sources = String::new();
    read_all(&root.join("tests/it"), &mut sources);
    read_all(&root.join("src"), &mut sources);
    read_all(&root.join("../utils-testing/src"), &mut sources);

    // `like_this`, with more than two underscores, is a test's name
    let named: BTreeSet<&str> = reference
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|name| name.matches('_').count() > 2 && !name.contains([' ', '.', ':', '-']))
        .collect();
    assert!(named.len() > 60, "{}", named.len());
    let missing: Vec<_> = named.iter().filter(|name| !is_a_test(&sources, name)).collect();
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(!is_a_test(&sources, "every_honest_caller_gets_the_same_pair"), "a helper is no test");
    for (letter, last) in [("A", 22), ("R", 15), ("S", 8), ("H", 13)] {
        for requirement in (1..=last).map(|number| format!("{letter}{number}")) {
            assert!(reference.contains(&format!("| {requirement} |")), "{requirement}");
            let start = format!("{}_", requirement.to_lowercase());
            assert!(named.iter().any(|name| name.starts_with(&start)), "a test of {requirement}");
        }
    }
}

/// Whether a function has this name and an attribute that has it run: a test that lost it proves nothing.
fn is_a_test(sources: &str, name: &str) -> bool {
    sources.match_indices(&format!("fn {name}(")).any(|(at, _)| {
        let line = sources[..at].rfind('\n').unwrap_or_default();
        let before = sources[..line].lines().rev().map(str::trim_start);
        let mut attributes = before.take_while(|line| line.starts_with("#[") || line.starts_with("//"));
        attributes.any(|line| ["#[test]", "#[actix_rt::test]", "#[actix_web::test]"].contains(&line))
    })
}

fn read_all(folder: &Path, into: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_all(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}
