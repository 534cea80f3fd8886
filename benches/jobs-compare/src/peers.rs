//! What is compared, and what has to be there for it.
use std::{
    path::{Path, PathBuf},
    process::Command,
};

use diesel::{Connection, MysqlConnection, PgConnection, connection::SimpleConnection};
use tempfile::TempDir;

use crate::Outcome;

/// One of those that take turns.
pub(crate) struct Peer {
    pub name: &'static str,
    pub server: Server,
    by: By,
    what: &'static str,
}

/// Where the jobs are kept.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Server {
    Memory,
    Sqlite,
    Postgres,
    Mysql,
    Redis,
}

#[derive(Clone, Copy)]
enum By {
    Ours,
    Apalis,
    Celery,
}

const fn peer(name: &'static str, server: Server, by: By, what: &'static str) -> Peer {
    Peer { name, server, by, what }
}

/// Those that differ in one thing stand side by side, so that they are measured one after the other.
pub(crate) const PEERS: &[Peer] = &[
    peer("ours, SQLite", Server::Sqlite, By::Ours, "shipped"),
    peer("apalis-sqlite", Server::Sqlite, By::Apalis, "sqlite"),
    peer("ours, SQLite, tuned", Server::Sqlite, By::Ours, "prefetch"),
    peer("apalis-sqlite, tuned", Server::Sqlite, By::Apalis, "sqlite-tuned"),
    peer("ours, PostgreSQL", Server::Postgres, By::Ours, "shipped"),
    peer("apalis-postgres", Server::Postgres, By::Apalis, "postgres"),
    peer("ours, PostgreSQL, tuned", Server::Postgres, By::Ours, "prefetch"),
    peer("apalis-postgres, tuned", Server::Postgres, By::Apalis, "postgres-tuned"),
    peer("ours, MariaDB", Server::Mysql, By::Ours, "shipped"),
    peer("ours, MariaDB, tuned", Server::Mysql, By::Ours, "prefetch"),
    peer("apalis-redis", Server::Redis, By::Apalis, "redis"),
    peer("apalis-redis, tuned", Server::Redis, By::Apalis, "redis-tuned"),
    peer("Celery, Redis", Server::Redis, By::Celery, "celery"),
    peer("Celery, Redis, tuned", Server::Redis, By::Celery, "celery-tuned"),
    peer("ours, memory, idle", Server::Memory, By::Ours, "latency"),
    peer("ours, SQLite, idle", Server::Sqlite, By::Ours, "latency"),
    peer("ours, PostgreSQL, idle", Server::Postgres, By::Ours, "latency"),
    peer("ours, PostgreSQL, idle, told by the database", Server::Postgres, By::Ours, "latency-apart"),
    peer("ours, MariaDB, idle", Server::Mysql, By::Ours, "latency"),
];

/// The programs of the peers.
pub(crate) struct Programs {
    apalis: PathBuf,
    python: PathBuf,
}

impl Programs {
    /// What to run, and its first arguments.
    pub(crate) fn command(&self, peer: &Peer) -> (PathBuf, Vec<String>) {
        let what = peer.what.to_owned();
        match peer.by {
            By::Ours => ("/proc/self/exe".into(), vec!["--peer".to_owned(), what]),
            By::Apalis => (self.apalis.clone(), vec![what]),
            By::Celery => {
                let script = concat!(env!("CARGO_MANIFEST_DIR"), "/celery/peer.py");
                (self.python.clone(), vec![script.to_owned(), what])
            }
        }
    }
}

/// Compiles apalis' part and installs Celery's, beside this program.
pub(crate) fn prepare() -> Outcome<Programs> {
    let program = std::env::current_exe()?;
    let target = program.parent().and_then(Path::parent).ok_or("this program lies nowhere")?;
    let apalis = target.join("apalis");
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--release", "--locked", "--manifest-path"]);
    build.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/apalis/Cargo.toml")).arg("--target-dir").arg(&apalis);
    succeed(&mut build, "apalis' part does not compile")?;

    let venv = target.join("celery");
    let python = venv.join("bin/python");
    if !python.exists() {
        let mut make = Command::new("python3");
        make.args(["-m", "venv"]).arg(&venv);
        succeed(&mut make, "Celery needs a python3 with venv (on Debian: python3-venv)")?;
    }
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]);
    install.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/celery/requirements.txt"));
    succeed(&mut install, "Celery cannot be installed")?;
    Ok(Programs { apalis: apalis.join("release/jobs-compare-apalis"), python })
}

