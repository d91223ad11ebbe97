//! Faults are kept where they happen: every call into a backend or a callback goes through here.

use std::{
    any::Any,
    fmt,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
};

use futures_util::FutureExt;

use crate::storage::{StorageError, StorageResult};

/// How a call into a backend ended when it did not end well.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    Storage(StorageError),
    Panic(String),
    /// It did what the contract rules out.
    Defect(String),
}

impl Failure {
    /// Whether the handle that was called must be dropped.
    pub(super) const fn is_terminal(&self) -> bool {
        match self {
            Self::Storage(error) => error.is_terminal(),
            Self::Panic(_) | Self::Defect(_) => true,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Storage(error) => error.fmt(f),
            Self::Panic(message) => write!(f, "panicked: {message}"),
            Self::Defect(message) => f.write_str(message),
        }
    }
}

/// Calls a backend; a panic becomes a [`Failure`].
///
/// State shared with the call may be broken after a panic, which is why the handle is dropped then.
#[inline]
pub(super) fn caught<T>(call: impl FnOnce() -> StorageResult<T>) -> Result<T, Failure> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(answer) => answer.map_err(Failure::Storage),
        Err(panic) => Err(Failure::Panic(panic_message(&*panic))),
    }
}

/// The same for a call that waits.
pub(super) async fn caught_async<T>(
    call: impl Future<Output = StorageResult<T>>,
) -> Result<T, Failure> {
    match AssertUnwindSafe(call).catch_unwind().await {
        Ok(answer) => answer.map_err(Failure::Storage),
        Err(panic) => Err(Failure::Panic(panic_message(&*panic))),
    }
}

/// What a panic said.
pub(super) fn panic_message(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}
