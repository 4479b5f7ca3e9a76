//! `beeline oci`: an OCI runtime with runc's command line, for containerd, podman and any bundle.
//!
//! No thread is started here and no runtime of asynchronous tasks: a command is a few system calls.

mod command;
mod create;
mod events;
mod exec;
mod list;
mod log;
mod ps;
mod update;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use beeline_spawn::oci::{DEFAULT_ROOT, Runtime, VERSION};
use clap::Parser;

use command::Command;
use log::{Format, Log};

/// The name under which the binary is an OCI runtime alone, for engines that take a path and no arguments.
pub(crate) const NAME: &str = "beeline-oci";

/// The engines' exit code for an operation that failed.
const FAILED: u8 = 1;

/// An OCI runtime: runs containers from bundles
#[derive(Debug, Parser)]
#[command(name = "beeline oci", bin_name = "beeline oci", max_term_width = 100, disable_version_flag = true)]
#[command(arg_required_else_help = true)]
struct Cli {
    /// Where containers are remembered
    #[arg(long, value_name = "DIRECTORY", default_value = DEFAULT_ROOT)]
    root: PathBuf,
    /// A file to append errors to
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// How errors are written to the log
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Text)]
    log_format: Format,
    /// Log what is done, too
    #[arg(long)]
    debug: bool,
    /// Have systemd make the groups: not supported
    #[arg(long)]
    systemd_cgroup: bool,
    /// Whether the caller is root of its user namespace only: this runtime needs to be root
    #[arg(long, value_name = "auto|true|false", default_value = "auto")]
    rootless: String,
    /// Print the version
    #[arg(long, short = 'v')]
    version: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

/// Whether the command line is for the runtime, and where its arguments begin.
pub(crate) fn arguments(args: &[OsString]) -> Option<usize> {
    let called = args.first().map(Path::new).and_then(Path::file_name);
    if called.is_some_and(|name| name == NAME) {
        return Some(1);
    }
    (args.get(1).is_some_and(|arg| arg == "oci")).then_some(2)
}

/// Runs the runtime; its arguments begin at `first`.
pub(crate) fn main(args: &[OsString], first: usize) -> ExitCode {
    let words = std::iter::once(OsString::from("beeline oci")).chain(args.iter().skip(first).cloned());
    let cli = match Cli::try_parse_from(words) {
        Ok(cli) => cli,
        Err(error) => {
            // Printing fails only when there is no one to read it.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(FAILED) } else { ExitCode::SUCCESS };
        }
    };
    if cli.version {
        return version();
    }
    let log = Log::new(cli.log, cli.log_format, cli.debug);
    match run(cli.command, cli.systemd_cgroup, &cli.rootless, &Runtime::new(&cli.root), &log, args) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            log.error(&error);
            ExitCode::from(FAILED)
        }
    }
}

fn run(
    command: Option<Command>,
    systemd_cgroup: bool,
    rootless: &str,
    runtime: &Runtime,
    log: &Log,
    args: &[OsString],
) -> anyhow::Result<u8> {
    if systemd_cgroup {
        anyhow::bail!("--systemd-cgroup is not supported: have the engine use the cgroupfs driver");
    }
    if rootless == "true" {
        anyhow::bail!("--rootless=true is not supported: this runtime needs to be root");
    }
    let command = command.ok_or_else(|| anyhow::anyhow!("a command is missing: see beeline oci --help"))?;
    if command.enters_containers() {
        // A file that a container could write to is no way to enter it.
        beeline_spawn::reenter_protected(args)
            .map_err(|error| anyhow::Error::from(error).context("mount this program read-only for itself"))?;
    }
    log.debug(&format!("{command:?}"));
    command.run(runtime, log)
}

#[allow(clippy::print_stdout, reason = "the command line talks to its caller")]
fn version() -> ExitCode {
    println!("beeline-oci version {}\nspec: {VERSION}", env!("CARGO_PKG_VERSION"));
    ExitCode::SUCCESS
}

/// Writes a line to standard output.
fn say(text: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    let mut output = std::io::stdout().lock();
    writeln!(output, "{text}")?;
    Ok(output.flush()?)
}
