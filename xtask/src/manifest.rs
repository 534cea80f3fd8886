//! Reads a `Cargo.toml` with its comments, which `cargo metadata` does not show.
//!
//! It knows the part of TOML that our manifests use: sections, `key = value`, dotted keys, strings, arrays over several
//! lines and inline tables on one. `tidy` refuses what it cannot read.

/// One manifest, line for line.
#[derive(Debug, Default)]
pub(crate) struct Manifest {
    /// Every `key = value`, in order.
    pub(crate) entries: Vec<Entry>,
    /// Lines that this reader does not understand.
    pub(crate) unread: Vec<String>,
}

/// One `key = value` of a manifest.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) section: String,
    pub(crate) key: String,
    /// The text behind `=`, comments left out; `a.b = 1` is kept as `a` = `{ b = 1 }`.
    pub(crate) value: String,
    /// The `##` lines above it, joined.
    pub(crate) doc: String,
}

impl Manifest {
    pub(crate) fn parse(text: &str) -> Self {
        let mut manifest = Self::default();
        let mut section = String::new();
        let mut doc: Vec<&str> = Vec::new();
        let mut lines = text.lines().map(str::trim);
        while let Some(line) = lines.next() {
            if let Some(comment) = line.strip_prefix("##") {
                doc.push(comment.trim());
            } else if line.is_empty() || line.starts_with('#') {
                doc.clear();
            } else if line.starts_with('[') {
                section = without_comment(line).trim_matches(['[', ']']).to_owned();
                doc.clear();
            } else if let Some((key, value)) = line.split_once('=') {
                let mut value = without_comment(value);
                while depth(&value) > 0 {
                    let Some(more) = lines.next() else { break };
                    value = format!("{value} {}", without_comment(more));
                }
                let (key, value) = match key.trim().split_once('.') {
                    Some((key, inner)) => (key, format!("{{ {inner} = {} }}", value.trim())),
                    None => (key.trim(), value.trim().to_owned()),
                };
                manifest.entries.push(Entry {
                    section: section.clone(),
                    key: key.trim_matches('"').to_owned(),
                    value,
                    doc: doc.join(" "),
                });
                doc.clear();
            } else {
                manifest.unread.push(line.to_owned());
            }
        }
        manifest
    }

    /// The entries of one section.
    pub(crate) fn section<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Entry> {
        self.entries.iter().filter(move |entry| entry.section == name)
    }

    pub(crate) fn get(&self, section: &str, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.section == section && entry.key == key)
    }
}

impl Entry {
    /// The value of a string.
    pub(crate) fn text(&self) -> Option<String> {
        string(&self.value)
    }

    /// The strings of an array, or none when it is no array.
    pub(crate) fn list(&self) -> Vec<String> {
        list(&self.value)
    }

    /// A field of an inline table, as it is written.
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        let inside = self.value.strip_prefix('{')?.strip_suffix('}')?;
        split(inside).iter().find_map(|part| {
            let (key, value) = part.split_once('=')?;
            (key.trim() == name).then(|| value.trim().to_owned())
        })
    }

    /// Whether a field of an inline table is `true`.
    pub(crate) fn is(&self, name: &str) -> bool {
        self.field(name).as_deref() == Some("true")
    }
}

fn string(value: &str) -> Option<String> {
    Some(value.trim().strip_prefix('"')?.strip_suffix('"')?.replace("\\\"", "\""))
}

fn list(value: &str) -> Vec<String> {
    let inside = value.trim().strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or("");
    split(inside).iter().filter_map(|part| string(part)).collect()
}

/// Splits at the commas that stand outside of strings, arrays and tables.
fn split(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let (mut open, mut quoted) = (0_i32, false);
    for character in text.chars() {
        match character {
            '"' => quoted = !quoted,
            '[' | '{' if !quoted => open += 1,
            ']' | '}' if !quoted => open -= 1,
            ',' if !quoted && open == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(part) = parts.last_mut() {
            part.push(character);
        }
    }
    parts.retain(|part| !part.trim().is_empty());
    parts
}

/// How many brackets are still open at the end of `text`.
fn depth(text: &str) -> i32 {
    let (mut open, mut quoted) = (0, false);
    for character in text.chars() {
        match character {
            '"' => quoted = !quoted,
            '[' | '{' if !quoted => open += 1,
            ']' | '}' if !quoted => open -= 1,
            _ => {}
        }
    }
    open
}

fn without_comment(line: &str) -> String {
    let mut quoted = false;
    let end = line.char_indices().find(|(_, character)| {
        if *character == '"' {
            quoted = !quoted;
        }
        *character == '#' && !quoted
    });
    line[..end.map_or(line.len(), |(at, _)| at)].trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
[package]
name = "utils-x" # the name
edition.workspace = true

[features]
default = []
## Stores pages
## on SQLite.
sqlite = [
    "diesel/sqlite", # with a comment, and a "quote"
    "dep:libsqlite3-sys",
]
# no doc
plain = []

[dependencies]
diesel = { workspace = true, features = ["r2d2", "a"], optional = true }
?
"#;

    #[test]
    fn strings_lose_quotes_and_comments() {
        let manifest = Manifest::parse(TEXT);
        assert_eq!(manifest.get("package", "name").and_then(Entry::text).as_deref(), Some("utils-x"));
    }

    #[test]
    fn a_dotted_key_is_a_table() {
        let manifest = Manifest::parse(TEXT);
        assert!(manifest.get("package", "edition").unwrap().is("workspace"));
    }

    #[test]
    fn an_array_may_span_lines_and_keeps_its_doc() {
        let manifest = Manifest::parse(TEXT);
        let sqlite = manifest.get("features", "sqlite").unwrap();
        assert_eq!(sqlite.list(), ["diesel/sqlite", "dep:libsqlite3-sys"]);
        assert_eq!(sqlite.doc, "Stores pages on SQLite.");
        assert_eq!(manifest.get("features", "plain").unwrap().doc, "");
    }

    #[test]
    fn fields_of_an_inline_table_are_found() {
        let manifest = Manifest::parse(TEXT);
        let diesel = manifest.get("dependencies", "diesel").unwrap();
        assert!(diesel.is("optional") && diesel.is("workspace"));
        assert_eq!(diesel.field("features").as_deref(), Some(r#"["r2d2", "a"]"#));
        assert_eq!(diesel.field("path"), None);
    }

    #[test]
    fn what_it_cannot_read_is_kept() {
        assert_eq!(Manifest::parse(TEXT).unread, ["?"]);
    }
}
