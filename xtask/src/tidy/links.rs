//! Links between the pages of the repository lead somewhere.

use std::{fs, path::Path};

use crate::workspace::{Workspace, files};

pub(crate) fn check(workspace: &Workspace) -> Result<Vec<String>, String> {
    let mut findings = Vec::new();
    for path in files(&workspace.root, ".md") {
        let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let shown = path.strip_prefix(&workspace.root).unwrap_or(&path).display().to_string();
        for target in relative_links(&text) {
            if !folder.join(target).exists() {
                findings.push(format!("{shown}: links to {target}, which is not there"));
            }
        }
    }
    Ok(findings)
}

/// The files that `[text](file)` and `[label]: file` name, without `#anchor`; code is left out.
fn relative_links(text: &str) -> Vec<&str> {
    let mut links = Vec::new();
    let mut in_code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        // every second part is a code span; one that is left open hides the rest of its line
        for prose in line.split('`').step_by(2) {
            links.extend(
                prose.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target),
            );
        }
        if let Some((_, target)) = line.strip_prefix('[').and_then(|rest| rest.split_once("]: ")) {
            links.push(target.trim());
        }
    }
    links
        .into_iter()
        .filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
        .filter_map(|target| target.split(['#', ' ']).next())
        .filter(|target| !target.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_and_the_web_is_left_alone() {
        let text = "[a](docs/a.md#part) [b](https://example.org/b) [`c`](c.rs) [d](#d)\n[e]: e.md\n";
        assert_eq!(relative_links(text), ["docs/a.md", "c.rs", "e.md"]);
    }

    #[test]
    fn code_holds_no_links() {
        assert!(relative_links("`[a](b)`\n```text\n[a](b)\n```\n").is_empty());
    }
}
