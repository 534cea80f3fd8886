//! docs/reference/features.md: every feature of every crate, from the `##` comments in the manifests.

use std::collections::BTreeSet;

use crate::workspace::{Feature, Package, Workspace};

/// The package whose features switch the crates on.
const FACADE: &str = "webutils";

/// The whole page.
pub(crate) fn render(workspace: &Workspace) -> String {
    let mut page =
        "<!-- made by `cargo xtask docs`; edit the `##` comments in crates/*/Cargo.toml -->\n# Features\n\n\
        Features only add. One that is not listed here is not part of the public API.\n\n"
            .to_owned();
    page.push_str(&matrix(workspace));
    for package in workspace.crates().filter(|package| package.named_features().next().is_some()) {
        page.push_str(&format!("\n## {}\n\n{}\n\n", package.name, default_line(package)));
        page.push_str(&if package.name == FACADE { facade_table(package) } else { table(package) });
    }
    page
}

/// Feature by feature, what it adds.
pub(crate) fn table(package: &Package) -> String {
    package.named_features().fold("| Feature | What it adds |\n|---|---|\n".to_owned(), |table, feature| {
        format!("{table}| `{}` | {} |\n", feature.name, cell(&feature.doc))
    })
}

/// Which features are on when nothing is said.
pub(crate) fn default_line(package: &Package) -> String {
    match package.default_features() {
        [] => "None is on by default.".to_owned(),
        features => format!("On by default: {}.", code_list(features.iter().map(String::as_str))),
    }
}

/// Which crate has which feature: a row for each crate, a column for each feature that more than one crate has.
fn matrix(workspace: &Workspace) -> String {
    let names = || workspace.crates().flat_map(Package::named_features).map(|feature| feature.name.as_str());
    let shared: BTreeSet<&str> = names()
        .filter(|name| {
            let owners = workspace
                .crates()
                .filter(|package| package.name != FACADE)
                .filter(|package| has(package, name));
            owners.count() > 1
        })
        .collect();
    let header = shared.iter().fold("| Crate |".to_owned(), |row, name| format!("{row} `{name}` |"));
    let mut table = format!("{header} others |\n|---|{}---|\n", ":-:|".repeat(shared.len()));
    for package in workspace.crates() {
        let marks =
            shared.iter().map(|name| if has(package, name) { " ✓ |" } else { " |" }).collect::<String>();
        let others = package
            .named_features()
            .map(|feature| feature.name.as_str())
            .filter(|name| !shared.contains(name));
        table.push_str(&format!("| {} |{marks} {} |\n", package.name, code_list(others)));
    }
    table
}

fn has(package: &Package, feature: &str) -> bool {
    package.named_features().any(|named| named.name == feature)
}

/// The facade's features with what each switches on in the crates.
fn facade_table(facade: &Package) -> String {
    facade.named_features().fold(
        "| Feature | What it adds | What it switches on |\n|---|---|---|\n".to_owned(),
        |table, feature| {
            format!("{table}| `{}` | {} | {} |\n", feature.name, cell(&feature.doc), switched_on(feature))
        },
    )
}

/// `dep:utils-jobs` is the crate; `utils-jobs?/sqlite` a feature of it, if the crate is on; `jobs` a feature of the facade.
fn switched_on(feature: &Feature) -> String {
    let parts: Vec<String> = feature
        .enables
        .iter()
        .map(|enabled| {
            if let Some(name) = enabled.strip_prefix("dep:") {
                name.to_owned()
            } else if let Some((name, inner)) = enabled.split_once("?/") {
                format!("`{inner}` of {name} if on")
            } else if let Some((name, inner)) = enabled.split_once('/') {
                format!("`{inner}` of {name}")
            } else {
                format!("`{enabled}`")
            }
        })
        .collect();
    parts.join(", ")
}

/// `a`, `b`, as code.
pub(crate) fn code_list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// Text for a cell of a table: a bar would end it.
pub(crate) fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn workspace() -> Workspace {
        let manifests = [
            (
                "crates/utils-a",
                "[package]\nname = \"utils-a\"\n[features]\n## A on SQLite.\nsqlite = []\n## X | Y.\nx = []\n",
            ),
            ("crates/utils-b", "[package]\nname = \"utils-b\"\n[features]\n## B on SQLite.\nsqlite = []\n"),
            ("crates/utils-c", "[package]\nname = \"utils-c\"\n"),
            (
                "crates/webutils",
                "[package]\nname = \"webutils\"\n[features]\ndefault = []\n## A.\na = [\"dep:utils-a\", \"utils-a/x\"]\n\
                 ## All.\nfull = [\"a\"]\n## SQLite.\nsqlite = [\"utils-a?/sqlite\"]\n",
            ),
        ];
        let packages = manifests.iter().map(|(folder, text)| Package::parse(folder, text)).collect();
        Workspace { root: PathBuf::new(), packages }
    }

    #[test]
    fn the_matrix_has_a_column_for_each_shared_feature() {
        assert_eq!(
            matrix(&workspace()),
            "| Crate | `sqlite` | others |\n|---|:-:|---|\n| utils-a | ✓ | `x` |\n| utils-b | ✓ |  |\n\
             | utils-c | |  |\n| webutils | ✓ | `a`, `full` |\n"
        );
    }

    #[test]
    fn the_facade_says_what_each_feature_switches_on() {
        let workspace = workspace();
        assert_eq!(
            facade_table(workspace.find("webutils").unwrap()),
            "| Feature | What it adds | What it switches on |\n|---|---|---|\n\
             | `a` | A. | utils-a, `x` of utils-a |\n| `full` | All. | `a` |\n\
             | `sqlite` | SQLite. | `sqlite` of utils-a if on |\n"
        );
    }

    #[test]
    fn a_crate_without_features_has_no_section() {
        let page = render(&workspace());
        assert!(page.contains("\n## utils-b\n\nNone is on by default.\n") && !page.contains("## utils-c"));
        assert!(page.contains("| `x` | X \\| Y. |"));
    }
}
