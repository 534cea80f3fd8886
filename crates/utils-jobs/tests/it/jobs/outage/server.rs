//! A database server of a test's own, which it may stop, kill and start again: other tests use the shared ones.
use std::{
    fs::File,
    io::Write,
    net::TcpListener,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use diesel::connection::SimpleConnection;
use rustix::process::{Pid, Signal, kill_process};
use utils_jobs::JobConn;

use super::{super::proxy::Proxy, Stop};

/// What differs from one kind of server to the other.
pub(super) trait Kind: Send + 'static {
    type Conn: JobConn + SimpleConnection;
    /// As the feature is called.
    const FEATURE: &'static str;
    /// How often workers look at the table by themselves: seldom, where they are told.
    const POLL: &'static str;
    /// How it goes away, and how for the last time: what hangs is the slowest, so each server has one way of that.
    const WAYS: &'static [Stop];
    const AT_THE_END: Stop;
    /// What the server is called where it is missing.
    const NAME: &'static str;
    /// Who runs it when the tests run as root, which such servers refuse.
    const ACCOUNT: &'static str;
    /// The program that makes a database directory, and the server itself.
    const PROGRAMS: [&'static str; 2];
    /// Asks the server to stop at once, but in order: sessions are ended, what is committed is kept.
    const FAST: Signal;

    /// Where its programs may be beside the search path.
    fn folders() -> Vec<PathBuf>;
    fn make(program: &mut Command, data: &Path);
    fn run(program: &mut Command, data: &Path, port: u16);
    fn url(port: u16) -> String;
    fn answers(port: u16) -> bool;
}

/// A running server; dropped, it is killed and its directory removed.
pub(super) struct Server<K: Kind> {
    directory: tempfile::TempDir,
    program: PathBuf,
    port: u16,
    process: Child,
    /// Which everybody goes through, so that it can go silent.
    proxy: Proxy,
    kind: std::marker::PhantomData<K>,
}

impl<K: Kind> Server<K> {
    /// Makes and starts one. `None`, and a word about it, where it is not installed; in CI that is a failure.
    pub(super) fn start() -> Option<Self> {
        let [make, run] = K::PROGRAMS;
        let (Some(make), Some(program)) = (find::<K>(make), find::<K>(run)) else {
            let why = format!("{} of {} is not installed", K::PROGRAMS.join(" or "), K::NAME);
            assert!(std::env::var("CI").as_deref() != Ok("true"), "in CI this must run: {why}");
            // Not by a macro, whose output a test that passes keeps to itself.
            let told = writeln!(std::io::stdout(), "not run: jobs of a {} that is stopped: {why}", K::NAME);
            told.unwrap();
            return None;
        };
        let directory = tempfile::tempdir().unwrap();
        if let Some((user, group)) = account::<K>() {
            chown(directory.path(), Some(user), Some(group)).unwrap();
        }
        let mut command = quiet::<K>(&make, directory.path());
        K::make(&mut command, &directory.path().join("data"));
        let made = command.status().unwrap();
        assert!(made.success(), "{}: {made}: {}", make.display(), log(directory.path()));
        // Free now; who else takes it in the meantime fails this test, and no other.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = spawn::<K>(&program, directory.path(), port);
        let proxy = Proxy::start(format!("127.0.0.1:{port}"));
        Some(Self { directory, program, port, process, proxy, kind: std::marker::PhantomData })
    }

    pub(super) fn url(&self) -> String {
        K::url(self.proxy.port())
    }

    pub(super) fn stop(&mut self, how: Stop) {
        let server = Pid::from_child(&self.process);
        match how {
            Stop::Fast => kill_process(server, K::FAST).unwrap(),
            Stop::Killed => kill_all(server),
            Stop::Frozen => return send_all(server, Signal::STOP),
            Stop::Silent => return self.proxy.silence(true),
        }
        self.process.wait().unwrap();
    }

    pub(super) fn start_again(&mut self, how: Stop) {
        match how {
            Stop::Fast | Stop::Killed => {
                self.process = spawn::<K>(&self.program, self.directory.path(), self.port);
            }
            Stop::Frozen => send_all(Pid::from_child(&self.process), Signal::CONT),
            Stop::Silent => self.proxy.silence(false),
        }
    }
}

impl<K: Kind> Drop for Server<K> {
    fn drop(&mut self) {
        if self.process.try_wait().is_ok_and(|ended| ended.is_none()) {
            self.stop(Stop::Killed);
        }
    }
}

fn spawn<K: Kind>(program: &Path, directory: &Path, port: u16) -> Child {
    let mut command = quiet::<K>(program, directory);
    K::run(&mut command, &directory.join("data"), port);
    let mut process = command.spawn().unwrap();
    let began = Instant::now();
    while !K::answers(port) {
        let ended = process.try_wait().unwrap();
        assert!(ended.is_none(), "{}: {ended:?}: {}", program.display(), log(directory));
        assert!(began.elapsed() < Duration::from_secs(60), "no answer: {}", log(directory));
        std::thread::sleep(Duration::from_millis(20));
    }
    process
}

/// As the server's account, with what it says in a file.
fn quiet<K: Kind>(program: &Path, directory: &Path) -> Command {
    let log = File::options().create(true).append(true).open(directory.join("log")).unwrap();
    let mut command = Command::new(program);
    command.current_dir(directory).env("TMPDIR", directory); // where another server would clean up
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    if let Some((user, group)) = account::<K>() {
        command.uid(user).gid(group);
    }
    command
}

fn log(directory: &Path) -> String {
    std::fs::read_to_string(directory.join("log")).unwrap_or_default()
}

/// The user and group of the server's account, when we are root and may not run it ourselves.
fn account<K: Kind>() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap();
    let line = accounts.lines().find_map(|line| line.strip_prefix(&format!("{}:", K::ACCOUNT)));
    let mut fields = line.expect("the package makes the account").split(':').skip(1);
    let mut id = || fields.next().unwrap().parse().unwrap();
    Some((id(), id()))
}

