//! The layers of settings, and what is said when they are wrong.
#![allow(dead_code, reason = "some fields are only there to be set")]
use std::{collections::HashMap, fs, net::SocketAddr, path::Path};

use expect_test::{Expect, expect};
use serde::Deserialize;
use serde_json::json;
use utils_config::{Loader, Origin, Secret, UrlParts, load};

#[derive(Debug, Deserialize)]
struct Settings {
    database: Database,
    #[serde(default)]
    http: Http,
    auth: Auth,
    sentry_dsn: Option<Secret>,
    #[serde(default)]
    hosts: Vec<String>,
    log_file: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Database {
    url: UrlParts,
    #[serde(default = "ten")]
    pool: u32,
}

#[derive(Debug, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Http {
    bind: SocketAddr,
    worker_count: u16,
}

impl Default for Http {
    fn default() -> Self {
        Self { bind: ([127, 0, 0, 1], 8080).into(), worker_count: 4 }
    }
}

#[derive(Debug, Deserialize)]
struct Auth {
    key: Secret,
    minutes: u16,
    #[serde(default)]
    old_keys: Vec<Secret>,
}

fn ten() -> u32 {
    10
}

const FILE: &str = r#"
hosts = ["a.example", "b.example"]

[database]
url = "postgres://shop:hunter2@db/shop"
pool = 20

[http]
worker-count = 8

[auth]
key = "hunter2"
minutes = 15
"#;

/// The loader with this file, named as the messages name it.
fn with_file(directory: &Path, content: &str) -> Loader {
    let path = directory.join("settings.toml");
    fs::write(&path, content).unwrap();
    load("APP").file(path)
}

#[track_caller]
fn check(content: &str, environment: &[(&str, &str)], expected: Expect) {
    let directory = tempfile::tempdir().unwrap();
    let settings =
        with_file(directory.path(), content).env_from(environment.iter().copied()).build::<Settings>();
    let text = settings.map_or_else(|error| error.to_string(), |settings| settings.to_string());
    let directory = format!("{}/", directory.path().display());
    let lines: Vec<String> =
        text.replace(&directory, "").lines().map(|line| line.trim_end().to_owned()).collect();
    expected.assert_eq(&lines.join("\n"));
}

