//! What every manifest inherits, documents and keeps to one of.

use std::collections::BTreeSet;

use crate::workspace::{Dependency, Kind, Package, Workspace, files};

/// Fields of `[package]` that are said once, in the root manifest.
const INHERITED: &[&str] = &["version", "edition", "rust-version", "license"];

pub(crate) fn check(workspace: &Workspace) -> Result<Vec<String>, String> {
    let mut findings = Vec::new();
    for package in &workspace.packages {
        let found = [
            fields(package),
            dependencies(workspace, package),
            features(package),
            test_binaries(workspace, package),
        ];
        let path = package.manifest_path();
        findings.extend(found.into_iter().flatten().map(|finding| format!("{path}: {finding}")));
    }
    Ok(findings)
}

fn fields(package: &Package) -> Vec<String> {
    let manifest = &package.manifest;
    let inherits = |key: &str| manifest.get("package", key).is_some_and(|entry| entry.is("workspace"));
    let mut findings: Vec<String> =
        manifest.unread.iter().map(|line| format!("tidy cannot read the line `{line}`")).collect();
    for key in INHERITED.iter().filter(|key| !inherits(key)) {
        findings.push(format!("`{key}` is not inherited: write `{key}.workspace = true`"));
    }
    if package.is_library() && !inherits("include") {
        findings.push("`include` is not inherited: write `include.workspace = true`".to_owned());
    }
    if !package.is_library() && manifest.get("package", "publish").is_none_or(|entry| entry.value != "false")
    {
        findings.push("only libraries are published: write `publish = false`".to_owned());
    }
    if manifest.get("lints", "workspace").is_none_or(|entry| entry.value != "true") {
        findings.push("the lints are not inherited: write `workspace = true` under `[lints]`".to_owned());
    }
    if package.description.is_empty() || package.description.ends_with('.') {
        findings.push("`description` is missing or ends with a full stop".to_owned());
    }
    if !package.folder.ends_with(&format!("/{}", package.name)) && package.folder != package.name {
        findings.push(format!("the package is called {}, its folder is not", package.name));
    }
    if manifest.entries.iter().any(|entry| entry.section.contains("dependencies.")) {
        findings.push("a dependency has a section of its own; write it on one line".to_owned());
    }
    findings
}

fn dependencies(workspace: &Workspace, package: &Package) -> Vec<String> {
    let mut findings = Vec::new();
    for dependency in &package.dependencies {
        let name = &dependency.name;
        let ours = workspace.find(name).is_some();
        if dependency.kind == Kind::Dev && ours {
            // cargo drops a path without a version when it packages, so a circle through tests never blocks a release
            if !dependency.path_only && reaches(workspace, name, &package.name) {
                findings.push(format!(
                    "the tests' dependency on {name} closes a circle; write `{{ path = \"../{name}\" }}` without a version"
                ));
            } else if !dependency.path_only && !dependency.inherited {
                findings.push(format!("{name} has a version of its own; write `workspace = true`"));
            }
        } else if !dependency.inherited {
            findings.push(format!("{name} has a version of its own; write `workspace = true`"));
        }
    }
    findings
}

/// Whether `from` depends on `to`, over any number of steps and by any feature.
fn reaches(workspace: &Workspace, from: &str, to: &str) -> bool {
    let mut seen = BTreeSet::from([from]);
    let mut open = vec![from];
    while let Some(package) = open.pop().and_then(|name| workspace.find(name)) {
        for Dependency { name, .. } in workspace.edges(package) {
            if name == to {
                return true;
            }
            if seen.insert(name) {
                open.push(name);
            }
        }
    }
    false
}

fn features(package: &Package) -> Vec<String> {
    let mut findings = Vec::new();
    for feature in package.named_features() {
        let name = &feature.name;
        if feature.doc.is_empty() {
            findings.push(format!("feature `{name}` has no `##` line above it"));
        } else if !feature.doc.ends_with('.') {
            findings.push(format!("the `##` line of feature `{name}` does not end with a full stop"));
        }
    }
    for dependency in package.dependencies.iter().filter(|dependency| dependency.optional) {
        let named = format!("dep:{}", dependency.name);
        if !package.features.iter().any(|feature| feature.enables.contains(&named)) {
            findings
                .push(format!("no feature names `{named}`, so the dependency is an undocumented feature"));
        }
    }
    findings
}

