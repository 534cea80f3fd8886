//! `cargo xtask tidy`: rules that no compiler checks, each finding in one line that names its file.

mod edges;
mod errors;
mod invariants;
mod links;
mod manifests;
mod migrations;
mod resolve;
mod sources;

use crate::workspace::Workspace;

pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    if let Some(argument) = arguments.first() {
        return Err(format!("`{argument}` is not known: cargo xtask tidy"));
    }
    let workspace = Workspace::load()?;
    let mut findings = Vec::new();
    for rule in [
        edges::check,
        manifests::check,
        migrations::check,
        sources::check,
        errors::check,
        invariants::check,
        links::check,
        resolve::check,
    ] {
        findings.extend(rule(&workspace)?);
    }
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => Ok(()),
        1 => Err("tidy: 1 finding".to_owned()),
        count => Err(format!("tidy: {count} findings")),
    }
}
