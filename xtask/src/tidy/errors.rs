//! Every kind of error of a crate stands in its `ERRORS`, and every crate with such a table in the catalogue.

use std::fs;

use crate::workspace::{Workspace, files};

/// The test that renders the catalogue; it names each crate with its table.
const CATALOGUE: &str = "crates/webutils/tests/it/reference.rs";

pub(crate) fn check(workspace: &Workspace) -> Result<Vec<String>, String> {
    let mut findings = Vec::new();
    let catalogue = fs::read_to_string(workspace.root.join(CATALOGUE)).unwrap_or_default();
    for package in workspace.crates() {
        let folder = workspace.root.join(&package.folder).join("src");
        let mut sources = Vec::new();
        for path in files(&folder, ".rs") {
            let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            let shown = path.strip_prefix(&workspace.root).unwrap_or(&path).display().to_string();
            sources.push((shown, text));
        }
        let has_table = sources.iter().any(|(_, text)| table(text).is_some());
        if has_table && !catalogue.contains(&format!("\"{}\"", package.name)) {
            findings.push(format!("{CATALOGUE}: lacks the errors of {}", package.name));
        }
        findings.extend(missing(&sources));
    }
    Ok(findings)
}

/// Kinds that no table of the crate names.
fn missing(sources: &[(String, String)]) -> Vec<String> {
    let tables: String = sources.iter().filter_map(|(_, text)| table(text)).collect();
    let mut findings = Vec::new();
    for (path, text) in sources {
        for name in text.lines().filter_map(kind) {
            let named = tables.split(|character: char| !character.is_alphanumeric() && character != '_');
            if !named.into_iter().any(|word| word == name) {
                findings.push(format!("{path}: `{name}` does not stand in the crate's `ERRORS`"));
            }
        }
    }
    findings
}

/// The text between the brackets of `static ERRORS: … = &[…]`.
fn table(text: &str) -> Option<&str> {
    let start = text.find("static ERRORS:").or_else(|| text.find("const ERRORS:"))?;
    let value = &text[start..][text[start..].find('=')? + 1..];
    Some(&value[..value.find(';')?])
}

/// The name of the kind that a line defines: `pub static LIMIT_TOO_LARGE: ErrorKind = …`. A test's are indented.
fn kind(line: &str) -> Option<&str> {
    let line = line.strip_prefix("pub(crate) ").or_else(|| line.strip_prefix("pub ")).unwrap_or(line);
    let line = line.strip_prefix("static ").or_else(|| line.strip_prefix("const "))?;
    let (name, rest) = line.split_once(':')?;
    rest.trim_start().starts_with("ErrorKind ").then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_sources(table: &str, expected: &[&str]) {
        let kinds = "pub(crate) static A: ErrorKind = ErrorKind::new();\nconst A_B: ErrorKind =\n    ErrorKind::new();\n";
        let sources = [("error.rs".to_owned(), kinds.to_owned()), ("lib.rs".to_owned(), table.to_owned())];
        assert_eq!(missing(&sources), expected);
    }

    #[test]
    fn kinds_in_the_table_are_silent() {
        check_sources("pub static ERRORS: &[&ErrorKind] = &[&A, &error::A_B];", &[]);
    }

    #[test]
    fn a_kind_outside_the_table_is_found() {
        let finding = "error.rs: `A` does not stand in the crate's `ERRORS`";
        check_sources("pub static ERRORS: &[&ErrorKind] = &[&A_B];", &[finding]);
    }

    #[test]
    fn without_a_table_every_kind_is_found() {
        check_sources(
            "",
            &[
                "error.rs: `A` does not stand in the crate's `ERRORS`",
                "error.rs: `A_B` does not stand in the crate's `ERRORS`",
            ],
        );
    }
}