/// One integration binary, `tests/it/main.rs`: with actix and Diesel inside, each link takes seconds.
fn test_binaries(workspace: &Workspace, package: &Package) -> Vec<String> {
    let tests = workspace.root.join(&package.folder).join("tests");
    let mut binaries: Vec<String> = files(&tests, ".rs")
        .iter()
        .filter_map(|path| path.strip_prefix(&tests).ok())
        .filter(|path| {
            let depth = path.components().count();
            depth == 1 || (depth == 2 && path.ends_with("main.rs"))
        })
        .map(|path| path.to_string_lossy().into_owned())
        .collect();
    binaries.extend(
        package.manifest.section("test").filter(|entry| entry.key == "path").map(|entry| entry.value.clone()),
    );
    if package.is_library() && binaries.iter().any(|binary| binary != "it/main.rs") {
        vec![format!(
            "the integration tests are {}; one binary, tests/it/main.rs, is enough",
            binaries.join(", ")
        )]
    } else if binaries.len() > 1 {
        vec![format!("{} test binaries: {}; one is enough", binaries.len(), binaries.join(", "))]
    } else {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    const GOOD: &str = "[package]\nname = \"utils-a\"\ndescription = \"A\"\nversion.workspace = true\n\
        edition.workspace = true\nrust-version.workspace = true\nlicense.workspace = true\ninclude.workspace = true\n\
        [lints]\nworkspace = true\n";

    fn workspace(text: &str) -> Workspace {
        let packages = vec![
            Package::parse("crates/utils-a", text),
            Package::parse(
                "crates/utils-b",
                "[package]\nname = \"utils-b\"\n[dependencies]\nutils-a.workspace = true\n",
            ),
        ];
        Workspace { root: PathBuf::from("/nowhere"), packages }
    }

    #[track_caller]
    fn check_manifest(text: &str, expected: &str) {
        let workspace = workspace(text);
        let package = &workspace.packages[0];
        let findings = [
            fields(package),
            dependencies(&workspace, package),
            features(package),
            test_binaries(&workspace, package),
        ]
        .concat();
        if expected.is_empty() {
            assert!(findings.is_empty(), "{findings:?}");
        } else {
            assert!(findings.len() == 1 && findings[0].contains(expected), "{findings:?}");
        }
    }

    #[test]
    fn a_manifest_that_inherits_everything_is_silent() {
        check_manifest(GOOD, "");
    }

    #[test]
    fn a_field_of_its_own_is_found() {
        check_manifest(
            &GOOD.replace("edition.workspace = true", "edition = \"2024\""),
            "`edition` is not inherited",
        );
        check_manifest(&GOOD.replace("[lints]\nworkspace = true", ""), "the lints are not inherited");
        check_manifest(&GOOD.replace("\"A\"", "\"A.\""), "`description`");
        check_manifest(&GOOD.replace("include.workspace = true\n", ""), "`include` is not inherited");
    }

    #[test]
    fn a_version_of_its_own_is_found() {
        check_manifest(&format!("{GOOD}[dependencies]\nurl = \"2\"\n"), "url has a version of its own");
        check_manifest(
            &format!("{GOOD}[dev-dependencies]\nurl = {{ version = \"2\" }}\n"),
            "url has a version",
        );
        check_manifest(&format!("{GOOD}[dependencies.url]\nworkspace = true\n"), "a section of its own");
    }

    #[test]
    fn a_circle_through_the_tests_carries_no_version() {
        check_manifest(&format!("{GOOD}[dev-dependencies]\nutils-b.workspace = true\n"), "closes a circle");
        check_manifest(&format!("{GOOD}[dev-dependencies]\nutils-b = {{ path = \"../utils-b\" }}\n"), "");
    }

    #[test]
    fn every_feature_is_documented() {
        check_manifest(&format!("{GOOD}[features]\ndefault = []\nx = []\n"), "feature `x` has no `##` line");
        check_manifest(&format!("{GOOD}[features]\n## X\nx = []\n"), "does not end with a full stop");
        check_manifest(
            &format!("{GOOD}[dependencies]\nurl = {{ workspace = true, optional = true }}\n"),
            "no feature names `dep:url`",
        );
    }
}
