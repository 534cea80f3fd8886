/// How the strings in a value are to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reading {
    /// As serde_json does: a string is a string, and every type is written in its own way. For JSON.
    Typed,
    /// Everything is text: `"5"` is a number where the type has one, `true`, `t` and `1` (also in capitals) are true,
    /// a list is a repeated key, and where one value is wanted the first of several counts. For query strings, forms,
    /// headers, cookies.
    Text,
    /// As `Text`, and values may also have their own type; `yes` and `on` are true, a list is `a,b,c`, and an empty
    /// string is `None` where the type is an `Option`. The names of fields may differ in case, `_` and `-`; fields that
    /// a struct does not have are faults. For settings.
    Settings,
}

impl Reading {
    /// May a string be read as a number, a truth value, a list?
    pub(super) fn reads_text(self) -> bool {
        !matches!(self, Self::Typed)
    }

    pub(super) fn truth(self, text: &str) -> Option<bool> {
        match text {
            "1" | "t" | "T" | "true" | "True" | "TRUE" => Some(true),
            "0" | "f" | "F" | "false" | "False" | "FALSE" => Some(false),
            _ if self == Self::Settings => match text.to_ascii_lowercase().as_str() {
                "yes" | "on" => Some(true),
                "no" | "off" => Some(false),
                _ => None,
            },
            _ => None,
        }
    }
}
