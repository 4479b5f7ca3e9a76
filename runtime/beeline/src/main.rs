//! A container engine whose packets take the straight path.
//!
//! One file, five roles, told apart before any thread exists: the spawner the daemon starts, the embedded image's
//! server, the daemon, an OCI runtime, and otherwise the command line client.

#![forbid(unsafe_code)]

mod config;
mod daemon;
mod oci;
mod telemetry;
mod whoami;

use std::env;
use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<OsString> = env::args_os().collect();
    if let Some(first) = oci::arguments(&args) {
        return oci::main(&args, first);
    }
    match args.get(1).and_then(|arg| arg.to_str()) {
        Some(beeline_spawn::SPAWNER_ARG) => beeline_spawn::spawner_main(),
        Some("whoami") => whoami::main(),
        Some("daemon") => daemon::main(&args),
        _ => beeline_cli::run(&args),
    }
}
