//! The packages of the workspace, as their manifests tell it.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use crate::manifest::{Entry, Manifest};

/// Every package of the workspace: the libraries, then the examples, then this one.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    pub(crate) packages: Vec<Package>,
}

/// One package.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// Its one sentence, without a full stop.
    pub(crate) description: String,
    /// Its folder, from the workspace's root: `crates/utils-jobs`.
    pub(crate) folder: String,
    pub(crate) features: Vec<Feature>,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) manifest: Manifest,
}

/// One feature of a package, `default` included.
#[derive(Debug, Clone)]
pub(crate) struct Feature {
    pub(crate) name: String,
    pub(crate) doc: String,
    pub(crate) enables: Vec<String>,
}

/// One line of `[dependencies]` or its siblings.
#[derive(Debug, Clone)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) optional: bool,
    /// `workspace = true`.
    pub(crate) inherited: bool,
    /// `path = …` and no version.
    pub(crate) path_only: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Normal,
    Build,
    Dev,
}

impl Workspace {
    /// Reads the manifests from disk.
    pub(crate) fn load() -> Result<Self, String> {
        let root = root()?;
        let mut packages = Vec::new();
        for parent in ["crates", "examples"] {
            for folder in folders(&root.join(parent)) {
                if folder.join("Cargo.toml").is_file() {
                    packages.push(Package::load(&root, &folder)?);
                }
            }
        }
        packages.push(Package::load(&root, &root.join("xtask"))?);
        Ok(Self { root, packages })
    }

    /// The libraries: what is under `crates/`.
    pub(crate) fn crates(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| package.is_library())
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Package> {
        self.packages.iter().find(|package| package.name == name)
    }

    /// The dependencies of `package` on libraries of ours, development left out.
    pub(crate) fn edges<'a>(&'a self, package: &'a Package) -> impl Iterator<Item = &'a Dependency> {
        package
            .dependencies
            .iter()
            .filter(|dependency| dependency.kind != Kind::Dev && self.find(&dependency.name).is_some())
    }
}

impl Package {
    fn load(root: &Path, folder: &Path) -> Result<Self, String> {
        let path = folder.join("Cargo.toml");
        let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let folder = folder.strip_prefix(root).unwrap_or(folder).to_string_lossy().replace('\\', "/");
        Ok(Self::parse(&folder, &text))
    }

    pub(crate) fn parse(folder: &str, text: &str) -> Self {
        let manifest = Manifest::parse(text);
        let package = |key| manifest.get("package", key).and_then(Entry::text).unwrap_or_default();
        let kinds = [
            ("dependencies", Kind::Normal),
            ("build-dependencies", Kind::Build),
            ("dev-dependencies", Kind::Dev),
        ];
        Self {
            name: package("name"),
            description: package("description"),
            folder: folder.to_owned(),
            features: manifest.section("features").map(Feature::new).collect(),
            dependencies: kinds
                .into_iter()
                .flat_map(|(section, kind)| {
                    manifest.section(section).map(move |entry| Dependency::new(entry, kind))
                })
                .collect(),
            manifest,
        }
    }

    pub(crate) fn is_library(&self) -> bool {
        self.folder.starts_with("crates/")
    }

    /// The features a user may name, `default` left out.
    pub(crate) fn named_features(&self) -> impl Iterator<Item = &Feature> {
        self.features.iter().filter(|feature| feature.name != "default")
    }

    /// What is on when nothing is said.
    pub(crate) fn default_features(&self) -> &[String] {
        let default = self.features.iter().find(|feature| feature.name == "default");
        default.map_or(&[], |feature| &feature.enables)
    }

    /// Where its manifest is, from the workspace's root.
    pub(crate) fn manifest_path(&self) -> String {
        format!("{}/Cargo.toml", self.folder)
    }
}

impl Feature {
    fn new(entry: &Entry) -> Self {
        Self { name: entry.key.clone(), doc: entry.doc.clone(), enables: entry.list() }
    }
}

impl Dependency {
    fn new(entry: &Entry, kind: Kind) -> Self {
        Self {
            name: entry.key.clone(),
            kind,
            optional: entry.is("optional"),
            inherited: entry.is("workspace"),
            path_only: entry.field("path").is_some() && entry.field("version").is_none(),
        }
    }
}

/// The folders in `parent`, sorted by name.
pub(crate) fn folders(parent: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = fs::read_dir(parent)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    folders
}

/// Every file below `folder` whose name ends on `ending`, sorted; build output and hidden folders are left out.
pub(crate) fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                found.extend(files(&path, ending));
            }
        } else if name.ends_with(ending) {
            found.push(path);
        }
    }
    found
}

/// The workspace's root: cargo tells a program it runs where its manifest is.
fn root() -> Result<PathBuf, String> {
    let ours = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    ours.parent().map(Path::to_path_buf).ok_or_else(|| "run this by `cargo xtask`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_becomes_a_package() {
        let package = Package::parse(
            "crates/utils-x",
            r#"
[package]
name = "utils-x"
description = "X"

[features]
default = ["a"]
## A.
a = ["dep:url"]

[dependencies]
url = { workspace = true, optional = true }

[dev-dependencies]
utils-testing = { path = "../utils-testing" }
"#,
        );
        assert_eq!((package.name.as_str(), package.description.as_str()), ("utils-x", "X"));
        assert_eq!(package.default_features(), ["a"]);
        assert_eq!(package.named_features().map(|feature| feature.doc.as_str()).collect::<Vec<_>>(), ["A."]);
        let [url, testing] = package.dependencies.as_slice() else { panic!("{:?}", package.dependencies) };
        assert!(url.optional && url.inherited && url.kind == Kind::Normal);
        assert!(testing.path_only && testing.kind == Kind::Dev);
    }
}