fn find<K: Kind>(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = K::folders().into_iter().chain(std::env::split_paths(&path));
    folders.map(|folder| folder.join(program)).find(|program| program.is_file())
}

/// SIGKILL for the server and all its processes at the same time, as when the machine loses its power but for the
/// disk's cache. Children alone would be started anew, and a server alone leaves children that finish what they do.
fn kill_all(server: Pid) {
    kill_process(server, Signal::STOP).unwrap();
    let children = children_of(server);
    for child in &children {
        let _ = kill_process(*child, Signal::KILL); // it may be gone by itself
    }
    kill_process(server, Signal::KILL).unwrap();
    let began = Instant::now();
    while children.iter().any(|child| status(*child).is_some_and(|(state, _)| state != 'Z')) {
        assert!(began.elapsed() < Duration::from_secs(10), "killed processes go on");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// To the server and all its processes.
fn send_all(server: Pid, signal: Signal) {
    kill_process(server, signal).unwrap();
    for child in children_of(server) {
        let _ = kill_process(child, signal); // it may be gone by itself
    }
}

fn children_of(parent: Pid) -> Vec<Pid> {
    let all = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let id = entry.ok()?.file_name().to_str()?.parse().ok()?;
        Pid::from_raw(id)
    });
    all.filter(|id| status(*id).is_some_and(|(_, of)| of == parent.as_raw_nonzero().get())).collect()
}

/// The state and the parent of a process.
fn status(process: Pid) -> Option<(char, i32)> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero())).ok()?;
    // The name before it stands in parentheses, and may have some of its own.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

#[cfg(feature = "postgres")]
pub(super) struct Postgres;

#[cfg(feature = "postgres")]
impl Kind for Postgres {
    type Conn = diesel::PgConnection;
    const FEATURE: &'static str = "postgres";
    const POLL: &'static str = "5s";
    const WAYS: &'static [Stop] = &[Stop::Fast, Stop::Killed, Stop::Frozen];
    const AT_THE_END: Stop = Stop::Fast;
    const NAME: &'static str = "PostgreSQL";
    const ACCOUNT: &'static str = "postgres";
    const PROGRAMS: [&'static str; 2] = ["initdb", "postgres"];
    const FAST: Signal = Signal::INT;

    /// The newest first, as Debian has them.
    fn folders() -> Vec<PathBuf> {
        let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") else { return Vec::new() };
        let mut versions: Vec<PathBuf> = versions.flatten().map(|version| version.path()).collect();
        versions.sort_by_key(|path| path.file_name()?.to_str()?.parse::<u32>().ok());
        versions.into_iter().rev().map(|path| path.join("bin")).collect()
    }

    fn make(initdb: &mut Command, data: &Path) {
        initdb.arg("-D").arg(data).args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"]);
    }

    fn run(postgres: &mut Command, data: &Path, port: u16) {
        let sockets = data.parent().unwrap().display();
        postgres.arg("-D").arg(data).args(["-p", &port.to_string()]);
        postgres.args(["-c", "listen_addresses=127.0.0.1"]);
        postgres.args(["-c", &format!("unix_socket_directories={sockets}")]);
    }

    fn url(port: u16) -> String {
        format!("postgres://postgres@127.0.0.1:{port}/postgres")
    }

    fn answers(port: u16) -> bool {
        use diesel::Connection;
        diesel::PgConnection::establish(&Self::url(port)).is_ok()
    }
}

#[cfg(feature = "mysql")]
pub(super) struct Mariadb;

#[cfg(feature = "mysql")]
impl Kind for Mariadb {
    type Conn = diesel::MysqlConnection;
    const FEATURE: &'static str = "mysql";
    const POLL: &'static str = "100ms";
    const WAYS: &'static [Stop] = &[Stop::Fast, Stop::Killed, Stop::Silent];
    const AT_THE_END: Stop = Stop::Frozen;
    const NAME: &'static str = "MariaDB";
    const ACCOUNT: &'static str = "mysql";
    const PROGRAMS: [&'static str; 2] = ["mariadb-install-db", "mariadbd"];
    const FAST: Signal = Signal::TERM;

    /// Debian has the server where only root's search path goes.
    fn folders() -> Vec<PathBuf> {
        ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from).into()
    }

    fn make(install: &mut Command, data: &Path) {
        install.arg("--no-defaults").arg(format!("--datadir={}", data.display()));
        install.args(["--auth-root-authentication-method=normal", "--skip-test-db"]);
    }

    fn run(mariadbd: &mut Command, data: &Path, port: u16) {
        let socket = data.with_file_name("socket");
        mariadbd.arg("--no-defaults").arg(format!("--datadir={}", data.display()));
        mariadbd.arg(format!("--socket={}", socket.display()));
        mariadbd.args(["--bind-address=127.0.0.1", &format!("--port={port}")]);
        mariadbd.arg("--innodb-buffer-pool-size=32M");
    }

    fn url(port: u16) -> String {
        format!("mysql://root@127.0.0.1:{port}/jobs")
    }

    fn answers(port: u16) -> bool {
        use diesel::Connection;
        let server = diesel::MysqlConnection::establish(&format!("mysql://root@127.0.0.1:{port}/mysql"));
        // There is none from the start but the server's own.
        server.is_ok_and(|mut server| server.batch_execute("CREATE DATABASE IF NOT EXISTS jobs").is_ok())
    }
}