fn succeed(command: &mut Command, otherwise: &str) -> Outcome<()> {
    let status = command.status().map_err(|error| format!("{otherwise}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{otherwise}: {status}").into()) }
}

/// Where the servers are.
pub(crate) struct Servers {
    postgres: String,
    mysql: String,
    redis: String,
}

impl Servers {
    /// Looks for each once: a run takes many minutes.
    pub(crate) fn from_environment() -> Outcome<Self> {
        let servers = Self {
            postgres: variable("TEST_POSTGRES_URL")?,
            mysql: variable("TEST_MYSQL_URL")?,
            redis: variable("TEST_REDIS_URL")?,
        };
        PgConnection::establish(&servers.postgres).map_err(|error| format!("TEST_POSTGRES_URL: {error}"))?;
        MysqlConnection::establish(&servers.mysql).map_err(|error| format!("TEST_MYSQL_URL: {error}"))?;
        let redis = redis::Client::open(servers.redis.as_str()).and_then(|client| client.get_connection());
        redis.map_err(|error| format!("TEST_REDIS_URL: {error}"))?;
        Ok(servers)
    }

    /// A new database of this name, or what comes closest to it.
    pub(crate) fn place(&self, server: Server, name: &str) -> Outcome<Place> {
        Ok(match server {
            Server::Memory => Place::Memory,
            Server::Sqlite => Place::File(tempfile::tempdir()?),
            Server::Postgres => {
                let mut admin = PgConnection::establish(&self.postgres)?;
                admin.batch_execute(&format!("CREATE DATABASE {name}"))?;
                let drop = format!("DROP DATABASE {name} WITH (FORCE)");
                Place::Postgres(database(&self.postgres, name)?, admin, drop)
            }
            Server::Mysql => {
                let mut admin = MysqlConnection::establish(&self.mysql)?;
                admin.batch_execute(&format!("CREATE DATABASE {name}"))?;
                Place::Mysql(database(&self.mysql, name)?, admin, format!("DROP DATABASE {name}"))
            }
            Server::Redis => Place::Redis { server: self.redis.clone(), prefix: name.to_owned() },
        })
    }
}

fn variable(name: &str) -> Outcome<String> {
    std::env::var(name).map_err(|_| format!("{name} must name a server, see CONTRIBUTING.md").into())
}

/// The URL with another database.
fn database(url: &str, name: &str) -> Outcome<String> {
    let (front, old) = url.rsplit_once('/').ok_or("a URL without a database")?;
    let settings = old.split_once('?').map_or_else(String::new, |(_, settings)| format!("?{settings}"));
    Ok(format!("{front}/{name}{settings}"))
}

/// A place of its own for one measurement, removed afterwards.
pub(crate) enum Place {
    Memory,
    File(TempDir),
    Postgres(String, PgConnection, String),
    Mysql(String, MysqlConnection, String),
    Redis { server: String, prefix: String },
}

impl Place {
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Memory => "memory:".to_owned(),
            Self::File(directory) => format!("sqlite:{}", directory.path().join("jobs.db").display()),
            Self::Postgres(url, ..) | Self::Mysql(url, ..) => url.clone(),
            Self::Redis { server, prefix } => format!("{server}#{prefix}"),
        }
    }

    fn remove(&mut self) -> Outcome<()> {
        match self {
            Self::Memory | Self::File(_) => {}
            Self::Postgres(_, admin, drop) => admin.batch_execute(drop)?,
            Self::Mysql(_, admin, drop) => admin.batch_execute(drop)?,
            Self::Redis { server, prefix } => {
                let mut connection = redis::Client::open(server.as_str())?.get_connection()?;
                let keys: Vec<String> =
                    redis::cmd("KEYS").arg(format!("{prefix}*")).query(&mut connection)?;
                for keys in keys.chunks(1_000) {
                    redis::cmd("UNLINK").arg(keys).query::<()>(&mut connection)?;
                }
            }
        }
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            eprintln!("{} was not removed: {error}", self.url());
        }
    }
}
