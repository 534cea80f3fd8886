//! Exceptions from a lint say why.

use std::fs;

use crate::workspace::{Workspace, files};

pub(crate) fn check(workspace: &Workspace) -> Result<Vec<String>, String> {
    let mut findings = Vec::new();
    for folder in ["crates", "examples", "xtask"] {
        for path in files(&workspace.root.join(folder), ".rs") {
            let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            let shown = path.strip_prefix(&workspace.root).unwrap_or(&path).display().to_string();
            findings.extend(
                without_reason(&text)
                    .into_iter()
                    .map(|line| format!("{shown}:{line}: an exception from a lint that does not say why, by `reason` or a comment behind it")),
            );
        }
    }
    Ok(findings)
}

/// The lines where an `allow` or `expect` attribute gives no reason.
fn without_reason(text: &str) -> Vec<usize> {
    let mut lines = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let start = line.trim_start();
        let inside = start.strip_prefix("#![").or_else(|| start.strip_prefix("#["));
        if !inside.is_some_and(|inside| inside.starts_with("allow(") || inside.starts_with("expect(")) {
            continue;
        }
        let attribute: String =
            text.lines().skip(number).take_while_inclusive(|line| !line.contains(")]")).collect();
        if !attribute.contains("reason = ") && !attribute.contains(")] // ") {
            lines.push(number + 1);
        }
    }
    lines
}

/// `take_while` that also gives the element that ended it.
trait TakeWhileInclusive: Iterator + Sized {
    fn take_while_inclusive(
        self,
        mut goes_on: impl FnMut(&Self::Item) -> bool,
    ) -> impl Iterator<Item = Self::Item> {
        let mut over = false;
        self.take_while(move |item| {
            let take = !over;
            over = !goes_on(item);
            take
        })
    }
}

impl<I: Iterator> TakeWhileInclusive for I {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exception_without_reason_is_found_wherever_it_stands() {
        let text = "#![allow(dead_code)]\nfn a() {}\n    #[expect(unused)]\n#[derive(Debug)]\n";
        assert_eq!(without_reason(text), [1, 3]);
    }

    #[test]
    fn a_reason_may_stand_on_a_later_line_or_behind() {
        let text = "#[expect(\n    clippy::exit,\n    reason = \"a main may\"\n)]\nfn a() {}\n";
        assert!(without_reason(text).is_empty());
        assert!(without_reason("#![allow(unused)] // generated\n// #[allow(unused)]\n").is_empty());
    }
}
