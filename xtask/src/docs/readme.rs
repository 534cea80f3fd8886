//! The README of a crate: the front page of its documentation, and its features.
//!
//! A forge cannot follow rustdoc's links, so links to items become plain code and only links to the web stay.

use std::collections::BTreeSet;

use super::features::{default_line, table};
use crate::workspace::Package;

/// The README of `package`, from the text of its `src/lib.rs`.
pub(crate) fn render(package: &Package, source: &str) -> String {
    let name = &package.name;
    let mut page = format!("<!-- made by `cargo xtask docs`; edit src/lib.rs -->\n# {name}\n\n");
    page.push_str(front_page(source).trim_end());
    page.push('\n');
    if package.named_features().next().is_some() {
        page.push_str(&format!("\n## Features\n\n{}\n\n{}", default_line(package), table(package)));
    }
    page.push_str(&format!(
        "\n## Documentation and licence\n\n`cargo doc --open -p {name}` shows every item. MIT or Apache-2.0, as you like.\n"
    ));
    page
}

/// The front page of a source file as Markdown for a forge.
fn front_page(source: &str) -> String {
    let lines = doc_lines(source);
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let labels = Labels::of(&lines);
    let mut page = String::new();
    let mut prose = String::new();
    let mut fence: Option<Fence> = None;
    for line in lines {
        let marker = line.trim_start();
        match &fence {
            Some(open) if marker.trim_end() == open.marker => {
                page.push_str(line);
                page.push('\n');
                fence = None;
            }
            Some(open) if open.is_rust => page.extend(visible(line).map(|line| format!("{line}\n"))),
            Some(_) => page.push_str(&format!("{line}\n")),
            None if marker.starts_with("```") => {
                page.push_str(&plain_links(&prose, &labels));
                prose.clear();
                let open = Fence::open(marker);
                let indent = &line[..line.len() - marker.len()];
                let language = if open.is_rust { "rust" } else { open.language.as_str() };
                page.push_str(&format!("{indent}{}{language}\n", open.marker));
                fence = Some(open);
            }
            None if is_item_link_definition(line) => {}
            None if is_heading(line) => prose.push_str(&format!("#{line}\n")),
            None => prose.push_str(&format!("{line}\n")),
        }
    }
    page.push_str(&plain_links(&prose, &labels));
    page
}

/// An open code block.
#[derive(Debug)]
struct Fence {
    marker: String,
    language: String,
    is_rust: bool,
}

impl Fence {
    fn open(line: &str) -> Self {
        let language = line.trim_start_matches('`').trim().to_owned();
        let marker = line[..line.len() - line.trim_start_matches('`').len()].to_owned();
        // rustdoc takes a block for Rust when nothing else is said
        let is_rust = language.split([',', ' ']).filter(|word| !word.is_empty()).all(|word| {
            matches!(word, "rust" | "no_run" | "ignore" | "should_panic" | "compile_fail")
                || word.starts_with("edition20")
        });
        Self { marker, language, is_rust }
    }
}

/// A line of Rust as rustdoc shows it: `# hidden` is dropped, `##` stands for `#`.
fn visible(line: &str) -> Option<String> {
    let code = line.trim_start();
    if code == "#" || code.starts_with("# ") {
        None
    } else if code.starts_with("##") {
        Some(line.replacen("##", "#", 1))
    } else {
        Some(line.to_owned())
    }
}

fn is_heading(line: &str) -> bool {
    let text = line.trim_start_matches('#');
    text.len() < line.len() && text.starts_with(' ')
}

/// The `//!` lines, and those that only a feature adds: a README shows what there is with every feature.
fn doc_lines(source: &str) -> Vec<String> {
    let mut docs = Vec::new();
    let mut lines = source.lines();
    while let Some(line) = lines.next() {
        if let Some(text) = line.strip_prefix("//!") {
            docs.push(text.strip_prefix(' ').unwrap_or(text).to_owned());
        } else if line.starts_with("#![cfg_attr(") {
            let mut attribute = line.to_owned();
            while !attribute.ends_with(")]") {
                let Some(more) = lines.next() else { break };
                attribute.push_str(more.trim());
            }
            docs.extend(
                doc_of_a_feature(&attribute)
                    .into_iter()
                    .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()),
            );
        }
    }
    docs
}

