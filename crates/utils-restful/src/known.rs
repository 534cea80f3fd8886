use std::error::Error as StdError;

use crate::{catalogue::INTERNAL, cause_of::CauseOf, kind::ErrorKind};

/// The kind of an error that `?` met: what HTTP has a status for, else the server's fault.
pub(crate) fn kind_of(error: &(dyn StdError + 'static)) -> &'static ErrorKind {
    // also below an error that wraps it, such as that of a session or of the job table
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(cause) = error.downcast_ref::<CauseOf>() {
            return cause.kind();
        }
        #[cfg(feature = "diesel")]
        if let Some(kind) = kind_of_diesel(error) {
            return kind;
        }
        cause = error.source();
    }
    &INTERNAL
}

#[cfg(feature = "diesel")]
fn kind_of_diesel(error: &(dyn StdError + 'static)) -> Option<&'static ErrorKind> {
    use diesel::result::{DatabaseErrorKind, Error};

    use crate::catalogue::{ALREADY_EXISTS, BUSY, NOT_FOUND};

    // the pool's only error: no connection became free, or could be made, within its connection_timeout
    if error.is::<diesel::r2d2::PoolError>() {
        return Some(&BUSY);
    }
    match error.downcast_ref::<Error>()? {
        Error::NotFound => Some(&NOT_FOUND),
        Error::DatabaseError(DatabaseErrorKind::UniqueViolation, _) => Some(&ALREADY_EXISTS),
        _ => None,
    }
}
