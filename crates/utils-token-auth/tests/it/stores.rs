//! Every store against the contract of `utils-testing`, and what databases add to it.
use utils_testing::token_auth::{RaceReport, check_races, check_session_store};
use utils_token_auth::{MemoryStore, Store};

/// Rounds of the races. `RACE_ROUNDS=1000` is the long run; a database does the default in a few seconds.
pub(crate) fn race_rounds() -> usize {
    std::env::var("RACE_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(40)
}

/// The whole contract, then races of 16 callers.
async fn check<S, Open, Opening>(open: Open)
where
    S: Store,
    Open: Fn() -> Opening,
    Opening: Future<Output = S>,
{
    check_session_store(&open).await;
    let report = check_races(&open, 16, race_rounds()).await;
    assert_eq!(report.renewals, 16 * report.rotations);
    show(&report);
}

/// The figures of a long run; cargo shows them with `--nocapture`.
#[allow(clippy::print_stdout)] // that is what it is for
pub(crate) fn show(report: &RaceReport) {
    println!("{report:?}");
}

#[actix_web::test]
async fn the_memory_store_keeps_the_contract() {
    let store = MemoryStore::new();
    check(|| async { store.clone() }).await;
    assert!(!store.is_empty());
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use diesel::{
        SqliteConnection,
        connection::SimpleConnection,
        prelude::*,
        r2d2::{ConnectionManager, Pool},
    };
    use utils_token_auth::{DieselStore, DieselStoreError, Sid, Store, migrate};

    #[actix_web::test]
    async fn sqlite_keeps_the_contract() {
        let directory = tempfile::tempdir().unwrap();
        let url = directory.path().join("sessions.sqlite").display().to_string();
        DieselStore::<SqliteConnection>::open(&url).unwrap().migrate().await.unwrap();
        super::check(|| async { DieselStore::<SqliteConnection>::open(&url).unwrap() }).await;
    }

    #[actix_web::test]
    async fn migrating_again_and_at_once_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let url = directory.path().join("sessions.sqlite").display().to_string();
        let stores: Vec<_> = (0..4).map(|_| DieselStore::<SqliteConnection>::open(&url).unwrap()).collect();
        let migrations: Vec<_> = stores
            .iter()
            .cycle()
            .take(8)
            .map(|store| {
                let store = store.clone();
                actix_web::rt::spawn(async move { store.migrate().await })
            })
            .collect();
        for migration in migrations {
            migration.await.unwrap().unwrap();
        }
        assert!(stores[0].get(Sid::from_bytes([0; 16])).await.unwrap().is_none());
    }

    #[actix_web::test]
    async fn a_pool_inside_of_a_transaction_is_refused() {
        let manager = ConnectionManager::<SqliteConnection>::new(":memory:");
        let pool = Pool::builder().max_size(1).build(manager).unwrap();
        let store = DieselStore::new(pool.clone());
        store.migrate().await.unwrap();
        store.get(Sid::from_bytes([0; 16])).await.unwrap();
        pool.get().unwrap().begin_test_transaction().unwrap();
        let refused = store.get(Sid::from_bytes([0; 16])).await;
        assert!(matches!(refused, Err(DieselStoreError::InsideTransaction)), "{refused:?}");
    }

    #[actix_web::test]
    async fn a_store_in_memory_is_one_database() {
        for url in [":memory:", "", "file::memory:", "file:sessions?mode=memory"] {
            let store = DieselStore::<SqliteConnection>::open(url).unwrap();
            store.migrate().await.unwrap();
            let reads: Vec<_> = (0..16)
                .map(|_| {
                    let store = store.clone();
                    actix_web::rt::spawn(async move { store.get(Sid::from_bytes([0; 16])).await })
                })
                .collect();
            for read in reads {
                assert!(read.await.unwrap().unwrap().is_none());
            }
        }
    }

    #[test]
    fn the_migration_can_be_undone() {
        use diesel_migrations::MigrationHarness;
        let mut connection = SqliteConnection::establish(":memory:").unwrap();
        migrate(&mut connection).unwrap();
        connection.revert_all_migrations(utils_token_auth::SQLITE_MIGRATIONS).unwrap();
        assert!(connection.batch_execute("SELECT 1 FROM auth_sessions").is_err());
    }

    #[actix_web::test]
    async fn a_missing_table_is_an_error_that_tells_a_client_nothing() {
        use crate::support::World;
        let store = DieselStore::<SqliteConnection>::open(":memory:").unwrap();
        let world = World::on(store, utils_token_auth::Policy::default());
        let error = world.auth.login("ana", (), utils_token_auth::Client::unknown()).await.unwrap_err();
        assert_eq!(error.kind().status, 503);
        assert_eq!(error.to_string(), "sessions are not available at the moment");
    }
}

