//! The invariants of ARCHITECTURE.md that a search can check.

use std::fs;

use crate::workspace::{Workspace, files};

/// Text that no library's source may hold.
struct Absent {
    text: &'static [&'static str],
    /// The crates that may, because it is what they are for.
    but_in: &'static [&'static str],
    /// What a line may hold all the same.
    except: &'static [&'static str],
    instead: &'static str,
}

const ABSENT: &[Absent] = &[
    Absent {
        text: &["env::var(", "env::var_os(", "env::vars("],
        but_in: &["utils-config", "utils-release"],
        // libpq's own, which it reads in every program: we must not overrule a site that wants its connections encrypted
        except: &["env::var_os(\"PGGSSENCMODE\")", "env::var_os(\"PGSERVICE\")"],
        instead: "reads an environment variable; take a plain value, the application reads its settings",
    },
    Absent {
        text: &["Runtime::new(", "runtime::Builder", "#[tokio::main", "#[actix_web::main", "System::new("],
        but_in: &[],
        except: &[],
        instead: "starts a runtime; the application has one",
    },
];

pub(crate) fn check(workspace: &Workspace) -> Result<Vec<String>, String> {
    let mut findings = Vec::new();
    for package in workspace.crates() {
        for path in files(&workspace.root.join(&package.folder).join("src"), ".rs") {
            let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            let shown = path.strip_prefix(&workspace.root).unwrap_or(&path).display().to_string();
            let found = broken(&package.name, &text);
            findings.extend(found.into_iter().map(|(line, instead)| format!("{shown}:{line}: {instead}")));
        }
    }
    Ok(findings)
}

/// The lines that break an invariant; comments and unit tests, which stand at the end of a file, may say what they like.
fn broken(package: &str, source: &str) -> Vec<(usize, &'static str)> {
    let mut found = Vec::new();
    let code = source
        .lines()
        .take_while(|line| !line.starts_with("#[cfg(test") && !line.starts_with("#[cfg(all(test,"));
    for (number, line) in code.enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
        for absent in ABSENT.iter().filter(|absent| !absent.but_in.contains(&package)) {
            let code = absent.except.iter().fold(line.to_owned(), |line, except| line.replace(except, ""));
            if absent.text.iter().any(|text| code.contains(text)) {
                found.push((number + 1, absent.instead));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_source(package: &str, source: &str, lines: &[usize]) {
        let found: Vec<usize> = broken(package, source).into_iter().map(|(line, _)| line).collect();
        assert_eq!(found, lines);
    }

    #[test]
    fn only_settings_and_the_release_come_from_the_environment() {
        check_source("utils-jobs", "\nlet a = std::env::var(\"A\");\n", &[2]);
        check_source("utils-config", "\nlet a = std::env::var(\"A\");\n", &[]);
        check_source("utils-jobs", "let a = std::env::var_os(\"PGSERVICE\");\n", &[]);
        check_source("utils-jobs", "(env::var_os(\"PGSERVICE\"), env::var_os(\"PGHOST\"))\n", &[1]);
    }

    #[test]
    fn no_library_starts_a_runtime() {
        check_source("utils-config", "tokio::runtime::Runtime::new()\n", &[1]);
    }

    #[test]
    fn examples_in_comments_and_unit_tests_are_free() {
        check_source("utils-jobs", "/// #[tokio::main]\n#[cfg(test)]\nmod tests { env::var(\"A\") }\n", &[]);
        check_source(
            "utils-jobs",
            "#[cfg(all(test, feature = \"x\"))]\nmod tests { env::var(\"A\") }\n",
            &[],
        );
    }
}
