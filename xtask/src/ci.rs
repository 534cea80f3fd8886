//! `cargo xtask ci`: what CI runs besides the tests, the cheapest first; each step can be run alone.

use std::{path::Path, process::Command, time::Instant};

use crate::{
    command::{answers, cargo, in_ci, run as run_command},
    docs, features, tidy,
    workspace::{Package, Workspace},
};

struct Step {
    name: &'static str,
    run: fn(&Workspace) -> Result<(), String>,
}

const STEPS: &[Step] = &[
    Step { name: "fmt", run: format },
    Step { name: "typos", run: typos },
    Step { name: "tidy", run: |_| tidy::run(&[]) },
    Step { name: "docs", run: |_| docs::run(&["--check".to_owned()]) },
    Step { name: "clippy", run: clippy },
    Step { name: "rustdoc", run: rustdoc },
    Step { name: "features", run: each_feature_alone },
    Step { name: "fuzz", run: fuzz },
];

/// Runs the named steps, or all; a failed one does not keep the others from telling what they found.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    if let Some(unknown) = arguments.iter().find(|name| STEPS.iter().all(|step| step.name != **name)) {
        let names: Vec<&str> = STEPS.iter().map(|step| step.name).collect();
        return Err(format!("no step is called `{unknown}`: there are {}", names.join(", ")));
    }
    let workspace = Workspace::load()?;
    let mut outcomes = Vec::new();
    let mut failed = Vec::new();
    for step in
        STEPS.iter().filter(|step| arguments.is_empty() || arguments.iter().any(|name| name == step.name))
    {
        println!("\n== {}", step.name);
        let start = Instant::now();
        let outcome = (step.run)(&workspace);
        let seconds = start.elapsed().as_secs_f64();
        let word = if outcome.is_ok() { "ok" } else { "FAILED" };
        if let Err(message) = outcome {
            println!("{message}");
            failed.push(step.name);
        }
        println!("== {}: {word} in {seconds:.1} s", step.name);
        outcomes.push(format!("  {:8}  {word:6}  {seconds:7.1} s", step.name));
    }
    println!("\nci\n{}", outcomes.join("\n"));
    if failed.is_empty() {
        Ok(())
    } else {
        Err(format!("run alone with `cargo xtask ci {}`", failed.join(" ")))
    }
}

fn format(workspace: &Workspace) -> Result<(), String> {
    run_command(cargo(&workspace.root).args(["fmt", "--all", "--check"]))
}

fn typos(workspace: &Workspace) -> Result<(), String> {
    if !answers("typos", &["--version"]) {
        let message = "typos is not installed: pip install typos";
        if in_ci() {
            return Err(message.to_owned());
        }
        println!("{message}");
        return Ok(());
    }
    run_command(Command::new("typos").current_dir(&workspace.root))
}

fn clippy(workspace: &Workspace) -> Result<(), String> {
    let features = features::select(&workspace.packages, &left_out());
    run_command(
        cargo(&workspace.root)
            .args([
                "clippy",
                "--quiet",
                "--keep-going",
                "--workspace",
                "--all-targets",
                "--features",
                features.as_str(),
            ])
            .args(["--", "--deny", "warnings"]),
    )
}

fn rustdoc(workspace: &Workspace) -> Result<(), String> {
    let features = features::select(&workspace.packages, &left_out());
    run_command(
        cargo(&workspace.root)
            .args([
                "doc",
                "--quiet",
                "--keep-going",
                "--workspace",
                "--no-deps",
                "--features",
                features.as_str(),
            ])
            .env("RUSTDOCFLAGS", "--deny warnings"),
    )
}

/// Each library with no feature, with its defaults and with each feature alone: what a user may ask for must build.
fn each_feature_alone(workspace: &Workspace) -> Result<(), String> {
    let left_out = left_out();
    let mut failed = Vec::new();
    for package in workspace.crates() {
        for build in builds(package, &left_out) {
            let mut command = cargo(&workspace.root);
            command.args(["check", "--quiet", "--package", package.name.as_str()]).args(build.arguments());
            // a warning that only one feature shows is still a warning to its user
            let output = command.output().map_err(|error| format!("cargo check: {error}"))?;
            let said = String::from_utf8_lossy(&output.stderr);
            if !output.status.success() || said.contains("warning: ") {
                println!("{}: {build}\n{}", package.name, said.trim_end());
                failed.push(format!("{}: {build}", package.name));
            }
        }
    }
    if !left_out.is_empty() {
        println!("left out, their client library is not installed: {}", left_out.join(", "));
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(format!("does not build cleanly:\n  {}", failed.join("\n  ")))
    }
}

/// One choice of features.
#[derive(Debug, PartialEq, Eq)]
enum Build<'a> {
    None,
    Default,
    Only(&'a str),
}

impl Build<'_> {
    fn arguments(&self) -> Vec<&str> {
        match self {
            Self::None => vec!["--no-default-features"],
            Self::Default => Vec::new(),
            Self::Only(feature) => vec!["--no-default-features", "--features", feature],
        }
    }
}

impl std::fmt::Display for Build<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => f.write_str("no feature"),
            Self::Default => f.write_str("the default features"),
            Self::Only(feature) => write!(f, "only `{feature}`"),
        }
    }
}

fn builds<'a>(package: &'a Package, left_out: &[&str]) -> Vec<Build<'a>> {
    let mut builds = vec![Build::None];
    if !package.default_features().is_empty() {
        builds.push(Build::Default);
    }
    let names = package.named_features().map(|feature| feature.name.as_str());
    builds.extend(names.filter(|name| !left_out.contains(name)).map(Build::Only));
    builds
}

/// The fuzz targets must compile, so that they cannot rot; running them is a matter of hours.
fn fuzz(workspace: &Workspace) -> Result<(), String> {
    let folder: &Path = &workspace.root.join("fuzz");
    if !folder.join("Cargo.toml").is_file() {
        println!("no fuzz targets");
        return Ok(());
    }
    run_command(cargo(folder).args(["check", "--quiet", "--locked", "--all-targets"]))
}

/// The features that cannot be built here. In CI nothing is left out: a missing library is a failure there.
fn left_out() -> Vec<&'static str> {
    if in_ci() { Vec::new() } else { features::unbuildable() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_feature_is_built_alone() {
        let package = Package::parse(
            "crates/x",
            "[package]\nname = \"x\"\n[features]\ndefault = [\"a\"]\na = []\npostgres = []\naws-lc = []\n",
        );
        assert_eq!(
            builds(&package, &["postgres"]),
            [Build::None, Build::Default, Build::Only("a"), Build::Only("aws-lc")]
        );
    }

    #[test]
    fn empty_defaults_are_not_built_twice() {
        let package = Package::parse("crates/x", "[package]\nname = \"x\"\n[features]\ndefault = []\n");
        assert_eq!(builds(&package, &[]), [Build::None]);
    }
}
