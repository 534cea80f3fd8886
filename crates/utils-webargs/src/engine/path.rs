use std::fmt::Write;

/// A longer key is cut where it is shown, so that a client cannot make us answer with megabytes of its own text.
pub(crate) const LONGEST_KEY: usize = 64;

/// Where a value stands, as links up to the root: costs nothing until a fault needs it.
#[derive(Clone, Copy)]
pub(crate) enum Path<'a> {
    Root,
    Key(&'a Path<'a>, &'a str),
    Item(&'a Path<'a>, usize),
}

/// One step of an owned path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    Key(String),
    Item(usize),
}

impl Path<'_> {
    pub(crate) fn steps(&self) -> Vec<Step> {
        let mut steps = match self {
            Path::Root => return Vec::new(),
            Path::Key(parent, _) | Path::Item(parent, _) => parent.steps(),
        };
        steps.push(match self {
            Path::Item(_, index) => Step::Item(*index),
            Path::Key(_, key) => Step::Key((*key).to_owned()),
            Path::Root => return steps,
        });
        steps
    }
}

/// The path as clients see it: `address.zip`, `tags[1]`, and nothing for the root.
pub(crate) fn show(steps: &[Step]) -> String {
    let mut text = String::new();
    for step in steps {
        match step {
            Step::Item(index) => _ = write!(text, "[{index}]"),
            Step::Key(key) => {
                if !text.is_empty() {
                    text.push('.');
                }
                push_cut(&mut text, key, LONGEST_KEY);
            }
        }
    }
    text
}

/// Adds this many characters of the part.
pub(crate) fn push_cut(text: &mut String, part: &str, longest: usize) {
    match part.char_indices().nth(longest) {
        Some((end, _)) => _ = write!(text, "{}…", &part[..end]),
        None => text.push_str(part),
    }
}

/// Is the shown path `inner` the same as `outer`, or inside it?
pub(crate) fn is_within(inner: &str, outer: &str) -> bool {
    match inner.strip_prefix(outer) {
        Some(rest) => outer.is_empty() || rest.is_empty() || rest.starts_with(['.', '[']),
        None => false,
    }
}
