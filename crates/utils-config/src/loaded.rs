use std::{fmt, ops::Deref};

use serde_json::Value;
use utils_webargs::Survey;

use crate::{
    mask::{mask_words, sounds_secret},
    secret::SECRET,
    tree::{Origin, Tree, is_within, plain_path},
    url::UrlParts,
};

/// Settings, and where each of them came from. `Display` gives the table of that, with secrets masked.
#[derive(Debug, Clone)]
pub struct Loaded<T> {
    settings: T,
    rows: Vec<Row>,
}

/// A line of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Row {
    /// The path of the setting, such as `database.pool`.
    pub setting: String,
    /// Its value as text; `[secret]` for a secret and for what may be one, as its type or its name says, and `***` for
    /// one inside a text, such as the password of a URL. `None` for a default that only the type knows.
    pub value: Option<String>,
    /// Where it came from.
    pub origin: Origin,
}

impl<T> Loaded<T> {
    pub(crate) fn new(settings: T, tree: &Tree, survey: &Survey) -> Self {
        Self { settings, rows: rows(tree, survey) }
    }

    /// The settings alone.
    pub fn into_inner(self) -> T {
        self.settings
    }

    /// The table, in the order of the paths.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Where the setting at this path came from; `None` when there is no such setting.
    #[must_use]
    pub fn origin(&self, setting: &str) -> Option<&Origin> {
        self.rows.iter().find(|row| row.setting == setting).map(|row| &row.origin)
    }
}

impl<T> Deref for Loaded<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.settings
    }
}

impl<T> fmt::Display for Loaded<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width =
            |text: fn(&Row) -> &str| self.rows.iter().map(|row| text(row).chars().count()).max().unwrap_or(0);
        let (settings, values) = (width(|row| &row.setting), width(Row::text));
        for (index, row) in self.rows.iter().enumerate() {
            let line = if index == 0 { "" } else { "\n" };
            write!(formatter, "{line}{:settings$}  {:values$}  {}", row.setting, row.text(), row.origin)?;
        }
        Ok(())
    }
}

impl Row {
    fn text(&self) -> &str {
        self.value.as_deref().unwrap_or("-")
    }
}

fn rows(tree: &Tree, survey: &Survey) -> Vec<Row> {
    // Where the types are not known, one of them may be a secret.
    let secrets = survey.newtypes.iter().filter(|(_, name)| *name == SECRET).map(|(path, _)| path);
    let secrets: Vec<String> = secrets.chain(&survey.untyped).map(|path| plain_path(path)).collect();
    let is_secret = |path: &str| {
        let path = plain_path(path);
        secrets.iter().any(|secret| is_within(&path, secret) || is_within(secret, &path))
            || path.rsplit('.').next().is_some_and(sounds_secret)
    };
    let mut rows: Vec<Row> = Vec::new();
    for (path, value) in tree.leaves() {
        let origin = tree.origin(&path).cloned().unwrap_or(Origin::Default);
        let hides = is_secret(&path) || matches!(origin, Origin::SecretFile(_));
        let value = if hides { "[secret]".to_owned() } else { shown(value) };
        rows.push(Row { setting: path, value: Some(value), origin });
    }
    // What no layer names has the default of its type.
    for (path, fields) in &survey.structs {
        for field in fields.iter().filter(|_| !path.contains('[')) {
            let path = if path.is_empty() { (*field).to_owned() } else { format!("{path}.{field}") };
            let plain = plain_path(&path);
            let is_named = rows.iter().any(|row| is_within(&plain_path(&row.setting), &plain));
            if !is_named {
                rows.push(Row { setting: path, value: None, origin: Origin::Default });
            }
        }
    }
    rows.sort_by(|one, other| one.setting.cmp(&other.setting));
    rows
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => shown_text(text),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(shown).collect();
            format!("[{}]", items.join(", "))
        }
        other => other.to_string(),
    }
}

/// The text without the passwords in it.
fn shown_text(text: &str) -> String {
    match UrlParts::parse(text) {
        Ok(url) => url.masked(),
        Err(_) if text.contains("://") && text.contains('@') => "[secret]".to_owned(),
        Err(_) => mask_words(text),
    }
}