/// The text of `#![cfg_attr(feature = "…", doc = "…")]`; none for a line that stands there without the feature.
fn doc_of_a_feature(attribute: &str) -> Option<String> {
    let (condition, text) = attribute.split_once("doc = \"")?;
    if condition.contains("not(") {
        return None;
    }
    let text = text.trim_end_matches([']', ')', ',', ' ']).strip_suffix('"')?;
    Some(text.replace("\\n", "\n").replace("\\\"", "\"").replace("\\\\", "\\"))
}

/// The labels that `[label]: target` defines.
#[derive(Debug, Default)]
struct Labels {
    items: BTreeSet<String>,
    web: BTreeSet<String>,
}

impl Labels {
    fn of(lines: &[&str]) -> Self {
        let mut labels = Self::default();
        for (label, target) in lines.iter().filter_map(|line| definition(line)) {
            let set = if is_on_the_web(target) { &mut labels.web } else { &mut labels.items };
            set.insert(label.to_owned());
        }
        labels
    }

    /// Whether a label leads to an item: by its definition, or because rustdoc looks code up by itself.
    fn is_item(&self, label: &str) -> bool {
        let is_code = label.len() > 2 && label.starts_with('`') && label.ends_with('`');
        self.items.contains(label) || (is_code && !self.web.contains(label))
    }
}

/// The label and the target of a line `[label]: target`.
fn definition(line: &str) -> Option<(&str, &str)> {
    let (label, target) = line.trim_start().strip_prefix('[')?.split_once("]:")?;
    let target = target.trim();
    (!target.is_empty() && !target.contains(' ')).then_some((label, target))
}

fn is_item_link_definition(line: &str) -> bool {
    definition(line).is_some_and(|(_, target)| !is_on_the_web(target))
}

fn is_on_the_web(target: &str) -> bool {
    ["https://", "http://", "mailto:"].iter().any(|scheme| target.starts_with(scheme))
}

/// Prose without the links that only rustdoc can follow: ``[`Item`]``, `[text](crate::Item)` and `[text][label]`, by
/// what `labels` says.
fn plain_links(prose: &str, labels: &Labels) -> String {
    let mut text = String::new();
    let mut rest = prose;
    while let Some(at) = rest.find(['`', '[']) {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        let length = if rest.starts_with('`') {
            let code = code_span(rest);
            text.push_str(&rest[..code]);
            code
        } else {
            let (length, shown) = link(rest, labels);
            text.push_str(&shown);
            length
        };
        rest = &rest[length..];
    }
    text.push_str(rest);
    text
}

/// The length of the code span at the start of `text`; the length of its backticks when it never closes.
fn code_span(text: &str) -> usize {
    let ticks = text.len() - text.trim_start_matches('`').len();
    text[ticks..].find(&text[..ticks]).map_or(ticks, |at| ticks + at + ticks)
}

/// The length of the link at the start of `text`, and what to show instead of it.
fn link(text: &str, labels: &Labels) -> (usize, String) {
    let Some(end) = closing_bracket(text) else { return (1, "[".to_owned()) };
    let inside = &text[1..end];
    let behind = &text[end + 1..];
    if let Some(target) = target(behind) {
        let length = end + 1 + target.len() + 2;
        let shown = if is_on_the_web(target) { text[..length].to_owned() } else { inside.to_owned() };
        (length, shown)
    } else if let Some((label, _)) = behind.strip_prefix('[').and_then(|label| label.split_once(']')) {
        let length = end + 1 + label.len() + 2;
        let shown = if labels.web.contains(label) { text[..length].to_owned() } else { inside.to_owned() };
        (length, shown)
    } else if labels.is_item(inside) {
        (end + 1, inside.to_owned())
    } else {
        // brackets of the author's, a task list, or a link to the web by its label
        (1, "[".to_owned())
    }
}

/// What stands in the parentheses at the start of `text`; there may be others inside, as in `(message())`.
fn target(text: &str) -> Option<&str> {
    let inside = text.strip_prefix('(')?;
    let mut open = 1;
    let end = inside.find(|character| {
        match character {
            '(' => open += 1,
            ')' => open -= 1,
            _ => {}
        }
        open == 0
    })?;
    Some(&inside[..end])
}

