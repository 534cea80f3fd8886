//! The text format: a family's help and type, then its samples.
use std::fmt::{Display, Write};

/// Metrics being written.
#[derive(Debug, Default)]
pub(super) struct Text {
    written: String,
}

impl Text {
    /// Begins a family.
    pub(super) fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = write!(self.written, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    /// One line.
    pub(super) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.written.push_str(name);
        for (position, (label, of)) in labels.iter().enumerate() {
            self.written.push(if position == 0 { '{' } else { ',' });
            let _ = write!(self.written, "{label}=\"");
            self.escape(of);
            self.written.push('"');
        }
        if !labels.is_empty() {
            self.written.push('}');
        }
        let _ = writeln!(self.written, " {value}");
    }

    pub(super) fn into_string(self) -> String {
        self.written
    }

    /// A label may hold anything; three characters are written otherwise.
    fn escape(&mut self, value: &str) {
        for character in value.chars() {
            match character {
                '\\' => self.written.push_str("\\\\"),
                '"' => self.written.push_str("\\\""),
                '\n' => self.written.push_str("\\n"),
                other => self.written.push(other),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_cannot_break_out_of_their_quotes() {
        let mut text = Text::default();
        text.sample("n", &[("queue", "a\"} 1\n\\")], 2);
        assert_eq!(text.into_string(), "n{queue=\"a\\\"} 1\\n\\\\\"} 2\n");
    }
}
