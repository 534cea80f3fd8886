//! The servers that some tests need: which variable holds their address, and where to look without it.

use std::{
    env,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

use crate::{features, workspace::Workspace};

/// A server that tests talk to.
#[derive(Debug)]
pub(crate) struct Server {
    /// What the feature and the tests' module are called.
    pub(crate) name: &'static str,
    /// Holds its address.
    pub(crate) variable: &'static str,
    /// Tried when the variable is unset: the server's usual port on this machine.
    port: u16,
    /// The address the tests get when that port is open: an account without a password, and the database `test`.
    usual_url: &'static str,
}

pub(crate) const SERVERS: &[Server] = &[
    Server {
        name: "postgres",
        variable: "TEST_POSTGRES_URL",
        port: 5432,
        usual_url: "postgres://postgres@127.0.0.1:5432/test",
    },
    Server {
        name: "mysql",
        variable: "TEST_MYSQL_URL",
        port: 3306,
        usual_url: "mysql://root@127.0.0.1:3306/test",
    },
    Server { name: "redis", variable: "TEST_REDIS_URL", port: 6379, usual_url: "redis://127.0.0.1:6379" },
];

/// What became of a server in this run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Its tests run against this address.
    Ready { url: String },
    /// Its tests cannot run here.
    Missing { why: String },
    /// No crate has tests for it.
    Unused { why: String },
}

impl Server {
    /// Finds out whether the tests of this server can be built and run here.
    pub(crate) fn look(&self, workspace: &Workspace) -> State {
        self.decide(
            features::exists(workspace, self.name),
            || {
                let library =
                    features::SYSTEM_LIBRARIES.iter().find(|library| library.feature == self.name)?;
                let missing = format!("{} is not installed (Debian: {})", library.name, library.package);
                (!library.is_installed()).then_some(missing)
            },
            env::var(self.variable).ok().filter(|url| !url.is_empty()),
            || answers_on(self.port),
        )
    }

    fn decide(
        &self,
        used: bool,
        missing_library: impl FnOnce() -> Option<String>,
        set: Option<String>,
        answers: impl FnOnce() -> bool,
    ) -> State {
        if !used {
            return State::Unused { why: format!("no crate has a feature `{}`", self.name) };
        }
        if let Some(why) = missing_library() {
            return State::Missing { why };
        }
        match set {
            Some(url) => State::Ready { url },
            None if answers() => State::Ready { url: self.usual_url.to_owned() },
            None => State::Missing {
                why: format!("nothing answers on 127.0.0.1:{}; start it or set {}", self.port, self.variable),
            },
        }
    }
}

/// The address without its password, for the terminal.
pub(crate) fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    match authority.rsplit_once('@').and_then(|(user, _)| user.split_once(':')) {
        Some((user, password)) => {
            format!("{scheme}://{user}:…{}", &rest[user.len() + 1 + password.len()..])
        }
        None => url.to_owned(),
    }
}

fn answers_on(port: u16) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpStream::connect_timeout(&address, Duration::from_millis(500)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(used: bool, library: bool, set: Option<&str>, answers: bool, expected: &str) {
        let missing = || (!library).then(|| "libpq is not installed".to_owned());
        let state = SERVERS[0].decide(used, missing, set.map(str::to_owned), || answers);
        assert!(format!("{state:?}").starts_with(expected), "{state:?}");
    }

    #[test]
    fn a_server_that_answers_is_used_at_its_usual_address() {
        check(true, true, None, true, r#"Ready { url: "postgres://postgres@127.0.0.1:5432/test""#);
    }

    #[test]
    fn the_variable_wins_over_the_usual_address() {
        check(true, true, Some("postgres://db/x"), true, r#"Ready { url: "postgres://db/x""#);
    }

    #[test]
    fn without_a_server_the_reason_names_port_and_variable() {
        check(
            true,
            true,
            None,
            false,
            r#"Missing { why: "nothing answers on 127.0.0.1:5432; start it or set TEST_PO"#,
        );
    }

    #[test]
    fn without_the_client_library_a_server_is_of_no_use() {
        check(true, false, Some("postgres://db/x"), true, r#"Missing { why: "libpq is not installed""#);
    }

    #[test]
    fn a_server_that_no_crate_knows_is_unused() {
        check(false, false, None, false, "Unused");
    }

    #[test]
    fn a_password_is_not_shown() {
        assert_eq!(without_password("postgres://me:secret@db:5432/x?a=b"), "postgres://me:…@db:5432/x?a=b");
        assert_eq!(without_password("redis://127.0.0.1:6379"), "redis://127.0.0.1:6379");
        assert_eq!(without_password("mysql://:p@h"), "mysql://:…@h");
    }
}