/// Where the bracket closes that `text` starts with; brackets in code do not count.
fn closing_bracket(text: &str) -> Option<usize> {
    let mut at = 1;
    while at < text.len() {
        let rest = &text[at..];
        match rest.chars().next()? {
            ']' => return Some(at),
            '[' => return None,
            '`' => at += code_span(rest),
            other => at += other.len_utf8(),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(source: &str, expected: &str) {
        assert_eq!(front_page(source), expected);
    }

    #[test]
    fn only_the_front_page_is_shown() {
        check("//! One.\n//!\n//! Two.\nmod a;\n/// Item.\npub use a::A;\n", "One.\n\nTwo.\n");
    }

    #[test]
    fn headings_drop_one_level() {
        check("//! # Why\n//! ## How\n//! #hash\n", "## Why\n### How\n#hash\n");
    }

    #[test]
    fn rust_blocks_are_named_and_lose_their_hidden_lines() {
        check(
            "//! ```no_run\n//! # use a::b;\n//! #[derive(Debug)]\n//! struct A;\n//! #\n//! ## doc\n//! ```\n",
            "```rust\n#[derive(Debug)]\nstruct A;\n# doc\n```\n",
        );
        check("//! ```rust,edition2024\n//! let a = 1;\n//! ```\n", "```rust\nlet a = 1;\n```\n");
    }

    #[test]
    fn other_blocks_stay_as_they_are() {
        check(
            "//! ```text\n//! # not hidden [`Item`]\n//! ```\n//! ```toml\n//! # a\n//! ```\n",
            "```text\n# not hidden [`Item`]\n```\n```toml\n# a\n```\n",
        );
    }

    #[test]
    fn links_to_items_become_code() {
        check(
            "//! [`Page`] and [`a::B<T>`] and [pages](crate::Page).\n",
            "`Page` and `a::B<T>` and pages.\n",
        );
        check("//! [the\n//! page](crate::Page) wraps\n", "the\npage wraps\n");
        check(
            "//! [a page][`Page`], [another][page].\n//!\n//! [page]: crate::Page\n",
            "a page, another.\n\n",
        );
        check("//! [`Page`].\n//! [`Page`]: crate::Page\n", "`Page`.\n");
    }

    #[test]
    fn a_colon_or_a_call_behind_a_link_is_text() {
        check("//! - [`A`], [`B`]: errors.\n", "- `A`, `B`: errors.\n");
        check("//! [`message`](message()) and [`f`](fn@f(a)).\n", "`message` and `f`.\n");
    }

    #[test]
    fn a_line_that_a_feature_adds_is_shown() {
        check(
            "//! - a\n#![cfg_attr(feature = \"x\", doc = \"- [`X`] \\\"x\\\"\")]\n#![cfg_attr(\n    feature = \"y\",\n    doc = \"- y\"\n)]\n//! - b\n",
            "- a\n- `X` \"x\"\n- y\n- b\n",
        );
        check(
            "#![cfg_attr(feature = \"x\", doc = \"```\")]\n#![cfg_attr(not(feature = \"x\"), doc = \"```ignore\")]\n//! f();\n//! ```\n",
            "```rust\nf();\n```\n",
        );
    }

    #[test]
    fn links_to_the_web_stay() {
        check(
            "//! See [`a`].\n//!\n//! [`a`]: https://example.org\n",
            "See [`a`].\n\n[`a`]: https://example.org\n",
        );
        check("//! See [RFC 9457](https://example.org/a).\n", "See [RFC 9457](https://example.org/a).\n");
        check(
            "//! See [RFC].\n//!\n//! [RFC]: https://example.org\n",
            "See [RFC].\n\n[RFC]: https://example.org\n",
        );
        check("//! [a `code` name](https://example.org)\n", "[a `code` name](https://example.org)\n");
    }

    #[test]
    fn brackets_that_are_no_link_stay() {
        check(
            "//! `&[u8]` and ``a ` [`b`]`` and [x] and [ and tags[1]\n",
            "`&[u8]` and ``a ` [`b`]`` and [x] and [ and tags[1]\n",
        );
    }

    #[test]
    fn the_readme_has_the_features_of_the_manifest() {
        let package = Package::parse(
            "crates/utils-x",
            "[package]\nname = \"utils-x\"\n[features]\ndefault = [\"b\"]\n## On SQLite.\nsqlite = []\n## B.\nb = []\n",
        );
        assert_eq!(
            render(&package, "//! X.\n"),
            "<!-- made by `cargo xtask docs`; edit src/lib.rs -->\n# utils-x\n\nX.\n\n## Features\n\n\
             On by default: `b`.\n\n| Feature | What it adds |\n|---|---|\n| `sqlite` | On SQLite. |\n| `b` | B. |\n\n\
             ## Documentation and licence\n\n`cargo doc --open -p utils-x` shows every item. \
             MIT or Apache-2.0, as you like.\n"
        );
    }
}
