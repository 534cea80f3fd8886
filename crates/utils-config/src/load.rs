use std::{
    env,
    ffi::OsString,
    io,
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use utils_webargs::{Fault, Problem, Reading, Survey, collect, survey};

use crate::{
    environment::{BadVariable, Variable, variable_for, variables},
    error::{LoadError, SettingProblem},
    file::{parse_toml, read_text, reason},
    loaded::Loaded,
    spellings::Spellings,
    tree::{Origin, Tree, is_within, plain_path},
};

/// Settings for a program whose environment variables begin with `prefix` and an underscore.
///
/// Later layers win: [`defaults`](Loader::defaults), the files in the order they are named, the environment, and last
/// the files that variables ending with `_FILE` name. `APP_DATABASE__POOL` is `pool` in `[database]`; lists are written
/// `a,b`; an empty value is `None` where the type is an `Option`. With an empty prefix no variable is read.
///
/// Keys may differ from the fields in case, `_` and `-`. The keys of a map may not; only variables, which cannot write
/// them, mean `Web-1` by `WEB_1`. Keys that no field has are problems, so that a typo does not go unnoticed.
///
/// # Examples
/// ```
/// use utils_config::{Secret, load};
///
/// #[derive(serde::Deserialize)]
/// struct Settings {
///     database: Database,
///     key: Secret,
/// }
/// #[derive(serde::Deserialize)]
/// struct Database {
///     url: String,
///     #[serde(default = "ten")]
///     pool: u32,
/// }
/// fn ten() -> u32 {
///     10
/// }
///
/// let environment = [("APP_DATABASE__URL", "postgres://shop:hunter2@db/shop"), ("APP_KEY", "hunter2")];
/// let settings = load("APP").env_from(environment).build::<Settings>()?;
/// assert_eq!(settings.database.pool, 10);
/// assert_eq!(settings.key.expose(), "hunter2");
/// assert_eq!(
///     settings.to_string(),
///     "database.pool  -                            default\n\
///      database.url   postgres://shop:***@db/shop  environment variable APP_DATABASE__URL\n\
///      key            [secret]                     environment variable APP_KEY"
/// );
///
/// let error = load("APP").env_from([("APP_DATABASE__POOL", "many")]).build::<Settings>().err().unwrap();
/// assert_eq!(
///     error.to_string(),
///     "3 settings are wrong:\n  \
///        database.pool  must be a whole number (environment variable APP_DATABASE__POOL)\n  \
///        database.url   is missing: set APP_DATABASE__URL\n  \
///        key            is missing: set APP_KEY"
/// );
/// # Ok::<(), utils_config::LoadError>(())
/// ```
#[must_use]
pub fn load(prefix: impl Into<String>) -> Loader {
    Loader { prefix: prefix.into(), defaults: None, files: Vec::new(), environment: None }
}

/// The layers that settings come from; [`load`] makes one.
#[allow(missing_debug_implementations, reason = "the environment may hold secrets")]
#[derive(Clone)]
pub struct Loader {
    prefix: String,
    defaults: Option<Result<Value, String>>,
    files: Vec<NamedFile>,
    environment: Option<Vec<(OsString, OsString)>>,
}

#[derive(Clone)]
struct NamedFile {
    path: PathBuf,
    is_optional: bool,
}

impl Loader {
    /// Values for what no other layer sets, as a map or a struct. `#[serde(default)]` on the fields does the same.
    #[must_use]
    pub fn defaults(mut self, defaults: impl Serialize) -> Self {
        self.defaults = Some(serde_json::to_value(defaults).map_err(|error| error.to_string()));
        self
    }

    /// A TOML file, which must be there. A relative path is taken from the working directory.
    #[must_use]
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.files.push(NamedFile { path: path.into(), is_optional: false });
        self
    }

    /// A TOML file that may be missing.
    #[must_use]
    pub fn optional_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.files.push(NamedFile { path: path.into(), is_optional: true });
        self
    }

    /// Takes these variables for the environment instead of the process's own, for tests.
    #[must_use]
    pub fn env_from<Name: Into<OsString>, Text: Into<OsString>>(
        mut self,
        variables: impl IntoIterator<Item = (Name, Text)>,
    ) -> Self {
        self.environment =
            Some(variables.into_iter().map(|(name, text)| (name.into(), text.into())).collect());
        self
    }

    /// Reads all layers.
    ///
    /// # Errors
    /// [`LoadError`] with everything that is wrong: files and variables that cannot be read, settings that are missing,
    /// unknown, or of the wrong type.
    pub fn build<T: DeserializeOwned>(self) -> Result<Loaded<T>, LoadError> {
        let mut problems = Vec::new();
        let layers = self.layers(&mut problems);
        let environment = self.environment.clone().unwrap_or_else(|| env::vars_os().collect());
        let (mut plain, bad) = variables(&self.prefix, environment);
        problems.extend(bad.into_iter().map(BadVariable::into_problem));

        // Only once all layers are there one sees where the structs are.
        let guess = layers.over(&plain, &[], &Spellings::default());
        let spellings = Spellings::of(&guess.survey::<T>());
        let mut tree = layers.over(&plain, &[], &spellings);
        let mut result = tree.read::<T>();
        // `APP_KEY_FILE` sets `key_file` where there is such a field, and names the file of `key` otherwise.
        let secret = name_secret_files(&mut plain, &result);
        if !secret.is_empty() {
            tree = layers.over(&plain, &read_secret_files(secret, &mut problems), &spellings);
            result = tree.read::<T>();
        }
        match result {
            Ok(settings) if problems.is_empty() => {
                let survey = tree.survey::<T>();
                Ok(Loaded::new(settings, &tree, &survey))
            }
            Ok(_) => Err(LoadError::new(problems)),
            Err(faults) => {
                // What a file that could not be read may have held is not known to be missing.
                let is_complete = problems.is_empty();
                let faults = faults.iter().filter(|fault| is_complete || fault.problem != Problem::Missing);
                problems.extend(faults.map(|fault| self.problem(fault, &tree)));
                Err(LoadError::new(problems))
            }
        }
    }

    fn layers(&self, problems: &mut Vec<SettingProblem>) -> Layers {
        let mut layers = Layers(Vec::new());
        match &self.defaults {
            None => {}
            Some(Ok(Value::Object(defaults))) => layers.0.push((defaults.clone(), Origin::Default)),
            Some(Ok(_)) => problems.push(problem("defaults", "must be a map or a struct")),
            Some(Err(error)) => problems.push(problem("defaults", format!("cannot be serialized: {error}"))),
        }
        for file in &self.files {
            let name = file.path.display().to_string();
            match read_text(&file.path) {
                Err(error) if file.is_optional && error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => problems.push(problem(name, format!("could not be read: {}", reason(&error)))),
                Ok(text) => match parse_toml(&text) {
                    Ok(table) => layers.0.push((table, Origin::File(file.path.clone()))),
                    Err(message) => problems.push(problem(name, message)),
                },
            }
        }
        layers
    }

    /// The fault in the words of whoever sets the setting.
    fn problem(&self, fault: &Fault, tree: &Tree) -> SettingProblem {
        let path = fault.path.as_str();
        let message = match &fault.problem {
            Problem::Missing => return problem(path, self.how_to_set(path)),
            Problem::Null => "must not be null".to_owned(),
            Problem::Unknown => "is not a known setting".to_owned(),
            Problem::Choice(names) => format!("must be one of {}", names.join(", ")),
            Problem::Type("integer") => "must be a whole number".to_owned(),
            Problem::Type("number") => "must be a number".to_owned(),
            Problem::Type("boolean") => "must be true or false".to_owned(),
            Problem::Type("string") => "must be a text".to_owned(),
            Problem::Type("list") => "must be a list".to_owned(),
            Problem::NotAnObject | Problem::Type("mapping type") => "must be a table".to_owned(),
            Problem::Refused(words) if tree.repeats_a_value(path, words) => "is not valid".to_owned(),
            // The sentences of the answer to a request, as the end of one that begins with the setting.
            other => lower_case(other.to_string().trim_end_matches('.')),
        };
        let setting = if path.is_empty() { "settings" } else { path };
        match tree.origin(path) {
            Some(origin) => problem(setting, format!("{message} ({origin})")),
            None => problem(setting, message),
        }
    }

    fn how_to_set(&self, path: &str) -> String {
        let variable = (!self.prefix.is_empty()).then(|| format!("set {}", variable_for(&self.prefix, path)));
        let file = self.files.last().map(|file| format!("`{path}` in {}", file.path.display()));
        let ways: Vec<String> = variable.into_iter().chain(file).collect();
        if ways.is_empty() { "is missing".to_owned() } else { format!("is missing: {}", ways.join(", or ")) }
    }
}

