use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

/// A check that runs when it is awaited, and panics at the line of that `.await`.
#[must_use = "a check runs when it is awaited"]
pub struct Check(Pin<Box<dyn Future<Output = Result<(), String>>>>);

impl Check {
    pub(crate) fn new(work: impl Future<Output = Result<(), String>> + 'static) -> Self {
        Self(Box::pin(work))
    }
}

impl Future for Check {
    type Output = ();

    // An async function cannot be `track_caller`, but the function that `.await` calls can.
    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match self.0.as_mut().poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(())) => Poll::Ready(()),
            Poll::Ready(Err(why)) => panic!("{why}"),
        }
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Check")
    }
}
