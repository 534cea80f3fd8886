use std::fmt;

use actix_web::{error::BlockingError, web};
use diesel::{
    dsl::case_when,
    insert_into,
    prelude::*,
    r2d2::{ConnectionManager, Pool, PoolError, R2D2Connection},
    result::{DatabaseErrorKind, Error as DieselError},
};

use super::{Charge, ThrottleKey, ThrottleStore};

diesel::table! {
    auth_throttle (id) {
        id -> Binary,
        free_at -> BigInt,
    }
}

/// Login counters in the table `auth_throttle`, shared by every process on the database.
///
/// `C` is a Diesel connection: `SqliteConnection`, `PgConnection` or `MysqlConnection`, each by its feature. The
/// table comes with the crate's migrations ([`migrate`](crate::migrate)), and the pool may be that of a
/// [`DieselStore`](crate::DieselStore): `DieselThrottle::new(store.pool().clone())`. Every operation is one statement,
/// or a few that may each be the last.
pub struct DieselThrottle<C: R2D2Connection + 'static> {
    pool: Pool<ConnectionManager<C>>,
}

/// Why the database could not count.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DieselThrottleError {
    /// No connection in time.
    #[error("no database connection for the login counters")]
    Pool(#[source] PoolError),
    /// The statement failed.
    #[error("a statement on the login counters failed")]
    Statement(#[source] DieselError),
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopping(#[source] BlockingError),
}

impl<C: R2D2Connection + 'static> DieselThrottle<C> {
    /// Counts in the database of `pool`. SQLite connections need a `busy_timeout`.
    #[must_use]
    pub fn new(pool: Pool<ConnectionManager<C>>) -> Self {
        Self { pool }
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut C) -> QueryResult<T> + Send + 'static,
    ) -> Result<T, DieselThrottleError> {
        let pool = self.pool.clone();
        web::block(move || {
            let mut connection = pool.get().map_err(DieselThrottleError::Pool)?;
            work(&mut connection).map_err(DieselThrottleError::Statement)
        })
        .await
        .map_err(DieselThrottleError::Stopping)?
    }
}

impl<C: R2D2Connection + 'static> Clone for DieselThrottle<C> {
    fn clone(&self) -> Self {
        Self { pool: self.pool.clone() }
    }
}

impl<C: R2D2Connection + 'static> fmt::Debug for DieselThrottle<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DieselThrottle").finish_non_exhaustive()
    }
}

/// How often an attempt that others overtake is counted anew. Then it is refused, as one of a great many at once.
const MOST_TRIES: u32 = 16;

/// The same statements for each connection type: Diesel's bounds for "any of the three" would be longer than they.
macro_rules! store_on {
    ($connection:ty) => {
        impl ThrottleStore for DieselThrottle<$connection> {
            type Error = DieselThrottleError;

            async fn charge(&self, charge: Charge) -> Result<Option<i64>, Self::Error> {
                let Charge { key, now, step, latest } = charge;
                self.run(move |connection| {
                    let row = auth_throttle::table.find(key.as_bytes().as_slice());
                    for _ in 0..MOST_TRIES {
                        let counted = diesel::update(row.filter(auth_throttle::free_at.le(latest)))
                            .set(
                                auth_throttle::free_at.eq(case_when(
                                    auth_throttle::free_at.gt(now),
                                    auth_throttle::free_at + step,
                                )
                                .otherwise(now.saturating_add(step))),
                            )
                            .execute(connection)?;
                        if counted > 0 {
                            return Ok(None);
                        }
                        let free_at =
                            row.select(auth_throttle::free_at).first::<i64>(connection).optional()?;
                        match free_at {
                            Some(free_at) if free_at > latest => return Ok(Some(free_at)),
                            Some(_) => continue, // refunded in between
                            None => {}
                        }
                        let new = (
                            auth_throttle::id.eq(key.as_bytes().as_slice()),
                            auth_throttle::free_at.eq(now.saturating_add(step)),
                        );
                        match insert_into(auth_throttle::table).values(new).execute(connection) {
                            Ok(_) => return Ok(None),
                            // another attempt was first: it is counted on top of that one
                            Err(DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _)) => {}
                            Err(error) => return Err(error),
                        }
                    }
                    Ok(Some(latest.saturating_add(step)))
                })
                .await
            }

            async fn refund(&self, key: ThrottleKey, step: i64) -> Result<(), Self::Error> {
                self.run(move |connection| {
                    diesel::update(auth_throttle::table.find(key.as_bytes().as_slice()))
                        .set(auth_throttle::free_at.eq(auth_throttle::free_at - step))
                        .execute(connection)
                        .map(drop)
                })
                .await
            }

            async fn forget(&self, key: ThrottleKey) -> Result<(), Self::Error> {
                self.run(move |connection| {
                    diesel::delete(auth_throttle::table.find(key.as_bytes().as_slice()))
                        .execute(connection)
                        .map(drop)
                })
                .await
            }

            async fn purge(&self, now: i64, limit: u32) -> Result<usize, Self::Error> {
                self.run(move |connection| {
                    // two statements: MySQL has no LIMIT in a subquery, PostgreSQL none in DELETE
                    let gone: Vec<Vec<u8>> = auth_throttle::table
                        .filter(auth_throttle::free_at.le(now))
                        .select(auth_throttle::id)
                        .limit(i64::from(limit))
                        .load(connection)?;
                    // the time again: one of them may have been counted up meanwhile
                    let rows = auth_throttle::table
                        .filter(auth_throttle::id.eq_any(gone))
                        .filter(auth_throttle::free_at.le(now));
                    diesel::delete(rows).execute(connection)
                })
                .await
            }
        }
    };
}

#[cfg(feature = "sqlite")]
store_on!(SqliteConnection);
#[cfg(feature = "postgres")]
store_on!(PgConnection);
#[cfg(feature = "mysql")]
store_on!(MysqlConnection);
