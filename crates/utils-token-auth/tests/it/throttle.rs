//! The login throttle: the same rules in memory and in each database.
use std::{net::IpAddr, time::Duration};

use actix_web::{ResponseError, http::StatusCode};
use utils_token_auth::{
    Attempt, MemoryThrottle, TestClock, Throttle, ThrottleError, ThrottlePolicy, ThrottleStore,
};

const START: i64 = 1_700_000_000_000;
const HOME: &str = "192.0.2.1";

/// A throttle and the clock it goes by. One more attempt: pair every 60 s, account every 30 s, address every 10 s.
struct Gate<S> {
    throttle: Throttle<S>,
    clock: TestClock,
}

impl<S: ThrottleStore> Gate<S> {
    fn new(store: S) -> Self {
        let policy = ThrottlePolicy::default()
            .pair(3, Duration::from_secs(60))
            .account(8, Duration::from_secs(30))
            .address(10, Duration::from_secs(10));
        let clock = TestClock::at(START);
        Self { throttle: Throttle::with_clock(store, policy, clock.clone()), clock }
    }

    /// The attempt, or the seconds to wait.
    async fn attempt(&self, account: &str, address: &str) -> Result<Attempt<S>, u64> {
        let address: Option<IpAddr> = (!address.is_empty()).then(|| address.parse().unwrap());
        self.throttle.attempt(account, address).await.map_err(|error| match error {
            ThrottleError::TooMany { retry_after } => retry_after.as_secs(),
            other => panic!("{other:?}"),
        })
    }

    /// Fails to log in `times` times; answers how many were allowed to try.
    async fn fail(&self, times: usize, account: &str, address: &str) -> usize {
        let mut allowed = 0;
        for _ in 0..times {
            allowed += usize::from(self.attempt(account, address).await.is_ok());
        }
        allowed
    }

