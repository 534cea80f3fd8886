//! `cargo xtask docs`: the pages that are made from the sources.
//!
//! Pages made of text are rendered here. The error catalogue is made of types, so a test of `webutils` renders it; this
//! command runs that test.

mod crates;
mod edges;
mod features;
mod marked;
mod readme;

use std::{fs, path::Path, process::Stdio};

use crate::{command::cargo, features::select, workspace::Workspace};

const CATALOGUE: &str = "docs/reference/errors.md";
/// The test that compares that page with the types, or writes it.
const CATALOGUE_TEST: &str = "reference::the_catalogue_is_up_to_date";

/// A generated page, or a hand-written one with a generated block.
#[derive(Debug)]
struct Page {
    /// From the workspace's root.
    path: String,
    text: String,
}

pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let check = match arguments {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => return Err("cargo xtask docs [--check]".to_owned()),
    };
    let workspace = Workspace::load()?;
    let mut stale = Vec::new();
    for page in pages(&workspace)? {
        let path = workspace.root.join(&page.path);
        if fs::read_to_string(&path).ok().as_deref() == Some(page.text.as_str()) {
            continue;
        }
        if check {
            stale.push(page.path);
        } else {
            write(&path, &page.text)?;
            println!("wrote {}", page.path);
        }
    }
    if !catalogue(&workspace, check)? {
        stale.push(CATALOGUE.to_owned());
    }
    for path in &stale {
        println!("stale: {path}");
    }
    if stale.is_empty() { Ok(()) } else { Err("run `cargo xtask docs` and commit the result".to_owned()) }
}

/// Every page, as it ought to be.
fn pages(workspace: &Workspace) -> Result<Vec<Page>, String> {
    let mut pages = Vec::new();
    for package in workspace.crates() {
        let source = read(&workspace.root.join(&package.folder).join("src/lib.rs"))?;
        pages.push(Page {
            path: format!("{}/README.md", package.folder),
            text: readme::render(package, &source),
        });
    }
    pages.push(Page { path: "docs/reference/crates.md".to_owned(), text: crates::render(workspace) });
    pages.push(Page { path: "docs/reference/features.md".to_owned(), text: features::render(workspace) });
    let blocks = [
        ("README.md", "crates", crates::table(workspace)),
        ("ARCHITECTURE.md", "crates", edges::render(workspace)),
    ];
    for (path, name, block) in blocks {
        let text = marked::replace(&read(&workspace.root.join(path))?, name, &block)
            .ok_or_else(|| format!("{path} needs the lines `<!-- {name} -->` and `<!-- /{name} -->`"))?;
        pages.push(Page { path: path.to_owned(), text });
    }
    Ok(pages)
}

/// Runs the test that renders the error catalogue; whether the page is up to date. `Err` when the test cannot tell.
fn catalogue(workspace: &Workspace, check: bool) -> Result<bool, String> {
    // every kind of error, so every feature; the databases share theirs
    let libraries = workspace.crates().filter(|package| package.name != "utils-testing");
    let features = select(libraries, &["testing", "postgres", "mysql"]);
    let mut command = cargo(&workspace.root);
    command.args(["test", "--quiet", "--package", "webutils", "--features", features.as_str()]);
    command.args(["--test", "it", "--", "--exact", CATALOGUE_TEST]);
    if check {
        command.env_remove("UPDATE_EXPECT");
    } else {
        command.env("UPDATE_EXPECT", "1");
    }
    // what the test prints is the whole page twice; what the compiler prints tells why there is no page
    let output = command.stderr(Stdio::inherit()).output().map_err(|error| format!("cargo test: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    if output.status.success() && said.contains("1 passed") {
        Ok(true)
    } else if check && said.contains("1 failed") {
        Ok(false)
    } else {
        Err(format!("{said}{CATALOGUE} could not be compared with the crates' `ERRORS`"))
    }
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(path, text))
        .map_err(|error| format!("{}: {error}", path.display()))
}
