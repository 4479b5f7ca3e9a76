//! Beeline's command line client. It speaks the Docker Engine API, to Beeline's daemon or any other.
//!
//! A command is one file in `command/`; its flags are declared there once, and help, errors and completion derive from
//! them. Exit codes are Docker's: 125 when Beeline itself fails to run a container, 126 when the command cannot be
//! executed, 127 when it is not found, otherwise the container's own.

#![forbid(unsafe_code)]

mod attach;
mod autostart;
mod client;
mod command;
mod error;
mod filter;
mod flow;
mod host;
mod mount;
mod network;
mod output;
mod publish;
mod restart;
mod signals;
mod terminal;
mod units;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use crate::client::Client;
use crate::command::Command;
use crate::error::Failure;
use crate::host::Host;

/// A container engine whose packets take the straight path
#[derive(Debug, Parser)]
#[command(name = "beeline", bin_name = "beeline", version, propagate_version = false, max_term_width = 100)]
#[command(after_help = "Run 'beeline daemon --help' for the server's own flags.")]
struct Cli {
    /// The daemon to talk to: unix://PATH or tcp://HOST:PORT
    #[arg(short = 'H', long, env = "DOCKER_HOST", value_name = "URL", default_value = host::DEFAULT)]
    host: Host,
    #[command(subcommand)]
    command: Command,
}

/// Runs the client with the whole command line, the program's name included, to its exit code.
pub fn run(args: &[OsString]) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => return usage(&error, args),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return error::report(&Failure::from(anyhow::Error::from(error))),
    };
    let client = Client::new(cli.host);
    let result = runtime.block_on(cli.command.run(&client));
    // A thread may still wait for standard input; nobody needs what it would read.
    runtime.shutdown_background();
    match result {
        Ok(code) => code,
        Err(failure) => error::report(&failure),
    }
}

/// Prints clap's help or complaint. A wrong flag of `run` ends with 125, as Docker's does.
fn usage(error: &clap::Error, args: &[OsString]) -> ExitCode {
    // Printing fails only when there is no one to read it.
    let _ = error.print();
    if !error.use_stderr() {
        return ExitCode::SUCCESS;
    }
    let run = args.iter().skip(1).any(|arg| arg == "run");
    ExitCode::from(if run { error::ENGINE_FAILED } else { 1 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn every_flag_is_declared_once_and_has_help() {
        Cli::command().debug_assert();
        for command in Cli::command().get_subcommands() {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for flag in command.get_arguments() {
                assert!(flag.get_help().is_some(), "{} {}", command.get_name(), flag.get_id());
            }
        }
    }
}
