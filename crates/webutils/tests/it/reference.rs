//! docs/reference/errors.md, rendered from the table of each crate. `cargo xtask docs` runs this with `UPDATE_EXPECT=1`.

use std::{collections::BTreeMap, fmt::Write};

use expect_test::expect_file;
use webutils::restful::ErrorKind;

/// Each crate with its table. `cargo xtask tidy` finds a crate that is missing here.
fn tables() -> Vec<(&'static str, &'static [&'static ErrorKind])> {
    vec![
        ("utils-pagination", webutils::pagination::ERRORS),
        ("utils-restful", webutils::restful::ERRORS),
        ("utils-token-auth", webutils::token_auth::ERRORS),
        ("utils-webargs", webutils::webargs::ERRORS),
    ]
}

#[test]
fn the_catalogue_is_up_to_date() {
    expect_file!["../../../../docs/reference/errors.md"].assert_eq(&catalogue());
}

#[test]
fn a_code_belongs_to_one_kind() {
    let mut owners: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (owner, errors) in tables() {
        for kind in errors {
            owners.entry(kind.code).or_default().push(owner);
        }
    }
    owners.retain(|_, owners| owners.len() > 1);
    assert!(owners.is_empty(), "used more than once: {owners:?}");
}

#[test]
fn a_code_is_snake_case_and_its_help_is_a_sentence() {
    for (owner, errors) in tables() {
        for ErrorKind { code, help, .. } in errors {
            let is_snake_case = code.split('_').all(|word| {
                !word.is_empty()
                    && word.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit())
            });
            assert!(is_snake_case, "{owner}: {code}");
            let is_sentence = help.starts_with(|letter: char| !letter.is_lowercase()) && help.ends_with('.');
            assert!(is_sentence, "{owner}: {code}: {help}");
        }
    }
}

#[test]
fn a_status_is_one_of_errors() {
    for (owner, errors) in tables() {
        for ErrorKind { code, status, .. } in errors {
            assert!(status.is_client_error() || status.is_server_error(), "{owner}: {code}: {status}");
        }
    }
}

fn catalogue() -> String {
    let mut page = "\
<!-- made by `cargo xtask docs`; edit `ERRORS` of the crates -->
# Errors

Every kind of error that the crates answer with, sorted by code. A code is unique and never changes its meaning: branch
on it, or on the status, not on the message. It is the member `code` of an answer to a client that sends
`Accept: application/problem+json`.
"
    .to_owned();
    for (owner, errors) in tables() {
        let mut errors = errors.to_vec();
        errors.sort_by_key(|kind| kind.code);
        let _ = write!(page, "\n## {owner}\n\n| Code | Status | What to do |\n|---|---|---|\n");
        for ErrorKind { code, status, help, .. } in errors {
            let _ = writeln!(page, "| `{code}` | {status} | {} |", help.replace('|', "\\|"));
        }
    }
    page
}
