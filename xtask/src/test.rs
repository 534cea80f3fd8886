//! `cargo xtask test`: every test that this machine can run.
//!
//! The tests of a database or of Redis stand in a module of that name, under a feature of that name, and read the
//! server's address from one variable. This command sets the variable when the server answers on its usual port,
//! leaves the feature out when it does not, and says so at the end. With `CI=true` that is a failure.
//!
//! Features that must be tested alone get a run of their own with `--slow`, which `CI=true` implies.

mod report;
mod servers;

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use crate::{
    command::{cargo, in_ci},
    features,
    workspace::{Package, Workspace},
};

use self::{
    report::Report,
    servers::{SERVERS, State},
};

pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let workspace = Workspace::load()?;
    let arguments = Arguments::parse(arguments, &workspace)?;
    let states: Vec<State> = SERVERS.iter().map(|server| server.look(&workspace)).collect();
    for (server, state) in SERVERS.iter().zip(&states) {
        match state {
            State::Ready { url } => eprintln!("{}: {}", server.name, servers::without_password(url)),
            State::Missing { why } | State::Unused { why } => eprintln!("{}: not run: {why}", server.name),
        }
    }

    let mut report = Report::default();
    let mut all_passed = tested(main_run(&workspace, &arguments, &states), &mut report)?;
    if arguments.slow {
        for run in runs_alone(&workspace, &arguments) {
            all_passed &= tested(run, &mut report)?;
        }
    }

    // a narrowed run proves nothing about the servers, so only the whole one is held to them
    let whole = arguments.packages.is_empty() && arguments.for_tests.is_empty();
    let lacking = if in_ci() && whole { report.lacking(&states) } else { Vec::new() };
    print!("{}", report.summary(&states));
    if !arguments.slow {
        println!("  {}: not run: slow to build; add --slow", features::ALONE.join(", "));
    }
    for line in &lacking {
        println!("  CI: {line}");
    }
    println!("\n{}", report.closing_line());
    if all_passed && report.failed() == 0 && lacking.is_empty() {
        Ok(())
    } else {
        Err("the tests did not pass".to_owned())
    }
}

/// Everything that can be tested together.
fn main_run(workspace: &Workspace, arguments: &Arguments<'_>, states: &[State]) -> Command {
    let mut command = cargo(&workspace.root);
    command.args(["test", "--no-fail-fast"]);
    if arguments.packages.is_empty() {
        command.arg("--workspace");
    }
    for package in &arguments.packages {
        command.args(["--package", package.name.as_str()]);
    }
    let mut missing = Vec::new();
    for (server, state) in SERVERS.iter().zip(states) {
        if let State::Ready { url } = state {
            command.env(server.variable, url);
        } else {
            command.env_remove(server.variable);
            missing.push(server.name);
        }
    }
    command.arg("--features").arg(features::select(arguments.selected(workspace), &missing));
    command.arg("--").args(arguments.for_tests);
    command
}

/// A run for each feature that is tested alone: the crate that has it, without databases.
fn runs_alone(workspace: &Workspace, arguments: &Arguments<'_>) -> Vec<Command> {
    let databases = ["sqlite", "postgres", "mysql", "redis"];
    let mut runs = Vec::new();
    for package in arguments.selected(workspace) {
        for feature in package.named_features().filter(|named| features::ALONE.contains(&named.name.as_str()))
        {
            let mut command = cargo(&workspace.root);
            command.args(["test", "--no-fail-fast", "--package", package.name.as_str(), "--features"]);
            command.arg(format!(
                "{},{}/{}",
                features::select([package], &databases),
                package.name,
                feature.name
            ));
            command.arg("--").args(arguments.for_tests);
            runs.push(command);
        }
    }
    runs
}

/// Runs the tests, shows and counts what they print; whether cargo was content.
fn tested(mut command: Command, report: &mut Report) -> Result<bool, String> {
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(|error| format!("cargo test: {error}"))?;
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).split(b'\n') {
            let line = line.map_err(|error| format!("cargo test: {error}"))?;
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            report.read(&line);
        }
    }
    Ok(child.wait().map_err(|error| format!("cargo test: {error}"))?.success())
}

/// What stands behind `cargo xtask test`.
#[derive(Debug)]
struct Arguments<'a> {
    /// `-p`, as often as wanted; none means all.
    packages: Vec<&'a Package>,
    /// `--slow`: also the features that are tested alone.
    slow: bool,
    /// What stands behind `--`: for the test binaries.
    for_tests: &'a [String],
}

impl<'a> Arguments<'a> {
    fn parse(arguments: &'a [String], workspace: &'a Workspace) -> Result<Self, String> {
        let end = arguments.iter().position(|argument| argument == "--").unwrap_or(arguments.len());
        let mut packages = Vec::new();
        let mut slow = in_ci();
        let mut ours = arguments[..end].iter();
        while let Some(argument) = ours.next() {
            if argument == "--slow" {
                slow = true;
                continue;
            }
            if !matches!(argument.as_str(), "-p" | "--package") {
                return Err(format!(
                    "`{argument}` is not known: cargo xtask test [-p CRATE]… [--slow] [-- arguments for the test binaries]"
                ));
            }
            let name = ours.next().ok_or("-p needs the name of a crate")?;
            packages.push(workspace.find(name).ok_or_else(|| format!("no crate is called `{name}`"))?);
        }
        Ok(Self { packages, slow, for_tests: arguments.get(end + 1..).unwrap_or_default() })
    }

    /// The packages to test.
    fn selected(&self, workspace: &'a Workspace) -> Vec<&'a Package> {
        if self.packages.is_empty() { workspace.packages.iter().collect() } else { self.packages.clone() }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn check(line: &[&str], expected: &str) {
        let workspace = Workspace {
            root: PathBuf::new(),
            packages: vec![Package::parse("crates/x", "[package]\nname = \"x\"\n")],
        };
        let line: Vec<String> = line.iter().map(|argument| (*argument).to_owned()).collect();
        let found = match Arguments::parse(&line, &workspace) {
            Ok(Arguments { packages, for_tests, .. }) => {
                let names: Vec<&str> = packages.iter().map(|package| package.name.as_str()).collect();
                format!("{names:?} {for_tests:?}")
            }
            Err(message) => message,
        };
        assert!(found.contains(expected), "{found}");
    }

    #[test]
    fn without_arguments_everything_is_tested() {
        check(&[], "[] []");
    }

    #[test]
    fn what_stands_behind_two_dashes_goes_to_the_tests() {
        check(&["-p", "x", "--", "--nocapture", "-p"], r#"["x"] ["--nocapture", "-p"]"#);
    }

    #[test]
    fn an_unknown_crate_or_argument_is_refused() {
        check(&["-p", "y"], "no crate is called `y`");
        check(&["-p"], "needs the name");
        check(&["--release"], "`--release` is not known");
    }
}