/// The layers below the environment.
struct Layers(Vec<(Map<String, Value>, Origin)>);

impl Layers {
    fn over(&self, variables: &[Variable], secrets: &[Variable], spellings: &Spellings) -> Tree {
        let mut tree = Tree::new(spellings.clone());
        for (layer, origin) in &self.0 {
            tree.lay(layer.clone(), origin);
        }
        for variable in variables {
            let origin = Origin::Variable(variable.name.clone());
            tree.set(&variable.parts, Value::String(variable.value.clone()), origin);
        }
        for secret in secrets {
            let origin = Origin::SecretFile(secret.name.clone());
            tree.set(&secret.parts, Value::String(secret.value.clone()), origin);
        }
        tree
    }
}

impl Tree {
    fn read<T: DeserializeOwned>(&self) -> Result<T, Vec<Fault>> {
        let value = Value::Object(self.root.clone());
        collect(&value, Reading::Settings).map_err(|faults| faults.iter().cloned().collect())
    }

    fn survey<T: DeserializeOwned>(&self) -> Survey {
        survey::<T>(&Value::Object(self.root.clone()), Reading::Settings)
    }

    /// Do the words of a type repeat what the setting was set to?
    fn repeats_a_value(&self, path: &str, words: &str) -> bool {
        let plain = plain_path(path);
        self.leaves().into_iter().filter(|(leaf, _)| is_within(&plain_path(leaf), &plain)).any(
            |(_, value)| match value {
                Value::String(text) => !text.is_empty() && words.contains(text.as_str()),
                other => words.contains(&other.to_string()),
            },
        )
    }
}

