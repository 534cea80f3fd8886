//! The repository's chores: `cargo xtask` lists them.
#![expect(clippy::print_stdout, reason = "a command line program talks through the terminal")]

mod ci;
mod command;
mod docs;
mod features;
mod manifest;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

/// A chore: its name, the line `cargo xtask` shows for it, and what runs it.
struct Chore {
    name: &'static str,
    usage: &'static str,
    about: &'static str,
    run: fn(&[String]) -> Result<(), String>,
}

const CHORES: &[Chore] = &[
    Chore {
        name: "docs",
        usage: "docs [--check]",
        about: "write the generated pages, or name those that are stale",
        run: docs::run,
    },
    Chore {
        name: "test",
        usage: "test [-p CRATE] [--slow] [-- ARGS]",
        about: "run every test this machine can run, and say which servers were missing",
        run: test::run,
    },
    Chore {
        name: "tidy",
        usage: "tidy",
        about: "check manifests, crate edges, migrations, error tables and links",
        run: tidy::run,
    },
    Chore {
        name: "ci",
        usage: "ci [STEP…]",
        about: "run what CI runs besides the tests: format, lints, docs, each feature alone",
        run: ci::run,
    },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((name, rest)) = arguments.split_first() else {
        print!("{}", help());
        return ExitCode::SUCCESS;
    };
    if matches!(name.as_str(), "help" | "--help" | "-h") {
        print!("{}", help());
        return ExitCode::SUCCESS;
    }
    let Some(chore) = CHORES.iter().find(|chore| chore.name == name) else {
        eprint!("no command is called `{name}`\n\n{}", help());
        return ExitCode::from(2);
    };
    match (chore.run)(rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn help() -> String {
    let width = CHORES.iter().map(|chore| chore.usage.len()).max().unwrap_or(0);
    CHORES.iter().fold("cargo xtask …\n".to_owned(), |text, chore| {
        format!("{text}  {:width$}  {}\n", chore.usage, chore.about)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_chore_has_a_line_in_the_help() {
        for chore in CHORES {
            assert!(help().lines().any(|line| line.contains(chore.usage) && line.contains(chore.about)));
        }
    }
}
