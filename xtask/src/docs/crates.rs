//! docs/reference/crates.md, and the table of crates in the root README.

use super::features::{cell, code_list};
use crate::workspace::{Dependency, Package, Workspace};

/// The whole page.
pub(crate) fn render(workspace: &Workspace) -> String {
    let mut page = "<!-- made by `cargo xtask docs`; edit crates/*/Cargo.toml -->\n# Crates\n\n\
         Each works without the others but for those it depends on. Third-party crates are left out here.\n"
        .to_owned();
    for package in workspace.crates() {
        page.push_str(&format!(
            "\n## [{name}](../../{folder}/README.md)\n\n{description}.\n\n| | |\n|---|---|\n\
             | depends on | {depends} |\n| used by | {users} |\n| features | {features} |\n",
            name = package.name,
            folder = package.folder,
            description = package.description,
            depends = or_none(depends_on(workspace, package)),
            users = or_none(used_by(workspace, package)),
            features = or_none(code_list(package.named_features().map(|feature| feature.name.as_str()))),
        ));
    }
    page
}

/// A row for each crate: its name, and what it is for.
pub(crate) fn table(workspace: &Workspace) -> String {
    workspace.crates().fold("| Crate | What it does |\n|---|---|\n".to_owned(), |table, package| {
        format!("{table}| [{0}](crates/{0}/README.md) | {1} |\n", package.name, cell(&package.description))
    })
}

fn depends_on(workspace: &Workspace, package: &Package) -> String {
    let names: Vec<String> =
        workspace.edges(package).map(|dependency| labelled(&dependency.name, package, dependency)).collect();
    names.join(", ")
}

fn used_by(workspace: &Workspace, package: &Package) -> String {
    let mut names = Vec::new();
    for user in workspace.crates() {
        for dependency in workspace.edges(user).filter(|dependency| dependency.name == package.name) {
            names.push(labelled(&user.name, user, dependency));
        }
    }
    names.join(", ")
}

/// `name`, with the features of `owner` that bring the dependency in when it is optional.
fn labelled(name: &str, owner: &Package, dependency: &Dependency) -> String {
    if !dependency.optional {
        return name.to_owned();
    }
    let switch = format!("dep:{}", dependency.name);
    let features = owner.named_features().filter(|feature| feature.enables.contains(&switch));
    format!("{name} (by feature {})", code_list(features.map(|feature| feature.name.as_str())))
}

fn or_none(text: String) -> String {
    if text.is_empty() { "—".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn workspace() -> Workspace {
        let manifests = [
            ("crates/a", "[package]\nname = \"a\"\ndescription = \"A | one\"\n"),
            (
                "crates/b",
                "[package]\nname = \"b\"\ndescription = \"B\"\n[features]\n## X.\nx = [\"dep:c\"]\n[dependencies]\n\
                 a.workspace = true\nc = { workspace = true, optional = true }\nserde.workspace = true\n\
                 [dev-dependencies]\nd = { path = \"../d\" }\n",
            ),
            ("crates/c", "[package]\nname = \"c\"\ndescription = \"C\"\n"),
            ("crates/d", "[package]\nname = \"d\"\ndescription = \"D\"\n"),
        ];
        let packages = manifests.iter().map(|(folder, text)| Package::parse(folder, text)).collect();
        Workspace { root: PathBuf::new(), packages }
    }

    #[test]
    fn the_table_has_a_row_for_each_crate() {
        assert!(table(&workspace()).starts_with(
            "| Crate | What it does |\n|---|---|\n| [a](crates/a/README.md) | A \\| one |\n| [b](crates/b/README.md) | B |\n"
        ));
    }

    #[test]
    fn edges_are_shown_from_both_ends() {
        let page = render(&workspace());
        assert!(
            page.contains("| depends on | a, c (by feature `x`) |\n| used by | — |\n| features | `x` |"),
            "{page}"
        );
        assert!(
            page.contains("| used by | b |\n") && page.contains("| used by | b (by feature `x`) |\n"),
            "{page}"
        );
    }

    #[test]
    fn a_dependency_of_the_tests_is_no_edge() {
        assert!(
            render(&workspace())
                .ends_with("D.\n\n| | |\n|---|---|\n| depends on | — |\n| used by | — |\n| features | — |\n")
        );
    }
}
