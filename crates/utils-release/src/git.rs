use std::{
    fs,
    path::{Path, PathBuf},
};

/// A symbolic reference may name another one; git itself follows five.
const MOST_STEPS: usize = 5;

/// The commit that is checked out, and the files that change when another one is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) commit: Option<String>,
    pub(crate) watch: Vec<PathBuf>,
}

impl Head {
    /// Of the repository that `directory` is in; `None` where there is none.
    pub(crate) fn of(directory: &Path) -> Option<Self> {
        let git = directory.ancestors().find_map(git_directory)?;
        // In a linked worktree, HEAD is its own and the branches are those of the main repository.
        let common = match fs::read_to_string(git.join("commondir")) {
            Ok(path) => git.join(path.trim()),
            Err(_) => git.clone(),
        };
        let mut watch = vec![git.join("HEAD")];
        let commit = commit_of("HEAD", &git, &common, &mut watch);
        Some(Self { commit, watch })
    }
}

/// `.git` in this directory: itself, or where the file of that name points (worktrees, submodules).
fn git_directory(directory: &Path) -> Option<PathBuf> {
    let git = directory.join(".git");
    let git = match fs::read_to_string(&git) {
        Ok(link) => directory.join(link.strip_prefix("gitdir:")?.trim()),
        Err(_) => git,
    };
    git.join("HEAD").is_file().then_some(git)
}

fn commit_of(reference: &str, git: &Path, common: &Path, watch: &mut Vec<PathBuf>) -> Option<String> {
    let mut reference = reference.to_owned();
    for _ in 0..MOST_STEPS {
        let Some(content) = loose(&reference, git, common, watch) else {
            return packed(&reference, common, watch);
        };
        match content.strip_prefix("ref:") {
            Some(next) => reference = safe_name(next.trim())?.to_owned(),
            None => return commit_id(content.trim()),
        }
    }
    None
}

/// The content of the reference's own file. A branch without one gets it at its next commit, hence the directory.
fn loose(reference: &str, git: &Path, common: &Path, watch: &mut Vec<PathBuf>) -> Option<String> {
    for directory in [git, common] {
        let path = directory.join(reference);
        if let Ok(content) = fs::read_to_string(&path) {
            if !watch.contains(&path) {
                watch.push(path);
            }
            return Some(content);
        }
    }
    let nearest =
        common.join(reference).ancestors().skip(1).find(|parent| parent.is_dir()).map(Path::to_owned);
    watch.extend(nearest.filter(|parent| parent.starts_with(common.join("refs"))));
    None
}

/// The commit of a reference in `packed-refs`: lines of `<commit> <reference>`.
fn packed(reference: &str, common: &Path, watch: &mut Vec<PathBuf>) -> Option<String> {
    let path = common.join("packed-refs");
    let content = fs::read_to_string(&path).ok()?;
    watch.push(path);
    let line =
        content.lines().find(|line| line.split_once(' ').is_some_and(|(_, name)| name == reference))?;
    commit_id(line.split_once(' ')?.0)
}

/// Reference names are paths below `.git`; one that leaves it is not followed.
fn safe_name(name: &str) -> Option<&str> {
    let inside = !name.starts_with('/') && name.split('/').all(|part| !matches!(part, "" | "." | ".."));
    inside.then_some(name)
}

/// SHA-1 or SHA-256, in hexadecimal.
fn commit_id(text: &str) -> Option<String> {
    let is_id = matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then(|| text.to_owned())
}
