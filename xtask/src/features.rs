//! Which features this machine can build.

use std::env;

use crate::{
    command::answers,
    workspace::{Package, Workspace},
};

/// Features that a run over the whole workspace leaves out, and that are tested alone.
///
/// `aws-lc` compiles a C library for a minute or more, and swaps the provider that every other test signs with. `board`
/// compiles sixty crates more and embeds its pages.
pub(crate) const ALONE: &[&str] = &["aws-lc", "board"];

/// A feature that links to a C library of the system.
#[derive(Debug)]
pub(crate) struct SystemLibrary {
    pub(crate) feature: &'static str,
    pub(crate) name: &'static str,
    /// The package that brings it on Debian.
    pub(crate) package: &'static str,
    /// Set when the library stands where no tool finds it; the build scripts read the same variable.
    variable: &'static str,
    /// What the build scripts of pq-sys and mysqlclient-sys ask, in their order.
    questions: &'static [(&'static str, &'static [&'static str])],
}

/// Every feature that needs more than a C compiler.
pub(crate) const SYSTEM_LIBRARIES: &[SystemLibrary] = &[
    SystemLibrary {
        feature: "postgres",
        name: "libpq",
        package: "libpq-dev",
        variable: "PQ_LIB_DIR",
        questions: &[("pkg-config", &["--exists", "libpq"]), ("pg_config", &["--libdir"])],
    },
    SystemLibrary {
        feature: "mysql",
        name: "libmysqlclient or libmariadb",
        package: "libmariadb-dev",
        variable: "MYSQLCLIENT_LIB_DIR",
        questions: &[
            ("pkg-config", &["--exists", "mysqlclient"]),
            ("pkg-config", &["--exists", "libmariadb"]),
            ("mysql_config", &["--libs"]),
        ],
    },
];

impl SystemLibrary {
    /// Whether the build script will find it.
    pub(crate) fn is_installed(&self) -> bool {
        env::var_os(self.variable).is_some()
            || self.questions.iter().any(|(program, arguments)| answers(program, arguments))
    }
}

/// The features whose library is missing.
pub(crate) fn unbuildable() -> Vec<&'static str> {
    SYSTEM_LIBRARIES.iter().filter(|library| !library.is_installed()).map(|library| library.feature).collect()
}

/// The `--features` of a run over `packages`: all they have but `default` and what is left out.
pub(crate) fn select<'a>(packages: impl IntoIterator<Item = &'a Package>, left_out: &[&str]) -> String {
    let mut selected = Vec::new();
    for package in packages {
        for feature in package.named_features() {
            let name = feature.name.as_str();
            if !ALONE.contains(&name) && !left_out.contains(&name) {
                selected.push(format!("{}/{name}", package.name));
            }
        }
    }
    selected.join(",")
}

/// Whether any package has a feature of this name.
pub(crate) fn exists(workspace: &Workspace, feature: &str) -> bool {
    workspace.packages.iter().any(|package| package.named_features().any(|named| named.name == feature))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_and_what_is_left_out_are_not_selected() {
        let package = Package::parse(
            "crates/x",
            "[package]\nname = \"x\"\n[features]\ndefault = []\nsqlite = []\npostgres = []\naws-lc = []\nb = []\n",
        );
        assert_eq!(select([&package], &["postgres"]), "x/sqlite,x/b");
    }
}
