use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

/// A check that runs when it is awaited, and panics at the line of that `.await`.
#[must_use = "a check runs when it is awaited"]
pub struct Check<'a, T = ()>(Pin<Box<dyn Future<Output = Result<T, String>> + 'a>>);

impl<'a, T> Check<'a, T> {
    pub(crate) fn new(work: impl Future<Output = Result<T, String>> + 'a) -> Self {
        Self(Box::pin(work))
    }
}

impl<T> Future for Check<'_, T> {
    type Output = T;

    // An async function cannot be `track_caller`, but the function that `.await` calls can.
    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        match self.0.as_mut().poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(seen)) => Poll::Ready(seen),
            Poll::Ready(Err(why)) => panic!("{why}"),
        }
    }
}

impl<T> fmt::Debug for Check<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Check")
    }
}
