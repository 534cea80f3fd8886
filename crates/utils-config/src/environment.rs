use std::ffi::OsString;

/// No setting is nested deeper than this.
const DEEPEST: usize = 16;

/// A variable of the environment that is a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) value: String,
    /// The path of the setting: `["database", "pool"]`.
    pub(crate) parts: Vec<String>,
}

/// What is wrong with a variable, before any type is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BadVariable {
    pub(crate) name: String,
    pub(crate) message: String,
}

/// The variables that begin with the prefix and an underscore, in the order of their paths.
pub(crate) fn variables(
    prefix: &str,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> (Vec<Variable>, Vec<BadVariable>) {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    let start = format!("{prefix}_");
    for (name, value) in environment {
        let Ok(name) = name.into_string() else { continue };
        let Some(path) = name.strip_prefix(&start).filter(|_| !prefix.is_empty()) else { continue };
        let parts: Vec<String> = path.to_lowercase().split("__").map(str::to_owned).collect();
        let problem = match value.into_string() {
            _ if parts.iter().any(String::is_empty) => "names no setting".to_owned(),
            _ if parts.len() > DEEPEST => format!("is nested more than {DEEPEST} deep"),
            Err(_) => "is not UTF-8".to_owned(),
            Ok(value) => {
                good.push(Variable { name, value, parts });
                continue;
            }
        };
        bad.push(BadVariable { name, message: problem });
    }
    good.sort_by(|one, other| one.parts.cmp(&other.parts));
    bad.sort_by(|one, other| one.name.cmp(&other.name));
    for pair in good.windows(2) {
        if let [outer, inner] = pair
            && inner.parts.starts_with(&outer.parts)
        {
            let message = format!("excludes {}: set only one of them", outer.name);
            bad.push(BadVariable { name: inner.name.clone(), message });
        }
    }
    (good, bad)
}

/// The variable that sets the setting at this path, or the list that it is in.
pub(crate) fn variable_for(prefix: &str, path: &str) -> String {
    let path = path.split('[').next().unwrap_or_default();
    format!("{prefix}_{}", path.replace('.', "__").replace('-', "_").to_uppercase())
}
