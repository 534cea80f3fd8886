//! Which crate may depend on which.

use crate::workspace::{Package, Workspace};

/// How firmly one crate may hold another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hold {
    /// Every user of the one gets the other.
    Always,
    /// Only by a feature.
    ByFeature,
}

/// Every edge there may be between the libraries. A new one is a decision about what a user of the crate drags in:
/// write it here, and say why in the commit. The map in ARCHITECTURE.md is made from the manifests.
const ALLOWED: &[(&str, &str, Hold)] = &[
    // they answer errors in its shape
    ("utils-pagination", "utils-restful", Hold::Always),
    ("utils-token-auth", "utils-restful", Hold::Always),
    ("utils-webargs", "utils-restful", Hold::ByFeature),
    // its engine finds every fault of a value, of a request or of settings
    ("utils-config", "utils-webargs", Hold::Always),
    // they report which release ran
    ("utils-jobs", "utils-release", Hold::Always),
    ("utils-sentry", "utils-release", Hold::Always),
    // failed jobs
    ("utils-sentry", "utils-jobs", Hold::ByFeature),
    // the shape that the harnesses read, and contract suites
    ("utils-testing", "utils-restful", Hold::Always),
    ("utils-testing", "utils-jobs", Hold::ByFeature),
    ("utils-testing", "utils-token-auth", Hold::ByFeature),
];

/// Holds every library, each by a feature; only examples may depend on it.
const FACADE: &str = "webutils";

pub(crate) fn check(workspace: &Workspace) -> Result<Vec<String>, String> {
    Ok(workspace.packages.iter().flat_map(|package| findings(workspace, package)).collect())
}

fn findings(workspace: &Workspace, package: &Package) -> Vec<String> {
    let path = package.manifest_path();
    let mut findings = Vec::new();
    for edge in workspace.edges(package) {
        let (from, to) = (package.name.as_str(), edge.name.as_str());
        let target_is_library = workspace.find(to).is_some_and(Package::is_library);
        if !target_is_library {
            findings.push(format!("{path}: depends on {to}, which is no library"));
        } else if package.name == "xtask" {
            findings
                .push(format!("{path}: depends on {to}; it must build while the libraries do not compile"));
        } else if !package.is_library() {
            // an example may use them all
        } else if from == FACADE {
            if !edge.optional {
                findings.push(format!("{path}: holds {to} always; the facade takes each crate by a feature"));
            }
        } else {
            match ALLOWED.iter().find(|(one, other, _)| *one == from && *other == to) {
                None => findings.push(format!(
                    "{path}: depends on {to}, an edge that xtask/src/tidy/edges.rs does not allow"
                )),
                Some((_, _, Hold::ByFeature)) if !edge.optional => {
                    findings.push(format!("{path}: holds {to} always; it may only by a feature"));
                }
                Some(_) => {}
            }
        }
    }
    if package.name == FACADE {
        for library in workspace.crates().filter(|library| library.name != FACADE) {
            if !workspace.edges(package).any(|edge| edge.name == library.name) {
                findings.push(format!("{path}: has no feature for {}", library.name));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[track_caller]
    fn check_dependencies(name: &str, dependencies: &str, expected: &[&str]) {
        let folder = match name {
            "shop" => "examples/shop".to_owned(),
            "xtask" => "xtask".to_owned(),
            _ => format!("crates/{name}"),
        };
        let text = format!("[package]\nname = \"{name}\"\n[dependencies]\n{dependencies}");
        let mut packages = vec![Package::parse(&folder, &text)];
        for other in ["utils-restful", "utils-jobs", "webutils", "demo"] {
            if other != name {
                let parent = if other == "demo" { "examples" } else { "crates" };
                let text = format!("[package]\nname = \"{other}\"\n");
                packages.push(Package::parse(&format!("{parent}/{other}"), &text));
            }
        }
        let workspace = Workspace { root: PathBuf::new(), packages };
        assert_eq!(findings(&workspace, &workspace.packages[0]), expected);
    }

    #[test]
    fn an_allowed_edge_is_silent() {
        check_dependencies("utils-pagination", "utils-restful.workspace = true\nserde = \"1\"\n", &[]);
    }

    #[test]
    fn an_edge_outside_the_table_is_found() {
        check_dependencies(
            "utils-release",
            "utils-restful.workspace = true\n",
            &[
                "crates/utils-release/Cargo.toml: depends on utils-restful, an edge that xtask/src/tidy/edges.rs does not allow",
            ],
        );
    }

    #[test]
    fn an_edge_by_feature_must_be_optional() {
        check_dependencies(
            "utils-sentry",
            "utils-jobs.workspace = true\n",
            &["crates/utils-sentry/Cargo.toml: holds utils-jobs always; it may only by a feature"],
        );
        check_dependencies("utils-sentry", "utils-jobs = { workspace = true, optional = true }\n", &[]);
    }

    #[test]
    fn nobody_but_an_example_depends_on_the_facade() {
        check_dependencies("shop", "webutils.workspace = true\n", &[]);
        check_dependencies(
            "utils-jobs",
            "webutils.workspace = true\n",
            &[
                "crates/utils-jobs/Cargo.toml: depends on webutils, an edge that xtask/src/tidy/edges.rs does not allow",
            ],
        );
    }

    #[test]
    fn the_facade_holds_every_library_by_a_feature() {
        check_dependencies(
            "webutils",
            "utils-jobs.workspace = true\n",
            &[
                "crates/webutils/Cargo.toml: holds utils-jobs always; the facade takes each crate by a feature",
                "crates/webutils/Cargo.toml: has no feature for utils-restful",
            ],
        );
    }

    #[test]
    fn an_example_is_no_library_and_the_chores_stand_alone() {
        check_dependencies(
            "shop",
            "demo = { path = \"../demo\" }\n",
            &["examples/shop/Cargo.toml: depends on demo, which is no library"],
        );
        check_dependencies(
            "xtask",
            "utils-jobs.workspace = true\n",
            &["xtask/Cargo.toml: depends on utils-jobs; it must build while the libraries do not compile"],
        );
    }
}