#[test]
fn each_layer_wins_over_the_one_before_it_and_the_table_says_which_it_was() {
    check(
        FILE,
        &[
            ("APP_DATABASE__POOL", "30"),
            ("APP_HTTP__WORKER_COUNT", "9"),
            ("APP_HOSTS", "c.example, d.example"),
            ("APP_SENTRY_DSN", ""),
            ("APP_LOG_FILE", "app.log"),
            ("APPLE_DATABASE__POOL", "1"),
            ("PATH", "/bin"),
        ],
        expect![[r#"
            auth.key           [secret]                     settings.toml
            auth.minutes       15                           settings.toml
            auth.old_keys      -                            default
            database.pool      30                           environment variable APP_DATABASE__POOL
            database.url       postgres://shop:***@db/shop  settings.toml
            hosts              c.example, d.example         environment variable APP_HOSTS
            http.bind          -                            default
            http.worker-count  9                            environment variable APP_HTTP__WORKER_COUNT
            log_file           app.log                      environment variable APP_LOG_FILE
            sentry_dsn         [secret]                     environment variable APP_SENTRY_DSN"#]],
    );
}

#[test]
fn the_values_are_those_of_the_table() {
    let directory = tempfile::tempdir().unwrap();
    let loader = with_file(directory.path(), FILE)
        .defaults(json!({"auth": {"minutes": 1}, "http": {"bind": "0.0.0.0:1"}}));
    let settings = loader
        .env_from([("APP_HOSTS", "x,y"), ("APP_AUTH__OLD_KEYS", "one,two")])
        .build::<Settings>()
        .unwrap();
    assert_eq!(settings.hosts, ["x", "y"]);
    assert_eq!((settings.database.pool, settings.http.worker_count, settings.auth.minutes), (20, 8, 15));
    assert_eq!(settings.http.bind, ([0, 0, 0, 0], 1).into());
    assert_eq!(settings.origin("http.bind"), Some(&Origin::Default));
    assert_eq!(settings.auth.old_keys.iter().map(Secret::expose).collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(settings.auth.key.expose(), "hunter2");
    assert_eq!(settings.origin("nothing"), None);
}

#[test]
fn no_table_and_no_debug_text_shows_a_secret() {
    let directory = tempfile::tempdir().unwrap();
    let loader = with_file(directory.path(), FILE)
        .env_from([("APP_AUTH__OLD_KEYS", "hunter2,hunter2"), ("APP_SENTRY_DSN", "hunter2")]);
    let settings = loader.build::<Settings>().unwrap();
    let text = format!("{settings}\n{settings:?}");
    assert!(!text.contains("hunter2"), "{text}");
    assert!(text.contains("[secret]"), "{text}");
}

/// How the table shows a setting of this name and value.
#[track_caller]
fn check_shown(name: &str, value: &str, expected: &str) {
    let settings = load("APP").defaults(HashMap::from([(name, value)])).env_from([("", ""); 0]);
    let settings = settings.build::<HashMap<String, String>>().unwrap();
    assert_eq!(settings[name], value);
    assert_eq!(settings.rows()[0].value.as_deref(), Some(expected), "{name} = {value}");
}

#[test]
fn passwords_inside_of_texts_are_not_shown() {
    for (value, shown) in [
        ("postgres://h/db?password=hunter2", "postgres://h/db?password=***"),
        ("postgres://u:hunter2@h/db?Pass_Word=hunter2&a=b;c", "postgres://u:***@h/db?Pass_Word=***&a=b;c"),
        ("https://h/?p%61ssword=hunter2&x=1", "https://h/?p%61ssword=***&x=1"),
        (
            "https://h/?x=1;pwd=hunter2&y=2#access_token=hunter2",
            "https://h/?x=1;pwd=***&y=2#access_token=***",
        ),
        ("sqlserver://h/db;user=a;password=hunter2", "sqlserver://h/db;user=a;password=***"),
        ("redis://h1:1,h2:2/0?password=hunter2&db=1", "redis://h1:1,h2:2/0?password=***"),
        ("host=db user=app password=hunter2", "host=db user=app password=***"),
        ("host=db password = 'hunter2 hunter2' port=1", "host=db password =***"),
        ("Server=db;User Id=app;Pwd=hunter2;Port=1", "Server=db;User Id=app;Pwd=***"),
        ("Endpoint=sb://h/;SharedAccessKey=hunter2==", "Endpoint=sb://h/;SharedAccessKey=***"),
        ("host=db user=app sslmode=require", "host=db user=app sslmode=require"),
        ("postgres://h/db?sslmode=require&a=b", "postgres://h/db?sslmode=require&a=b"),
    ] {
        check_shown("database", value, shown);
    }
}

#[test]
fn what_is_named_like_a_secret_is_not_shown() {
    for name in [
        "passphrase",
        "db_pwd",
        "signing_key",
        "Signing-Keys",
        "key",
        "smtp_pass",
        "API_TOKEN",
        "sentry-dsn",
        "sig",
        "credentials",
    ] {
        check_shown(name, "hunter2", "[secret]");
    }
    for name in ["public_key", "keyboard", "passenger", "design", "user"] {
        check_shown(name, "shop", "shop");
    }
}

#[test]
fn a_secret_stays_one_where_serde_hides_its_type() {
    #[derive(Debug, Deserialize)]
    struct Whole {
        #[serde(flatten)]
        part: Part,
        either: Either,
        tagged: Tagged,
        list: Vec<Either>,
        name: String,
        more: HashMap<String, Secret>,
    }
    #[derive(Debug, Deserialize)]
    struct Part {
        one: Secret,
    }
    #[derive(Debug, Deserialize)]
    #[serde(untagged)]
    enum Either {
        Text(Secret),
    }
    #[derive(Debug, Deserialize)]
    #[serde(tag = "type")]
    enum Tagged {
        Key { value: Secret },
    }
    let directory = tempfile::tempdir().unwrap();
    let file = "one = 'hunter2'\neither = 'hunter2'\nlist = ['hunter2']\nname = 'shop'\n\
        tagged = {type = 'Key', value = 'hunter2'}\nmore = {a = 'hunter2'}";
    let settings = with_file(directory.path(), file).env_from([("", ""); 0]).build::<Whole>().unwrap();
    let text = format!("{settings}\n{settings:?}");
    assert!(!text.contains("hunter2"), "{text}");
    assert!(settings.to_string().contains("name          shop"), "{settings}");
}

#[test]
fn a_secret_in_the_content_of_a_variant_is_not_shown() {
    #[derive(Debug, Deserialize)]
    struct Whole {
        mail: Mail,
        level: Level,
    }
    #[derive(Debug, Deserialize)]
    enum Mail {
        Smtp { login: Secret, server: Server },
    }
    #[derive(Debug, Deserialize)]
    struct Server {
        phrase: Secret,
    }
    #[derive(Debug, Deserialize)]
    enum Level {
        Info,
    }
    let directory = tempfile::tempdir().unwrap();
    let file = "level = 'Info'\n[mail.Smtp]\nlogin = 'hunter2'\nserver = {phrase = 'hunter2'}";
    let settings = with_file(directory.path(), file).env_from([("", ""); 0]).build::<Whole>().unwrap();
    let text = settings.to_string();
    assert!(!text.contains("hunter2"), "{text}");
    assert!(text.starts_with("level                    Info"), "{text}");
}

#[derive(Debug, Deserialize)]
struct Hosts {
    hosts: HashMap<String, String>,
    #[serde(default)]
    servers: HashMap<String, Http>,
}

#[test]
fn keys_of_a_map_that_differ_in_their_spelling_are_different_keys() {
    let directory = tempfile::tempdir().unwrap();
    let file = "[hosts]\n'web-1' = 'a'\nweb1 = 'b'\nWeb1 = 'c'";
    let loader = with_file(directory.path(), file).defaults(json!({"hosts": {"web_1": "d"}}));
    let settings = loader.env_from([("APP_HOSTS__WEB1", "e")]).build::<Hosts>().unwrap();
    let mut hosts: Vec<_> = settings.hosts.iter().map(|(key, value)| format!("{key} = {value}")).collect();
    hosts.sort();
    assert_eq!(hosts, ["Web1 = c", "web-1 = a", "web1 = e", "web_1 = d"]);
    assert_eq!(settings.origin("hosts.web_1"), Some(&Origin::Default));
    assert!(matches!(settings.origin("hosts.web-1"), Some(Origin::File(_))));
    assert!(matches!(settings.origin("hosts.web1"), Some(Origin::Variable(_))));
}

#[test]
fn fields_below_the_keys_of_a_map_are_the_same_in_every_spelling() {
    let directory = tempfile::tempdir().unwrap();
    let file = "[hosts]\n[servers.web-1]\nworker-count = 1\n[servers.web1]\nWorkerCount = 2";
    let defaults = json!({"servers": {"web-1": {"worker_count": 7, "bind": "0.0.0.0:1"}}});
    let loader = with_file(directory.path(), file).defaults(defaults);
    let settings = loader.env_from([("APP_SERVERS__WEB1__WORKER_COUNT", "3")]).build::<Hosts>().unwrap();
    assert_eq!((settings.servers["web-1"].worker_count, settings.servers["web1"].worker_count), (1, 3));
    assert_eq!(settings.servers["web-1"].bind.port(), 1);
}

#[test]
fn a_variable_means_the_key_of_a_map_that_it_cannot_write_itself() {
    let directory = tempfile::tempdir().unwrap();
    let loader = with_file(directory.path(), "[hosts]\n'Web-1' = 'a'");
    let settings = loader.env_from([("APP_HOSTS__WEB_1", "b"), ("APP_HOSTS__WEB1", "c")]);
    let hosts = settings.build::<Hosts>().unwrap().into_inner().hosts;
    let expected = [("Web-1", "b"), ("web1", "c")].map(|(key, host)| (key.to_owned(), host.to_owned()));
    assert_eq!(hosts, HashMap::from(expected));
}

#[test]
fn every_problem_is_said_at_once_with_what_to_set() {
    check(
        "[database]\nurl = \"shop:hunter2@db\"\n\n[http]\nworkers = -1\nbind = \"localhost\"\n\n[auth]\nminutes = 70000\n",
        &[
            ("APP_DATABASE__POOL", "many"),
            ("APP_TYPO", "1"),
            ("APP_AUTH__OLD_KEYS", "a"),
            ("APP_HTTP__WORKER_COUNT", "-3"),
        ],
        expect![[r#"
            8 settings are wrong:
              auth.key           is missing: set APP_AUTH__KEY, or `auth.key` in settings.toml
              auth.minutes       must be between 0 and 65535 (settings.toml)
              database.pool      must be a whole number (environment variable APP_DATABASE__POOL)
              database.url       the URL has no `//` after its scheme (settings.toml)
              http.bind          not a valid socket address (settings.toml)
              http.worker-count  must be between 0 and 65535 (environment variable APP_HTTP__WORKER_COUNT)
              http.workers       is not a known setting (settings.toml)
              typo               is not a known setting (environment variable APP_TYPO)"#]],
    );
}

#[test]
fn a_secret_can_be_in_a_file_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("key");
    fs::write(&secret, "from the file \n").unwrap();
    let path = secret.to_str().unwrap();
    let loader = with_file(directory.path(), FILE);
    let settings = loader.clone().env_from([
        ("APP_AUTH__KEY_FILE", path),
        ("APP_AUTH__KEY", "from the variable"),
        ("APP_LOG_FILE", "app.log"),
    ]);
    let settings = settings.build::<Settings>().unwrap();
    assert_eq!(settings.auth.key.expose(), "from the file ");
    assert_eq!(settings.origin("auth.key"), Some(&Origin::SecretFile("APP_AUTH__KEY_FILE".to_owned())));
    assert_eq!(settings.log_file.as_deref(), Some("app.log"), "a setting of that name comes first");

    let error = loader
        .env_from([("APP_AUTH__KEY_FILE", "/nowhere/key"), ("APP_TYPO_FILE", path)])
        .build::<Settings>();
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("APP_AUTH__KEY_FILE  names a file that could not be read: it does not exist"),
        "{error}"
    );
    assert!(
        error.contains("typo                is not a known setting (file named by APP_TYPO_FILE)"),
        "{error}"
    );
}

#[test]
fn a_secret_file_is_found_where_serde_hides_the_names_of_the_fields() {
    #[derive(Debug, Deserialize)]
    struct Whole {
        #[serde(flatten)]
        part: Part,
    }
    #[derive(Debug, Deserialize)]
    struct Part {
        key: Secret,
    }
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("key");
    fs::write(&secret, "hunter2\r\n").unwrap();
    let environment = [("APP_KEY_FILE", secret.to_str().unwrap())];
    let settings = load("APP").env_from(environment).build::<Whole>().unwrap();
    assert_eq!(settings.part.key.expose(), "hunter2");
    assert!(!settings.to_string().contains("hunter2"), "{settings}");
}

#[test]
fn files_that_cannot_be_read_are_said_and_do_not_make_settings_missing() {
    let problems = |content: &str, pool: &str| {
        let directory = tempfile::tempdir().unwrap();
        let loader = with_file(directory.path(), content).env_from([("APP_DATABASE__POOL", pool)]);
        let error = loader.build::<Settings>().unwrap_err();
        let file = directory.path().join("settings.toml").display().to_string();
        assert_eq!(error.problems()[0].setting, file);
        error.problems().iter().map(|problem| problem.message.clone()).collect::<Vec<_>>()
    };
    assert_eq!(
        problems("[database\n", "x"),
        [
            "is not valid TOML at line 1: unclosed table, expected `]`",
            "must be a whole number (environment variable APP_DATABASE__POOL)",
        ]
    );
    let secret = problems("b = 1\na = \"hunter2\n", "1");
    assert_eq!(secret, ["is not valid TOML at line 2: invalid basic string, expected `\"`"]);
    let directory = tempfile::tempdir().unwrap();
    let build = |loader: Loader| loader.env_from([("", ""); 0]).build::<Settings>().unwrap_err().to_string();
    let missing = build(load("APP").file("nowhere.toml"));
    assert_eq!(missing, "1 setting is wrong:\n  nowhere.toml  could not be read: it does not exist");
    let directory = build(load("APP").file(directory.path()));
    assert!(directory.ends_with("could not be read: it is not an ordinary file"), "{directory}");
    let optional = build(load("APP").optional_file("nowhere.toml"));
    assert!(optional.starts_with("3 settings are wrong:\n  auth.key      is missing"), "{optional}");
}

#[test]
fn variables_that_make_no_sense_are_said() {
    check(
        FILE,
        &[
            ("APP_", "1"),
            ("APP___POOL", "1"),
            ("APP_HOSTS", "a"),
            ("APP_HOSTS__FIRST", "b"),
            ("APP_A__A__A__A__A__A__A__A__A__A__A__A__A__A__A__A__A", "1"),
        ],
        expect![[r#"
            5 settings are wrong:
              APP_                                                   names no setting
              APP_A__A__A__A__A__A__A__A__A__A__A__A__A__A__A__A__A  is nested more than 16 deep
              APP___POOL                                             names no setting
              APP_HOSTS__FIRST                                       excludes APP_HOSTS: set only one of them
              hosts                                                  must be a list (environment variable APP_HOSTS__FIRST)"#]],
    );
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_utf8_is_said() {
    use std::{ffi::OsString, os::unix::ffi::OsStringExt};
    let directory = tempfile::tempdir().unwrap();
    let broken = OsString::from_vec(vec![0xff]);
    let loader = with_file(directory.path(), FILE)
        .env_from([(OsString::from("APP_HOSTS"), broken.clone()), (broken.clone(), broken)]);
    let error = loader.build::<Settings>().unwrap_err();
    assert_eq!(error.to_string(), "1 setting is wrong:\n  APP_HOSTS  is not UTF-8");
}

#[test]
fn a_type_that_repeats_its_value_is_not_repeated() {
    #[derive(Debug)]
    struct Echo;
    impl<'de> Deserialize<'de> for Echo {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let text = String::deserialize(deserializer)?;
            Err(serde::de::Error::custom(format!("{text} is wrong")))
        }
    }
    #[derive(Debug, Deserialize)]
    struct Only {
        echo: Echo,
    }
    let error = load("APP").env_from([("APP_ECHO", "hunter2")]).build::<Only>().unwrap_err();
    assert_eq!(error.problems()[0].message, "is not valid (environment variable APP_ECHO)");
}

#[test]
fn an_empty_prefix_reads_no_variable() {
    #[derive(Debug, Deserialize)]
    struct Nothing {}
    assert!(load("").env_from([("_X", "1"), ("PATH", "/bin")]).build::<Nothing>().is_ok());
}