    fn later(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

/// Every rule on one store; each uses accounts and addresses of its own.
async fn check<S: ThrottleStore + Clone>(store: S) {
    failures_use_up_the_allowance_and_time_gives_it_back(&Gate::new(store.clone())).await;
    a_success_is_not_counted(&Gate::new(store.clone())).await;
    an_attempt_that_was_cancelled_is_not_counted_and_forgives_nothing(&Gate::new(store.clone())).await;
    one_address_cannot_lock_an_account_for_others(&Gate::new(store.clone())).await;
    many_addresses_on_one_account_are_stopped(&Gate::new(store.clone())).await;
    one_address_on_many_accounts_is_stopped(&Gate::new(store.clone())).await;
    a_refused_attempt_is_not_counted(&Gate::new(store.clone())).await;
    attempts_at_once_do_not_get_past_the_limit(&Gate::new(store.clone())).await;
    forgiving_lets_the_account_in_again(&Gate::new(store.clone())).await;
    old_counters_are_removed(&Gate::new(store)).await;
}

async fn failures_use_up_the_allowance_and_time_gives_it_back<S: ThrottleStore>(gate: &Gate<S>) {
    assert_eq!(gate.fail(5, "ann", HOME).await, 3);
    assert_eq!(gate.attempt("ann", HOME).await.unwrap_err(), 60);
    gate.later(59);
    assert_eq!(gate.attempt("ann", HOME).await.unwrap_err(), 1);
    gate.later(1);
    assert_eq!(gate.fail(2, "ann", HOME).await, 1, "one more a minute");
    gate.later(180);
    assert_eq!(gate.fail(5, "ann", HOME).await, 3, "all of it again");
}

async fn a_success_is_not_counted<S: ThrottleStore>(gate: &Gate<S>) {
    for _ in 0..50 {
        gate.attempt("bob", "192.0.2.2").await.unwrap().succeeded().await.unwrap();
    }
    assert_eq!(gate.fail(2, "bob", "192.0.2.2").await, 2);
    gate.attempt("bob", "192.0.2.2").await.unwrap().succeeded().await.unwrap();
    assert_eq!(gate.fail(5, "bob", "192.0.2.2").await, 3, "the failures before the success are forgiven");
}

async fn an_attempt_that_was_cancelled_is_not_counted_and_forgives_nothing<S: ThrottleStore>(gate: &Gate<S>) {
    assert_eq!(gate.fail(2, "ida", "192.0.2.12").await, 2);
    for _ in 0..50 {
        gate.attempt("ida", "192.0.2.12").await.unwrap().cancel().await.unwrap();
    }
    assert_eq!(gate.fail(5, "ida", "192.0.2.12").await, 1, "the two failures are still counted");
}

async fn one_address_cannot_lock_an_account_for_others<S: ThrottleStore>(gate: &Gate<S>) {
    for _ in 0..30 {
        gate.fail(20, "carol", "203.0.113.7").await;
        gate.later(60);
    }
    assert!(
        gate.attempt("carol", "192.0.2.3").await.is_ok(),
        "half an hour of guessing, and carol is still let in"
    );
}

async fn many_addresses_on_one_account_are_stopped<S: ThrottleStore>(gate: &Gate<S>) {
    let mut allowed = 0;
    for machine in 1..=100 {
        allowed += gate.fail(1, "dave", &format!("198.51.100.{machine}")).await;
    }
    assert_eq!(allowed, 8);
    assert_eq!(gate.attempt("dave", "192.0.2.4").await.unwrap_err(), 30);
    assert!(gate.attempt("dave's neighbour", "192.0.2.4").await.is_ok());
}

async fn one_address_on_many_accounts_is_stopped<S: ThrottleStore>(gate: &Gate<S>) {
    let mut allowed = 0;
    for user in 0..50 {
        allowed += gate.fail(1, &format!("user{user}"), "203.0.113.8").await;
        // an account of the attacker's own does not clear the counter
        if let Ok(attempt) = gate.attempt("mallory", "203.0.113.8").await {
            attempt.succeeded().await.unwrap();
        }
    }
    assert_eq!(allowed, 10);
    assert_eq!(gate.attempt("user99", "203.0.113.8").await.unwrap_err(), 10);
    assert!(gate.attempt("user99", "203.0.113.9").await.is_ok());
}

async fn a_refused_attempt_is_not_counted<S: ThrottleStore>(gate: &Gate<S>) {
    assert_eq!(gate.fail(100, "erin", "192.0.2.5").await, 3);
    assert_eq!(gate.attempt("erin", "192.0.2.5").await.unwrap_err(), 60, "hammering makes it no longer");
    assert_eq!(gate.fail(100, "erin's brother", "192.0.2.5").await, 3, "nor is the address used up by it");
}

async fn attempts_at_once_do_not_get_past_the_limit<S: ThrottleStore>(gate: &Gate<S>) {
    let attempts = futures_util::future::join_all((0..12).map(|_| gate.attempt("frank", "192.0.2.6"))).await;
    assert_eq!(attempts.iter().filter(|attempt| attempt.is_ok()).count(), 3);
}

async fn forgiving_lets_the_account_in_again<S: ThrottleStore>(gate: &Gate<S>) {
    let here = Some("192.0.2.10".parse().unwrap());
    assert_eq!(gate.fail(5, "gina", "192.0.2.10").await, 3);
    gate.throttle.forgive("gina", here).await.unwrap();
    assert_eq!(gate.fail(5, "gina", "192.0.2.10").await, 3);
}

async fn old_counters_are_removed<S: ThrottleStore>(gate: &Gate<S>) {
    gate.later(7 * 24 * 3600); // the attempt below also purges what the other checks left
    let _ = gate.attempt("henry", "192.0.2.11").await.unwrap();
    assert_eq!(gate.fail(5, "henry", "192.0.2.11").await, 2, "a counter still in use stays");
}

mod memory {
    use super::*;

    /// The store itself cannot be cloned; a shared one can.
    #[derive(Clone, Default)]
    struct Shared(std::sync::Arc<MemoryThrottle>);

    impl ThrottleStore for Shared {
        type Error = <MemoryThrottle as ThrottleStore>::Error;

        async fn charge(&self, charge: utils_token_auth::Charge) -> Result<Option<i64>, Self::Error> {
            self.0.charge(charge).await
        }
        async fn refund(&self, key: utils_token_auth::ThrottleKey, step: i64) -> Result<(), Self::Error> {
            self.0.refund(key, step).await
        }
        async fn forget(&self, key: utils_token_auth::ThrottleKey) -> Result<(), Self::Error> {
            self.0.forget(key).await
        }
        async fn purge(&self, now: i64, limit: u32) -> Result<usize, Self::Error> {
            self.0.purge(now, limit).await
        }
    }

    #[actix_rt::test]
    async fn the_throttle_keeps_its_rules_in_memory() {
        let store = Shared::default();
        check(store.clone()).await;
        assert_eq!(store.0.len(), 3, "only henry's are left after the purge");
    }

    #[actix_rt::test]
    async fn names_in_another_case_and_addresses_of_one_network_are_the_same() {
        let gate = Gate::new(MemoryThrottle::new());
        for (account, address) in
            [("Ann", "2001:db8:1:2::1"), ("ann ", "2001:db8:1:2:ffff::9"), ("ANN", "2001:db8:1:2:a:b:c:d")]
        {
            assert_eq!(gate.fail(1, account, address).await, 1);
        }
        assert_eq!(gate.fail(1, "ann", "2001:db8:1:2::2").await, 0);
        assert_eq!(gate.fail(1, "ann", "2001:db8:1:3::1").await, 1, "another network");
        assert_eq!(gate.fail(3, "ann", "192.0.2.1").await, 3);
        assert_eq!(gate.fail(1, "ann", "::ffff:192.0.2.1").await, 0, "IPv4 written as IPv6");
    }

    #[actix_rt::test]
    async fn without_an_address_the_account_is_counted() {
        assert_eq!(Gate::new(MemoryThrottle::new()).fail(20, "ann", "").await, 8);
    }

    #[actix_rt::test]
    async fn an_account_and_an_address_of_the_same_text_have_nothing_in_common() {
        let gate = Gate::new(MemoryThrottle::new());
        assert_eq!(gate.fail(10, "192.0.2.1", "").await, 8);
        assert_eq!(gate.fail(1, "ann", "192.0.2.1").await, 1);
    }

    #[actix_rt::test]
    async fn the_refusal_says_when_to_come_back_in_whole_seconds_rounded_up() {
        let gate = Gate::new(MemoryThrottle::new());
        gate.fail(3, "ann", HOME).await;
        gate.clock.advance(Duration::from_millis(17_001));
        let error = gate.throttle.attempt("ann", Some(HOME.parse().unwrap())).await.unwrap_err();
        assert_eq!(error.to_string(), "too many failed logins, try again in 43 s");
        let answer = error.error_response();
        assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(answer.headers().get("Retry-After").unwrap(), "43");
        gate.later(43);
        assert_eq!(gate.fail(1, "ann", HOME).await, 1, "who waits as long as told is let in");
    }

    #[actix_rt::test]
    async fn a_flood_of_names_keeps_the_store_within_its_bounds_and_the_worst_offender_out() {
        let store = MemoryThrottle::new();
        let gate = Gate::new(store);
        gate.fail(8, "victim", "").await;
        for user in 0..150_000 {
            let _ = gate.attempt(&format!("user{user}"), "").await.unwrap();
        }
        assert_eq!(gate.fail(1, "victim", "").await, 0);
    }

    /// A store in which somebody else fails at the same pair just after it was forgotten.
    #[derive(Default)]
    struct Raced {
        store: MemoryThrottle,
        charges: std::sync::Mutex<Vec<utils_token_auth::Charge>>,
    }

    impl ThrottleStore for Raced {
        type Error = <MemoryThrottle as ThrottleStore>::Error;

        async fn charge(&self, charge: utils_token_auth::Charge) -> Result<Option<i64>, Self::Error> {
            self.charges.lock().unwrap().push(charge);
            self.store.charge(charge).await
        }
        async fn refund(&self, key: utils_token_auth::ThrottleKey, step: i64) -> Result<(), Self::Error> {
            self.store.refund(key, step).await
        }
        async fn forget(&self, key: utils_token_auth::ThrottleKey) -> Result<(), Self::Error> {
            self.store.forget(key).await?;
            let charge = self.charges.lock().unwrap().iter().find(|charge| charge.key == key).copied();
            self.store.charge(charge.unwrap()).await.map(drop)
        }
        async fn purge(&self, now: i64, limit: u32) -> Result<usize, Self::Error> {
            self.store.purge(now, limit).await
        }
    }

    #[actix_rt::test]
    async fn a_success_does_not_forgive_who_fails_at_that_moment() {
        let gate = Gate::new(Raced::default());
        gate.attempt("ann", HOME).await.unwrap().succeeded().await.unwrap();
        assert_eq!(gate.fail(5, "ann", HOME).await, 2, "one of three is used up");
    }

    #[actix_rt::test]
    async fn a_store_that_fails_lets_nobody_in() {
        let gate = Gate::new(Broken);
        let error = gate.throttle.attempt("ann", None).await.unwrap_err();
        assert_eq!(error.status_code(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(error.to_string(), "logins cannot be counted at the moment");
    }

    struct Broken;

    impl ThrottleStore for Broken {
        type Error = std::io::Error;

        async fn charge(&self, _: utils_token_auth::Charge) -> Result<Option<i64>, Self::Error> {
            Err(std::io::Error::other("the password of the database is hunter2"))
        }
        async fn refund(&self, _: utils_token_auth::ThrottleKey, _: i64) -> Result<(), Self::Error> {
            Ok(())
        }
        async fn forget(&self, _: utils_token_auth::ThrottleKey) -> Result<(), Self::Error> {
            Ok(())
        }
        async fn purge(&self, _: i64, _: u32) -> Result<usize, Self::Error> {
            Ok(0)
        }
    }
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use diesel::{
        connection::SimpleConnection,
        r2d2::{ConnectionManager, CustomizeConnection, Error, Pool},
        sqlite::SqliteConnection,
    };
    use utils_token_auth::DieselThrottle;

    use super::*;

    #[derive(Debug)]
    struct Busy;

    impl CustomizeConnection<SqliteConnection, Error> for Busy {
        fn on_acquire(&self, connection: &mut SqliteConnection) -> Result<(), Error> {
            connection
                .batch_execute("PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL;")
                .map_err(Error::QueryError)
        }
    }

    #[actix_rt::test]
    async fn the_throttle_keeps_its_rules_in_sqlite() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("throttle.db");
        let manager = ConnectionManager::<SqliteConnection>::new(file.to_str().unwrap());
        let pool = Pool::builder().max_size(4).connection_customizer(Box::new(Busy)).build(manager).unwrap();
        utils_token_auth::migrate(&mut *pool.get().unwrap()).unwrap();
        check(DieselThrottle::new(pool)).await;
    }
}

#[cfg(feature = "postgres")]
mod postgres {
    use diesel::{
        Connection, PgConnection,
        connection::SimpleConnection,
        r2d2::{ConnectionManager, Pool},
    };
    use utils_token_auth::DieselThrottle;

    use super::*;

    #[actix_rt::test]
    async fn the_throttle_keeps_its_rules_in_postgresql() {
        let server = std::env::var("TEST_POSTGRES_URL").expect("TEST_POSTGRES_URL is not set");
        let schema = format!("throttle_{}", std::process::id());
        let mut admin = PgConnection::establish(&server).unwrap();
        admin
            .batch_execute(&format!("DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema};"))
            .unwrap();
        let separator = if server.contains('?') { '&' } else { '?' };
        let own = format!("{server}{separator}options=-csearch_path%3D{schema}");
        let pool = Pool::builder().max_size(4).build(ConnectionManager::<PgConnection>::new(own)).unwrap();
        utils_token_auth::migrate(&mut *pool.get().unwrap()).unwrap();
        check(DieselThrottle::new(pool)).await;
        admin.batch_execute(&format!("DROP SCHEMA {schema} CASCADE;")).unwrap();
    }
}

#[cfg(feature = "mysql")]
mod mysql {
    use diesel::{
        Connection, MysqlConnection,
        connection::SimpleConnection,
        r2d2::{ConnectionManager, Pool},
    };
    use utils_token_auth::DieselThrottle;

    use super::*;

    #[actix_rt::test]
    async fn the_throttle_keeps_its_rules_in_mysql() {
        let server = std::env::var("TEST_MYSQL_URL").expect("TEST_MYSQL_URL is not set");
        let database = format!("throttle_{}", std::process::id());
        let mut admin = MysqlConnection::establish(&server).unwrap();
        admin.batch_execute(&format!("DROP DATABASE IF EXISTS {database};")).unwrap();
        admin.batch_execute(&format!("CREATE DATABASE {database};")).unwrap();
        let own = format!("{}/{database}", server.rsplit_once('/').unwrap().0);
        let pool = Pool::builder().max_size(4).build(ConnectionManager::<MysqlConnection>::new(own)).unwrap();
        utils_token_auth::migrate(&mut *pool.get().unwrap()).unwrap();
        check(DieselThrottle::new(pool)).await;
        admin.batch_execute(&format!("DROP DATABASE {database};")).unwrap();
    }
}
