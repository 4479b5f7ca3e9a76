//! The commands, with runc's flags.

use std::path::PathBuf;

use beeline_spawn::oci::{Runtime, features, parse_signal};
use clap::{Args, Subcommand};

use super::create::{CreateArgs, RunArgs};
use super::events::EventsArgs;
use super::exec::ExecArgs;
use super::list::ListArgs;
use super::log::Log;
use super::ps::PsArgs;
use super::update::UpdateArgs;
use super::{create, events, exec, list, ps, say, update};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a container from a bundle; it waits for start
    Create(CreateArgs),
    /// Have a container that was created execute its command
    Start(Id),
    /// Make and start a container
    Run(RunArgs),
    /// Print a container's state as JSON
    State(Id),
    /// Send a signal to a container's init
    Kill(KillArgs),
    /// Remove a container that has ended
    Delete(DeleteArgs),
    /// Run a further process in a container
    Exec(ExecArgs),
    /// List a container's processes
    Ps(PsArgs),
    /// Freeze a container's processes
    Pause(Id),
    /// Let a container's processes go on
    Resume(Id),
    /// Change a container's limits
    Update(UpdateArgs),
    /// Print what a container uses, and when memory was short
    Events(EventsArgs),
    /// List containers
    List(ListArgs),
    /// Write a configuration to begin with
    Spec(SpecArgs),
    /// Print what this runtime can do, as JSON
    Features,
}

#[derive(Debug, Args)]
pub(super) struct Id {
    /// The container's id
    #[arg(value_name = "CONTAINER")]
    pub(super) id: String,
}

#[derive(Debug, Args)]
pub(super) struct KillArgs {
    /// All processes of the container
    #[arg(long, short = 'a')]
    all: bool,
    /// The container's id
    #[arg(value_name = "CONTAINER")]
    id: String,
    /// A name or a number
    #[arg(value_name = "SIGNAL", default_value = "SIGTERM")]
    signal: String,
}

#[derive(Debug, Args)]
pub(super) struct DeleteArgs {
    /// Also one that runs, which is killed, or is not there
    #[arg(long, short = 'f')]
    force: bool,
    /// The container's id
    #[arg(value_name = "CONTAINER")]
    id: String,
}

#[derive(Debug, Args)]
pub(super) struct SpecArgs {
    /// Where config.json goes
    #[arg(long, short = 'b', value_name = "DIRECTORY", default_value = ".")]
    bundle: PathBuf,
    /// For a caller that is not root, with a user namespace
    #[arg(long)]
    rootless: bool,
}

impl Command {
    /// Whether a process of this program is to become a container's.
    pub(super) fn enters_containers(&self) -> bool {
        matches!(self, Self::Create(_) | Self::Run(_) | Self::Exec(_))
    }

    pub(super) fn run(self, runtime: &Runtime, log: &Log) -> anyhow::Result<u8> {
        match self {
            Self::Create(args) => create::create(runtime, args),
            Self::Start(args) => done(runtime.start(&args.id)),
            Self::Run(args) => create::run(runtime, args),
            Self::State(args) => {
                say(&serde_json::to_string_pretty(&runtime.state(&args.id)?)?)?;
                Ok(0)
            }
            Self::Kill(args) => done(runtime.kill(&args.id, parse_signal(&args.signal)?, args.all)),
            Self::Delete(args) => {
                for error in runtime.delete(&args.id, args.force)? {
                    log.warning(&error.into());
                }
                Ok(0)
            }
            Self::Exec(args) => exec::run(runtime, args),
            Self::Ps(args) => ps::run(runtime, &args),
            Self::Pause(args) => done(runtime.pause(&args.id)),
            Self::Resume(args) => done(runtime.resume(&args.id)),
            Self::Update(args) => update::run(runtime, &args),
            Self::Events(args) => events::run(runtime, &args),
            Self::List(args) => list::run(runtime, &args),
            Self::Spec(args) => create::spec(&args.bundle, args.rootless),
            Self::Features => {
                say(&serde_json::to_string_pretty(&features())?)?;
                Ok(0)
            }
        }
    }
}

fn done(result: Result<(), beeline_spawn::oci::Error>) -> anyhow::Result<u8> {
    result?;
    Ok(0)
}
