use crate::{
    api_error::{ApiError, Result},
    catalogue::NOT_FOUND,
};

/// `.or_not_found()?` on an `Option`: `None` is a 404.
///
/// ```
/// use utils_restful::OrNotFound;
///
/// let error = None::<u32>.or_not_found().unwrap_err();
/// assert_eq!(error.status().as_u16(), 404);
/// ```
pub trait OrNotFound {
    /// What is there if it is found.
    type Found;

    /// The value, or 404 `{"_errors": ["Not Found"]}`.
    ///
    /// # Errors
    /// An [`ApiError`] with status 404 if there is no value.
    fn or_not_found(self) -> Result<Self::Found>;
}

impl<T> OrNotFound for Option<T> {
    type Found = T;

    fn or_not_found(self) -> Result<T> {
        self.ok_or_else(|| ApiError::bare(&NOT_FOUND))
    }
}

/// `.or_respond()?` on the result of something that fails with an answer of its own.
///
/// ```
/// use actix_web::{FromRequest, HttpRequest, web};
/// use utils_restful::{OrRespond, Result};
///
/// async fn page(req: HttpRequest) -> Result<String> {
///     // without `or_respond`, a bad query would be this server's fault: a hidden 500
///     let query = web::Query::<Vec<(String, u32)>>::extract(&req).await.or_respond()?;
///     Ok(format!("{} numbers", query.len()))
/// }
/// ```
pub trait OrRespond<T> {
    /// The value, or the answer that the error makes of itself.
    ///
    /// # Errors
    /// An [`ApiError`] with the status, headers and messages of the error's response.
    fn or_respond(self) -> Result<T>;
}

impl<T, E: Into<actix_web::Error>> OrRespond<T> for std::result::Result<T, E> {
    fn or_respond(self) -> Result<T> {
        self.map_err(ApiError::from_response)
    }
}

/// Returns an [`ApiError`] from the function unless a condition holds.
///
/// The status is the name of one of [`StatusCode`](crate::StatusCode)'s constants or an expression of that
/// type. The message is a format string and its arguments; without one the client sees the status in words.
///
/// ```
/// use utils_restful::{Result, ensure};
///
/// fn withdraw(balance: u32, amount: u32) -> Result<u32> {
///     ensure!(amount > 0, UNPROCESSABLE_ENTITY);
///     ensure!(amount <= balance, CONFLICT, "There are only {balance} left.");
///     Ok(balance - amount)
/// }
/// assert_eq!(withdraw(5, 7).unwrap_err().to_string(), "There are only 5 left.");
/// assert_eq!(withdraw(5, 0).unwrap_err().to_string(), "Unprocessable Entity");
/// ```
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $status:ident $(,)?) => {
        if !$condition {
            return ::core::result::Result::Err($crate::ApiError::from_status($crate::StatusCode::$status).into());
        }
    };
    ($condition:expr, $status:ident, $($message:tt)+) => {
        $crate::ensure!($condition, $crate::StatusCode::$status, $($message)+)
    };
    ($condition:expr, $status:expr $(,)?) => {
        if !$condition {
            return ::core::result::Result::Err($crate::ApiError::from_status($status).into());
        }
    };
    ($condition:expr, $status:expr, $($message:tt)+) => {
        if !$condition {
            return ::core::result::Result::Err($crate::ApiError::new($status, ::std::format!($($message)+)).into());
        }
    };
}
