//! The crate map in ARCHITECTURE.md.

use crate::workspace::{Package, Workspace};

/// A line for each library that depends on another of ours; what only a feature brings in stands behind `feature`.
pub(crate) fn render(workspace: &Workspace) -> String {
    let width = workspace.crates().map(|package| package.name.len()).max().unwrap_or(0);
    let mut lines = String::new();
    for package in workspace.crates() {
        lines.push_str(&format!("{:width$} → {}\n", package.name, targets(workspace, package)));
    }
    format!("```text\n{lines}```\n")
}

fn targets(workspace: &Workspace, package: &Package) -> String {
    let names = |optional: bool| {
        let edges = workspace.edges(package).filter(move |edge| edge.optional == optional);
        edges.map(|edge| edge.name.as_str()).collect::<Vec<_>>().join(", ")
    };
    match (names(false), names(true)) {
        (always, by_feature) if always.is_empty() && by_feature.is_empty() => "nothing of ours".to_owned(),
        (always, by_feature) if by_feature.is_empty() => always,
        (always, by_feature) if always.is_empty() => format!("by feature: {by_feature}"),
        (always, by_feature) => format!("{always}; by feature: {by_feature}"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn always_stands_before_by_feature() {
        let manifests = [
            ("crates/a", "[package]\nname = \"a\"\n"),
            (
                "crates/bb",
                "[package]\nname = \"bb\"\n[dependencies]\na.workspace = true\nurl.workspace = true\n",
            ),
            (
                "crates/c",
                "[package]\nname = \"c\"\n[dependencies]\na.workspace = true\nbb = { workspace = true, optional = true }\n",
            ),
        ];
        let packages = manifests.iter().map(|(folder, text)| Package::parse(folder, text)).collect();
        assert_eq!(
            render(&Workspace { root: PathBuf::new(), packages }),
            "```text\na  → nothing of ours\nbb → a\nc  → a; by feature: bb\n```\n"
        );
    }
}
