//! A table that one database has, the two others have.

use std::collections::BTreeSet;

use crate::workspace::{Workspace, folders};

const DATABASES: [&str; 3] = ["sqlite", "postgres", "mysql"];

pub(crate) fn check(workspace: &Workspace) -> Result<Vec<String>, String> {
    let mut findings = Vec::new();
    for package in workspace.crates() {
        let folder = workspace.root.join(&package.folder).join("migrations");
        if !folder.is_dir() {
            continue;
        }
        let names = |database: &str| -> BTreeSet<String> {
            folders(&folder.join(database))
                .iter()
                .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
                .collect()
        };
        let by_database = DATABASES.map(|database| (database, names(database)));
        findings.extend(
            compare(&by_database)
                .into_iter()
                .map(|finding| format!("{}/migrations/{finding}", package.folder)),
        );
        for database in DATABASES {
            for migration in folders(&folder.join(database)) {
                for file in ["up.sql", "down.sql"] {
                    if !migration.join(file).is_file() {
                        let name = migration.file_name().unwrap_or_default().to_string_lossy();
                        findings
                            .push(format!("{}/migrations/{database}/{name}: has no {file}", package.folder));
                    }
                }
            }
        }
    }
    Ok(findings)
}

/// Names that one database has and another lacks.
fn compare(by_database: &[(&str, BTreeSet<String>)]) -> Vec<String> {
    let all: BTreeSet<&String> = by_database.iter().flat_map(|(_, names)| names).collect();
    let mut findings = Vec::new();
    for (database, names) in by_database {
        findings.extend(
            all.iter().filter(|name| !names.contains(**name)).map(|name| format!("{database}: lacks {name}")),
        );
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_migration_that_one_database_lacks_is_found() {
        let names =
            |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<String>>();
        let by_database =
            [("sqlite", names(&["1", "2"])), ("postgres", names(&["1", "2"])), ("mysql", names(&["1"]))];
        assert_eq!(compare(&by_database), ["mysql: lacks 2"]);
        assert!(compare(&by_database[..2]).is_empty());
    }
}
