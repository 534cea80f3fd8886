use diesel::SqliteConnection;
use utils_jobs::{Jobs, JobsBuilder};
use utils_testing::{job_backend_contract, jobs::JobBackend};

use super::database::Place;

pub(super) struct Sqlite {
    directory: tempfile::TempDir,
}

impl Sqlite {
    pub(super) fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }
}

impl Place for Sqlite {
    type Conn = SqliteConnection;
    const NAME: &str = "sqlite";

    fn url(&self) -> String {
        format!("sqlite:{}", self.directory.path().join("jobs.db").display())
    }
}

impl JobBackend for Sqlite {
    fn open(&self, builder: JobsBuilder) -> Jobs {
        super::database::open(self, builder)
    }
}

job_backend_contract!(Sqlite::new());
super::database::cases!(Sqlite::new());
