//! `cargo xtask test`: every test that this machine can run.
//!
//! The tests of a database or of Redis stand in a module of that name, under a feature of that name, and read the
//! server's address from one variable. This command sets the variable when the server answers on its usual port,
//! leaves the feature out when it does not, and says so at the end. With `CI=true` that is a failure.

mod report;
mod servers;

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
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
    let Arguments { packages, for_tests } = Arguments::parse(arguments, &workspace)?;
    let states: Vec<State> = SERVERS.iter().map(|server| server.look(&workspace)).collect();
    let missing: Vec<&str> = SERVERS
        .iter()
        .zip(&states)
        .filter(|(_, state)| !matches!(state, State::Ready { .. }))
        .map(|(server, _)| server.name)
        .collect();

    let mut command = cargo(&workspace.root);
    command.args(["test", "--no-fail-fast"]);
    let selected: Vec<&Package> = if packages.is_empty() {
        command.arg("--workspace");
        workspace.packages.iter().collect()
    } else {
        command.args(packages.iter().flat_map(|package| ["--package", package.name.as_str()]));
        packages.clone()
    };
    command.arg("--features").arg(features::select(selected, &missing));
    if !for_tests.is_empty() {
        command.arg("--").args(for_tests);
    }
    for (server, state) in SERVERS.iter().zip(&states) {
        match state {
            State::Ready { url } => {
                eprintln!("{}: {}", server.name, servers::without_password(url));
                command.env(server.variable, url);
            }
            State::Missing { why } | State::Unused { why } => {
                eprintln!("{}: not run: {why}", server.name);
                command.env_remove(server.variable);
            }
        }
    }

    let mut child = command.stdout(Stdio::piped()).spawn().map_err(|error| format!("cargo test: {error}"))?;
    let mut report = Report::default();
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).split(b'\n') {
            let line = line.map_err(|error| format!("cargo test: {error}"))?;
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            report.read(&line);
        }
    }
    let status = child.wait().map_err(|error| format!("cargo test: {error}"))?;

    // a narrowed run proves nothing about the servers, so only the whole one is held to them
    let whole = packages.is_empty() && for_tests.is_empty();
    let lacking = if in_ci() && whole { report.lacking(&states) } else { Vec::new() };
    print!("{}", report.summary(&states));
    for line in &lacking {
        println!("  CI: {line}");
    }
    println!("\n{}", report.closing_line());
    if status.success() && report.failed() == 0 && lacking.is_empty() {
        Ok(())
    } else {
        Err("the tests did not pass".to_owned())
    }
}

/// What stands behind `cargo xtask test`.
#[derive(Debug)]
struct Arguments<'a> {
    /// `-p`, as often as wanted; none means all.
    packages: Vec<&'a Package>,
    /// What stands behind `--`: for the test binaries.
    for_tests: &'a [String],
}

impl<'a> Arguments<'a> {
    fn parse(arguments: &'a [String], workspace: &'a Workspace) -> Result<Self, String> {
        let end = arguments.iter().position(|argument| argument == "--").unwrap_or(arguments.len());
        let mut packages = Vec::new();
        let mut ours = arguments[..end].iter();
        while let Some(argument) = ours.next() {
            if !matches!(argument.as_str(), "-p" | "--package") {
                return Err(format!(
                    "`{argument}` is not known: cargo xtask test [-p CRATE]… [-- arguments for the test binaries]"
                ));
            }
            let name = ours.next().ok_or("-p needs the name of a crate")?;
            packages.push(workspace.find(name).ok_or_else(|| format!("no crate is called `{name}`"))?);
        }
        Ok(Self { packages, for_tests: arguments.get(end + 1..).unwrap_or_default() })
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
            Ok(Arguments { packages, for_tests }) => {
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
