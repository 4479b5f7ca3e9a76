//! Why an exec could not be started, in the words and codes of Docker: its clients go by them.

use nix::errno::Errno;
use nix::libc::{ENOENT, ENOTDIR};

use super::ExecConfig;
use crate::container::shim::ShimError;
use crate::error::{Error, chain};

/// Docker's exit code for whatever is not "not found".
pub(super) const NOT_EXECUTED: u8 = 126;
const NOT_FOUND: u8 = 127;

/// The failure of a shim as an exec's.
pub(super) fn error(config: &ExecConfig, error: &ShimError) -> Error {
    let program = config.cmd.first().map_or("", String::as_str);
    let ShimError::Failed(failure) = error else {
        return Error::Start { message: format!("exec failed: {}", chain(error)), code: NOT_EXECUTED };
    };
    let (code, reason) = match (failure.kind.exit_code(), failure.errno) {
        (127, _) if program.contains('/') => {
            (NOT_FOUND, format!("exec: \"{program}\": stat {program}: no such file or directory"))
        }
        (127, _) => (NOT_FOUND, format!("exec: \"{program}\": executable file not found in $PATH")),
        (126, Some(errno)) => {
            (NOT_EXECUTED, format!("exec: \"{program}\": {}", Errno::from_raw(errno).desc().to_lowercase()))
        }
        // Docker takes a missing working directory for a missing command.
        (_, Some(ENOENT | ENOTDIR)) => (NOT_FOUND, failure.message.clone()),
        _ => (NOT_EXECUTED, failure.message.clone()),
    };
    let message =
        format!("OCI runtime exec failed: exec failed: unable to start container process: {reason}: unknown");
    Error::Start { message, code }
}

#[cfg(test)]
mod tests {
    use beeline_spawn::protocol::{Failure, FailureKind};
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("nope", FailureKind::NotFound, 2, 127, "exec: \"nope\": executable file not found in $PATH")]
    #[case("/no", FailureKind::NotFound, 2, 127, "exec: \"/no\": stat /no: no such file or directory")]
    #[case("/etc/passwd", FailureKind::NotExecutable, 13, 126, "exec: \"/etc/passwd\": permission denied")]
    #[case("ls", FailureKind::Setup, 2, 127, "change to /x")]
    #[case("ls", FailureKind::Setup, 12, 126, "change to /x")]
    fn texts_and_codes_are_dockers(
        #[case] program: &str,
        #[case] kind: FailureKind,
        #[case] errno: i32,
        #[case] expected: u8,
        #[case] text: &str,
    ) {
        let config = ExecConfig { cmd: vec![program.into()], ..ExecConfig::default() };
        let failure = Failure { kind, message: "change to /x".into(), errno: Some(errno) };
        let Error::Start { message, code } = error(&config, &ShimError::Failed(failure)) else {
            panic!("another error");
        };
        assert_eq!(code, expected);
        assert_eq!(
            message,
            format!(
                "OCI runtime exec failed: exec failed: unable to start container process: {text}: unknown"
            )
        );
    }
}