/// Takes the variables out that name a file: no setting has their own name, or the one without `_file` is missing.
fn name_secret_files<T>(variables: &mut Vec<Variable>, result: &Result<T, Vec<Fault>>) -> Vec<Variable> {
    let Err(faults) = result else { return Vec::new() };
    let has = |problem: &Problem, parts: &[String]| {
        let path = plain_path(&parts.join("."));
        faults.iter().any(|fault| fault.problem == *problem && plain_path(&fault.path) == path)
    };
    let mut secret = Vec::new();
    variables.retain(|variable| {
        let mut named = variable.clone();
        let Some(last) = named.parts.last_mut() else { return true };
        let Some(setting) = last.strip_suffix("_file").filter(|setting| !setting.is_empty()) else {
            return true;
        };
        *last = setting.to_owned();
        let is_secret = has(&Problem::Unknown, &variable.parts) || has(&Problem::Missing, &named.parts);
        if is_secret {
            secret.push(named);
        }
        !is_secret
    });
    secret
}

/// Puts the content of the files in the place of their names. A line end at the end of a file is not part of a secret.
fn read_secret_files(named: Vec<Variable>, problems: &mut Vec<SettingProblem>) -> Vec<Variable> {
    let mut secrets = Vec::new();
    for variable in named {
        match read_text(Path::new(&variable.value)) {
            Ok(text) => {
                let text = text
                    .strip_suffix('\n')
                    .map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
                secrets.push(Variable { value: text.to_owned(), ..variable });
            }
            Err(error) => {
                let message = format!("names a file that could not be read: {}", reason(&error));
                problems.push(problem(variable.name, message));
            }
        }
    }
    secrets
}

impl BadVariable {
    fn into_problem(self) -> SettingProblem {
        problem(self.name, self.message)
    }
}

fn problem(setting: impl Into<String>, message: impl Into<String>) -> SettingProblem {
    SettingProblem { setting: setting.into(), message: message.into() }
}

fn lower_case(sentence: &str) -> String {
    let mut characters = sentence.chars();
    characters.next().map_or_else(String::new, |first| first.to_lowercase().chain(characters).collect())
}
