//! Futures that are on their way.

use std::{
    future::{Future, poll_fn, ready},
    pin::Pin,
    task::Poll,
};

use tokio::task::unconstrained;

/// A request that has left, and waits for its answer.
pub type Begun<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Begins a request that leaves once it is polled: who makes many of them and waits for the first
/// must not keep the others back. A runtime that wants its turn does not keep it back either.
///
/// # Cancel safety
/// Dropping the future drops the request.
pub async fn begun<T: Send + 'static>(
    request: impl Future<Output = T> + Send + 'static,
) -> Begun<T> {
    let mut request: Begun<T> = Box::pin(unconstrained(request));
    let polled = poll_fn(|cx| Poll::Ready(request.as_mut().poll(cx)));
    match polled.await {
        Poll::Ready(answer) => Box::pin(ready(answer)),
        Poll::Pending => request,
    }
}
