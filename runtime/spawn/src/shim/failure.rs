//! Errors as clients are told them.

use std::error::Error;
use std::io;

use crate::container;
use crate::protocol::{Failure, FailureKind};

/// An error with all its sources, in one line.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

/// Building or executing the container failed.
pub(super) fn of_container(error: &container::Error) -> Failure {
    let errno = errno(error);
    let kind = match (error, errno) {
        (container::Error::Exec { .. }, Some(libc::ENOENT | libc::ENOTDIR)) => FailureKind::NotFound,
        (container::Error::Exec { .. }, _) => FailureKind::NotExecutable,
        _ => FailureKind::Setup,
    };
    Failure { kind, message: chain(error), errno }
}

/// What else of the container's set-up failed.
pub(super) fn of_setup(error: &(dyn Error + 'static)) -> Failure {
    Failure { kind: FailureKind::Setup, message: chain(error), errno: errno(error) }
}

/// A request failed in the kernel.
pub(super) fn of_request(operation: &str, error: &io::Error) -> Failure {
    Failure {
        kind: FailureKind::State,
        message: format!("{operation}: {error}"),
        errno: error.raw_os_error(),
    }
}

/// A request does not fit the container's state.
pub(super) fn state(operation: &str, id: &str, reason: &str) -> Failure {
    Failure {
        kind: FailureKind::State,
        message: format!("cannot {operation} container {id}: {reason}"),
        errno: None,
    }
}

/// There is no such exec, or no longer.
pub(super) fn no_exec(id: &str) -> Failure {
    Failure { kind: FailureKind::State, message: format!("there is no exec {id}"), errno: None }
}

/// The first system error number among an error and its sources.
fn errno(error: &(dyn Error + 'static)) -> Option<i32> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(errno) = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
            return Some(errno);
        }
        next = error.source();
    }
    None
}
