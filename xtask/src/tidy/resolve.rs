//! What a user gets by a feature, and what not: read from cargo's own resolution.

use crate::{
    command::{cargo, read},
    workspace::Workspace,
};

/// Crates that a program without a web server uses.
const WITHOUT_WEB: &[&str] = &["utils-config", "utils-release"];

/// The database feature, and the bindings of the other databases, whose libraries nobody who asked for it has.
const FOREIGN_BINDINGS: &[(&str, &[&str])] =
    &[("sqlite", &["pq-sys", "mysqlclient-sys"]), ("postgres", &["mysqlclient-sys"]), ("mysql", &["pq-sys"])];

/// Forwards a database to the crates that are on, and must not switch one on by it.
const FACADE: &str = "webutils";

pub(crate) fn check(workspace: &Workspace) -> Result<Vec<String>, String> {
    let mut findings = Vec::new();
    for (database, _) in FOREIGN_BINDINGS {
        let tree = tree(workspace, FACADE, &["--no-default-features", "--features", database])?;
        if has(&tree, "diesel") {
            findings.push(format!("crates/{FACADE}/Cargo.toml: feature `{database}` alone pulls in diesel"));
        }
    }
    for name in WITHOUT_WEB.iter().filter(|name| workspace.find(name).is_some()) {
        if has(&tree(workspace, name, &[])?, "actix-web") {
            findings.push(format!("crates/{name}/Cargo.toml: its default features pull in actix-web"));
        }
    }
    for package in workspace.crates() {
        for (database, foreign) in FOREIGN_BINDINGS {
            if !package.named_features().any(|feature| feature.name == *database) {
                continue;
            }
            // the facade forwards a database only to the crates that are on
            let all =
                if package.named_features().any(|feature| feature.name == "full") { "full," } else { "" };
            let features = format!("{all}{database}");
            let tree = tree(workspace, &package.name, &["--no-default-features", "--features", &features])?;
            findings.extend(foreign.iter().filter(|binding| has(&tree, binding)).map(|binding| {
                format!("{}: feature `{database}` alone pulls in {binding}", package.manifest_path())
            }));
        }
    }
    Ok(findings)
}

/// Every package in the tree of one crate, a line each.
fn tree(workspace: &Workspace, package: &str, features: &[&str]) -> Result<String, String> {
    let mut command = cargo(&workspace.root);
    command.args(["tree", "--quiet", "--package", package, "--edges", "normal,build", "--prefix", "none"]);
    read(command.args(features))
}

fn has(tree: &str, package: &str) -> bool {
    tree.lines().any(|line| line.split(' ').next() == Some(package))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_found_by_its_whole_name() {
        assert!(has("serde v1\nactix-web v4.18.0 (*)\n", "actix-web"));
        assert!(!has("actix-web-codegen v4\n", "actix-web"));
    }
}
