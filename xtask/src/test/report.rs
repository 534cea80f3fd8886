//! Counts what the test binaries print.

use std::collections::BTreeMap;

use super::servers::{SERVERS, State};

/// What passed and failed, by the server it talked to.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// The tests of a server, by its name.
    servers: BTreeMap<&'static str, Count>,
    /// All tests, from the closing line of each binary.
    all: Count,
    /// What tests could not do here, in their own words: those that start a server of their own where it is not installed.
    not_run: Vec<String>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Count {
    passed: usize,
    failed: usize,
    ignored: usize,
}

impl Report {
    /// Takes one line of `cargo test`.
    pub(crate) fn read(&mut self, line: &str) {
        if let Some(why) = line.strip_prefix("not run: ") {
            self.not_run.push(why.to_owned());
        } else if let Some(counts) = line.strip_prefix("test result: ") {
            self.all.passed += number_before(counts, " passed");
            self.all.failed += number_before(counts, " failed");
            self.all.ignored += number_before(counts, " ignored");
        } else if let Some((path, outcome)) =
            line.strip_prefix("test ").and_then(|rest| rest.split_once(" ... "))
        {
            let Some(server) = server_of(path) else { return };
            let count = self.servers.entry(server).or_default();
            match outcome.split([' ', ',']).next() {
                Some("ok") => count.passed += 1,
                Some("ignored") => count.ignored += 1,
                _ => count.failed += 1,
            }
        }
    }

    pub(crate) fn failed(&self) -> usize {
        self.all.failed
    }

    /// What a whole run in CI must not lack.
    pub(crate) fn lacking(&self, states: &[State]) -> Vec<String> {
        let mut lacking = Vec::new();
        for (server, state) in SERVERS.iter().zip(states) {
            match state {
                State::Missing { .. } => lacking.push(format!("the {} tests must run", server.name)),
                State::Ready { .. } if self.server(server.name).passed == 0 => {
                    lacking.push(format!("no {} test passed", server.name));
                }
                State::Ready { .. } | State::Unused { .. } => {}
            }
        }
        lacking.extend(self.not_run.iter().map(|why| format!("must run: {why}")));
        if self.all.passed == 0 {
            lacking.push("no test passed".to_owned());
        }
        lacking
    }

    /// One line for each server and one for the rest.
    pub(crate) fn summary(&self, states: &[State]) -> String {
        let mut rest = self.all;
        let mut lines = String::new();
        for (server, state) in SERVERS.iter().zip(states) {
            let count = self.server(server.name);
            rest.passed = rest.passed.saturating_sub(count.passed);
            rest.failed = rest.failed.saturating_sub(count.failed);
            rest.ignored = rest.ignored.saturating_sub(count.ignored);
            let outcome = match state {
                State::Ready { .. } => count.to_string(),
                State::Missing { why } | State::Unused { why } => format!("not run: {why}"),
            };
            lines = format!("{lines}  {}: {outcome}\n", server.name);
        }
        for why in &self.not_run {
            lines = format!("{lines}  not run: {why}\n");
        }
        format!("\ntests by what they need\n  sqlite and in memory: {rest}\n{lines}")
    }

    /// `12 passed, 0 failed`.
    pub(crate) fn closing_line(&self) -> String {
        let Count { passed, failed, ignored } = self.all;
        let skipped = if ignored > 0 { format!(", {ignored} skipped") } else { String::new() };
        format!("{passed} passed, {failed} failed{skipped}")
    }

    fn server(&self, name: &str) -> Count {
        self.servers.get(name).copied().unwrap_or_default()
    }
}

impl std::fmt::Display for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "passed {}", self.passed)?;
        if self.failed > 0 {
            write!(f, ", failed {}", self.failed)?;
        }
        if self.ignored > 0 {
            write!(f, ", ignored {}", self.ignored)?;
        }
        Ok(())
    }
}

/// The server that a test's path names: `stores::postgres::a_session_is_kept`. A doc test names none: it has no server.
fn server_of(path: &str) -> Option<&'static str> {
    if path.contains(".rs - ") {
        return None;
    }
    SERVERS.iter().map(|server| server.name).find(|name| path.split("::").any(|part| part.trim() == *name))
}

/// The number that stands before `word`: 12 in `ok. 12 passed; 0 failed`.
fn number_before(text: &str, word: &str) -> usize {
    let before = text.find(word).map_or("", |at| &text[..at]);
    let digits = before.rsplit(|character: char| !character.is_ascii_digit()).next().unwrap_or("");
    digits.parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "\
running 4 tests
test stores::memory::a_session_is_kept ... ok
test stores::postgres::a_session_is_kept ... ok
test stores::mysql::a_session_is_kept ... FAILED
test mysql::slow ... ignored, takes an hour

test result: FAILED. 2 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.02s
test crates/utils-jobs/src/postgres.rs - postgres::Claim (line 12) ... ok
test crates/utils-jobs/src/lib.rs - (line 3) - compile ... ok
test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.20s
";

    fn report() -> Report {
        let mut report = Report::default();
        OUTPUT.lines().for_each(|line| report.read(line));
        report
    }

    fn states() -> [State; 3] {
        [
            State::Ready { url: "postgres://x".to_owned() },
            State::Ready { url: "mysql://x".to_owned() },
            State::Missing { why: "nothing answers".to_owned() },
        ]
    }

    #[test]
    fn tests_are_counted_by_the_server_in_their_path() {
        assert_eq!(
            report().summary(&states()),
            "\ntests by what they need\n  sqlite and in memory: passed 3\n  postgres: passed 1\n  \
             mysql: passed 0, failed 1, ignored 1\n  redis: not run: nothing answers\n"
        );
    }

    #[test]
    fn the_closing_line_counts_every_binary() {
        assert_eq!(report().closing_line(), "4 passed, 1 failed, 1 skipped");
        assert_eq!(Report::default().closing_line(), "0 passed, 0 failed");
    }

    #[test]
    fn what_a_test_could_not_do_is_told_and_lacks_in_ci() {
        let mut report = report();
        report.read("not run: jobs of a MariaDB that is stopped: mariadbd is not installed");
        let told = "not run: jobs of a MariaDB that is stopped: mariadbd is not installed";
        assert!(
            report.summary(&states()).ends_with(&format!("\n  {told}\n")),
            "{}",
            report.summary(&states())
        );
        let lacks = "must run: jobs of a MariaDB that is stopped: mariadbd is not installed";
        assert!(report.lacking(&states()).contains(&lacks.to_owned()));
    }

    #[test]
    fn ci_lacks_what_did_not_run_or_did_not_pass() {
        assert_eq!(report().lacking(&states()), ["no mysql test passed", "the redis tests must run"]);
        assert_eq!(Report::default().lacking(&[]), ["no test passed"]);
    }
}
