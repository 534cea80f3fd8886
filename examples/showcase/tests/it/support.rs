use std::{path::Path, process::Command};

use serde_json::{Value, json};
use tempfile::TempDir;
use utils_testing::{Answer, Program};

/// A running showcase with a database of its own.
pub(crate) struct Showcase {
    pub(crate) program: Program,
    pub(crate) directory: TempDir,
}

/// Somebody who is logged in.
pub(crate) struct User<'a> {
    program: &'a Program,
    authorization: String,
    pub(crate) refresh: String,
}

pub(crate) fn command(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_showcase"));
    command.args(["--listen", "127.0.0.1:0"]).current_dir(directory).env("RUST_LOG", "warn");
    command.env_remove("DATABASE_URL");
    command
}

impl Showcase {
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { program: Program::start(&mut command(directory.path())), directory }
    }

    /// Kills the process without a word, and starts another one on what it left.
    pub(crate) fn kill_and_start_again(self) -> Self {
        self.program.kill();
        Self { program: Program::start(&mut command(self.directory.path())), directory: self.directory }
    }

    #[track_caller]
    pub(crate) fn log_in(&self, name: &str) -> User<'_> {
        let credentials = json!({"username": name, "password": name, "device": "test"});
        let pair = self.program.post("/api/v1/login", &[], &credentials).expect(200).json();
        User::with(&self.program, &pair)
    }
}

impl<'a> User<'a> {
    pub(crate) fn with(program: &'a Program, pair: &Value) -> Self {
        let text = |name: &str| pair[name].as_str().unwrap_or_default().to_owned();
        Self { program, authorization: format!("Bearer {}", text("token")), refresh: text("refreshToken") }
    }

    pub(crate) fn send(&self, method: &str, path: &str) -> Answer {
        self.program.send(method, &format!("/api/v1{path}"), &[("authorization", &self.authorization)])
    }

    pub(crate) fn send_json(&self, method: &str, path: &str, json: &Value) -> Answer {
        let headers = [("authorization", self.authorization.as_str())];
        self.program.send_json(method, &format!("/api/v1{path}"), &headers, json)
    }
}