#[cfg(feature = "postgres")]
pub(crate) mod postgres {
    use diesel::{PgConnection, connection::SimpleConnection, prelude::*};
    use utils_token_auth::{DieselStore, Sid};

    use crate::support::hex;

    /// A schema of its own, dropped at the end.
    pub(crate) struct Schema {
        server: String,
        name: String,
    }

    impl Schema {
        pub(crate) fn new() -> Self {
            let server = std::env::var("TEST_POSTGRES_URL").expect(
                "TEST_POSTGRES_URL must name a PostgreSQL server, such as postgres://postgres@127.0.0.1/test",
            );
            let id = hex(Sid::random().unwrap().as_bytes());
            let schema = Self { server, name: format!("token_auth_{id}") };
            schema.execute(&format!("CREATE SCHEMA {}", schema.name));
            schema
        }

        pub(crate) fn url(&self) -> String {
            let separator = if self.server.contains('?') { '&' } else { '?' };
            format!("{}{separator}options=-csearch_path%3D{}", self.server, self.name)
        }

        fn execute(&self, statement: &str) {
            PgConnection::establish(&self.server).unwrap().batch_execute(statement).unwrap();
        }
    }

    impl Drop for Schema {
        fn drop(&mut self) {
            self.execute(&format!("DROP SCHEMA {} CASCADE", self.name));
        }
    }

    #[actix_web::test]
    async fn postgres_keeps_the_contract() {
        let schema = Schema::new();
        DieselStore::<PgConnection>::open(&schema.url()).unwrap().migrate().await.unwrap();
        super::check(|| async { DieselStore::<PgConnection>::open(&schema.url()).unwrap() }).await;
    }

    /// A server's default isolation need not be `READ COMMITTED`; then the losers of a race get errors.
    #[actix_web::test]
    async fn postgres_keeps_the_contract_with_stricter_isolation() {
        let schema = Schema::new();
        DieselStore::<PgConnection>::open(&schema.url()).unwrap().migrate().await.unwrap();
        for level in ["repeatable%5C%20read", "serializable"] {
            let url = format!("{}%20-cdefault_transaction_isolation%3D{level}", schema.url());
            utils_testing::token_auth::check_session_store(|| async {
                DieselStore::<PgConnection>::open(&url).unwrap()
            })
            .await;
        }
    }

    #[actix_web::test]
    async fn postgres_keeps_the_contract_while_it_announces_revocations() {
        let schema = Schema::new();
        DieselStore::<PgConnection>::open(&schema.url()).unwrap().migrate().await.unwrap();
        let open = || async { DieselStore::<PgConnection>::open(&schema.url()).unwrap().announce() };
        utils_testing::token_auth::check_session_store(open).await;
    }
}

#[cfg(feature = "mysql")]
pub(crate) mod mysql {
    use diesel::{MysqlConnection, connection::SimpleConnection, prelude::*};
    use utils_token_auth::{DieselStore, Sid};

    use crate::support::hex;

    /// A database of its own, dropped at the end.
    pub(crate) struct Database {
        server: String,
        name: String,
    }

    impl Database {
        pub(crate) fn new() -> Self {
            let server = std::env::var("TEST_MYSQL_URL").expect(
                "TEST_MYSQL_URL must name a MySQL or MariaDB server, such as mysql://root@127.0.0.1/test",
            );
            let id = hex(Sid::random().unwrap().as_bytes());
            let database = Self { server, name: format!("token_auth_{id}") };
            database.execute(&format!("CREATE DATABASE {}", database.name));
            database
        }

        pub(crate) fn url(&self) -> String {
            let (server, _) = self.server.rsplit_once('/').unwrap();
            format!("{server}/{}", self.name)
        }

        fn execute(&self, statement: &str) {
            MysqlConnection::establish(&self.server).unwrap().batch_execute(statement).unwrap();
        }
    }

    impl Drop for Database {
        fn drop(&mut self) {
            self.execute(&format!("DROP DATABASE {}", self.name));
        }
    }

    #[actix_web::test]
    async fn mysql_keeps_the_contract() {
        let database = Database::new();
        DieselStore::<MysqlConnection>::open(&database.url()).unwrap().migrate().await.unwrap();
        super::check(|| async { DieselStore::<MysqlConnection>::open(&database.url()).unwrap() }).await;
    }
}
