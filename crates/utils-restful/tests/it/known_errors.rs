//! Errors of Diesel that have an HTTP meaning.
use std::time::Duration;

use actix_web::ResponseError;
use diesel::{
    r2d2::{ManageConnection, Pool},
    result::{DatabaseErrorKind, Error},
};
use expect_test::{Expect, expect};
use utils_restful::{ApiError, CauseOf, ErrorKind, StatusCode};

use crate::application::read;

async fn check(error: impl Into<ApiError>, expected: Expect) {
    let error = error.into();
    assert!(error.cause().is_some());
    expected.assert_eq(&read(error.error_response()).await.line());
}

fn database_error(kind: DatabaseErrorKind) -> Error {
    Error::DatabaseError(kind, Box::new("users.email holds hunter2".to_owned()))
}

#[actix_rt::test]
async fn what_http_has_a_status_for_gets_it() {
    check(Error::NotFound, expect![[r#"404 application/json {"_errors":["Not Found"]}"#]]).await;
    check(
        database_error(DatabaseErrorKind::UniqueViolation),
        expect![[r#"409 application/json {"_errors":["Conflict"]}"#]],
    )
    .await;
}

#[actix_rt::test]
async fn everything_else_is_the_servers_fault() {
    for error in [
        database_error(DatabaseErrorKind::ForeignKeyViolation),
        database_error(DatabaseErrorKind::SerializationFailure),
        Error::RollbackTransaction,
    ] {
        check(error, expect![[r#"500 application/json {"_errors":["Internal Server Error"]}"#]]).await;
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the quota could not be read")]
struct Wrapped<E: std::error::Error + 'static>(#[source] E);

#[actix_rt::test]
async fn a_cause_with_a_kind_of_its_own_decides_and_nothing_below_it() {
    static DOWN: ErrorKind = ErrorKind::new("down", StatusCode::SERVICE_UNAVAILABLE, "Come back.");

    check(Wrapped(Error::NotFound), expect![[r#"404 application/json {"_errors":["Not Found"]}"#]]).await;
    for cause in [Error::NotFound, database_error(DatabaseErrorKind::UniqueViolation)] {
        let text = cause.to_string();
        let error = ApiError::from(Wrapped(CauseOf::new(&DOWN, Wrapped(cause))));
        let log: Vec<String> =
            std::iter::successors(error.cause(), |error| error.source()).map(ToString::to_string).collect();
        assert_eq!(log, ["the quota could not be read", "the quota could not be read", &*text]);
        check(error, expect![[r#"503 application/json {"_errors":["Service Unavailable"]}"#]]).await;
    }
}

/// A database that is down.
#[derive(Debug)]
struct Down;

impl ManageConnection for Down {
    type Connection = ();
    type Error = std::io::Error;

    fn connect(&self) -> Result<(), std::io::Error> {
        Err(std::io::Error::other("hunter2 was refused"))
    }

    fn is_valid(&self, (): &mut ()) -> Result<(), std::io::Error> {
        Ok(())
    }

    fn has_broken(&self, (): &mut ()) -> bool {
        false
    }
}

#[actix_rt::test]
async fn a_pool_without_a_free_connection_is_busy() {
    let pool =
        Pool::builder().max_size(1).connection_timeout(Duration::from_millis(20)).build_unchecked(Down);
    let error = pool.get().map(drop).unwrap_err();
    check(error, expect![[r#"503 application/json {"_errors":["Service Unavailable"]}"#]]).await;
}
