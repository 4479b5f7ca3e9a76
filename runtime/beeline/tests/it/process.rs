//! Processes of the tests' own, in containers' networks and beside them.

use std::process::{Child, Command, Stdio};

use crate::bed::Bed;

/// A process that ends with this value.
pub(crate) struct Ended(Child);

impl Ended {
    /// Starts it; what it prints is nobody's.
    pub(crate) fn start(mut command: Command) -> Self {
        Self(command.stdout(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `program` in a container's network namespace.
pub(crate) fn within(bed: &Bed, container: &str, program: &str) -> Command {
    let mut command = Command::new("nsenter");
    command.args(["-t", &bed.inspect(container, "{{.State.Pid}}"), "-n", program]);
    command
}
