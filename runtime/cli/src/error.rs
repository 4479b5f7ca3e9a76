//! How a command fails: its text for a person, its code for a script.

use std::process::ExitCode;

use crate::client;
use crate::output;

/// The engine could not run the container (docker run's EXIT STATUS).
pub(crate) const ENGINE_FAILED: u8 = 125;

/// A failed command.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: anyhow::Error,
    pub(crate) code: u8,
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { error: error.into(), code: 1 }
    }
}

/// The outcome of a command.
pub(crate) type Outcome = Result<ExitCode, Failure>;

/// Gives an error another exit code than 1.
pub(crate) trait WithCode<T> {
    /// Makes a failure of the error that ends with `code`.
    fn code(self, code: u8) -> Result<T, Failure>;
}

impl<T, E: Into<anyhow::Error>> WithCode<T> for Result<T, E> {
    fn code(self, code: u8) -> Result<T, Failure> {
        self.map_err(|error| Failure { error: error.into(), code })
    }
}

/// Prints the failure and turns it into an exit code.
pub(crate) fn report(failure: &Failure) -> ExitCode {
    let from_daemon = matches!(failure.error.downcast_ref(), Some(client::Error::Api { .. }));
    if output::is_broken_pipe(&failure.error) {
        // `beeline ps | head -1`: the reader has seen enough.
        return ExitCode::SUCCESS;
    }
    let who = if from_daemon { "beeline: error from daemon" } else { "beeline" };
    output::complain(&format!("{who}: {:#}", failure.error));
    ExitCode::from(failure.code)
}

/// Runs `each` for every name, goes on after failures, and fails if any did: what `beeline rm a b c` wants.
pub(crate) async fn for_each<F>(names: &[String], mut each: impl FnMut(String) -> F) -> Outcome
where
    F: Future<Output = Result<(), Failure>>,
{
    let mut code = ExitCode::SUCCESS;
    for name in names {
        if let Err(failure) = each(name.clone()).await {
            code = report(&failure);
        }
    }
    Ok(code)
}
