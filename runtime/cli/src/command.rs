//! The commands, one file each.

mod attach;
mod capture;
mod commit;
mod cp;
mod create;
mod diff;
mod drops;
mod exec;
mod export;
mod flows;
mod image_progress;
mod images;
mod import;
mod info;
mod inspect;
mod kill;
mod load;
mod logs;
mod network;
mod pause;
mod ports;
mod ps;
mod rename;
mod rm;
mod rmi;
mod run;
mod save;
mod start;
mod stats;
mod stop;
mod tag;
mod top;
mod unpause;
mod update;
mod version;
mod volume;
mod wait;

use clap::Subcommand;

use crate::client::Client;
use crate::error::Outcome;

/// What can be asked for.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create and start a container from an image
    Run(Box<run::Run>),
    /// Create a container from an image without starting it
    Create(Box<create::Create>),
    /// Execute a command in a running container
    Exec(exec::Exec),
    /// Join the terminal to a running container's input and output
    Attach(attach::Attach),
    /// List containers
    Ps(ps::Ps),
    /// Show all containers live, or list one's processes
    Top(top::Top),
    /// Show what a container wrote
    Logs(logs::Logs),
    /// Show all that is known of containers or images
    Inspect(inspect::Inspect),
    /// Start stopped containers
    Start(start::Start),
    /// Stop containers: the stop signal, then SIGKILL after a timeout
    Stop(stop::Stop),
    /// Stop containers and start them again
    Restart(stop::Stop),
    /// Stop every process of containers where it is
    Pause(pause::Pause),
    /// Let paused containers go on
    Unpause(unpause::Unpause),
    /// Change limits and restart policy of containers
    Update(update::Update),
    /// Give a container another name
    Rename(rename::Rename),
    /// Send a signal to containers
    Kill(kill::Kill),
    /// Remove containers
    Rm(rm::Rm),
    /// Copy files between a container and here
    Cp(cp::Cp),
    /// Show what is different in a container from its image
    Diff(diff::Diff),
    /// Write a container's files to an archive
    Export(export::Export),
    /// Make an image of a container
    Commit(commit::Commit),
    /// Wait until containers stop, and print their exit codes
    Wait(wait::Wait),
    /// Manage networks, and which containers are on them
    Network(network::Network),
    /// Manage volumes
    Volume(volume::Volume),
    /// Show what is published, to whom, with hits
    Ports(ports::Ports),
    /// Show what containers have to do with whom, as it happens
    Flows(flows::Flows),
    /// Show what was dropped last, why, and what to do about it
    Drops(drops::Drops),
    /// Write a container's packets as pcapng, for tcpdump or Wireshark
    Capture(capture::Capture),
    /// Show what containers use, live
    Stats(stats::Stats),
    /// List images
    Images(images::Images),
    /// Make an image of a root file system's tar archive
    Import(import::Import),
    /// Load images from an archive of `docker save` or an OCI archive
    Load(load::Load),
    /// Save images to an archive that `docker load` takes
    Save(save::Save),
    /// Remove images
    Rmi(rmi::Rmi),
    /// Give an image another name
    Tag(tag::Tag),
    /// Show the versions of client and daemon
    Version(version::Version),
    /// Show what the daemon says of itself and its host
    Info(info::Info),
    /// Run the daemon
    #[command(disable_help_flag = true)]
    Daemon {
        /// The daemon's flags: see `beeline daemon --help`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        flags: Vec<String>,
    },
}

impl Command {
    /// Carries the command out.
    pub(crate) async fn run(self, client: &Client) -> Outcome {
        match self {
            Self::Run(run) => run.run(client).await,
            Self::Create(create) => create.run(client).await,
            Self::Cp(cp) => cp.run(client).await,
            Self::Diff(diff) => diff.run(client).await,
            Self::Export(export) => export.run(client).await,
            Self::Commit(commit) => commit.run(client).await,
            Self::Exec(exec) => exec.run(client).await,
            Self::Attach(attach) => attach.run(client).await,
            Self::Ps(ps) => ps.run(client).await,
            Self::Top(top) => top.run(client).await,
            Self::Logs(logs) => logs.run(client).await,
            Self::Inspect(inspect) => inspect.run(client).await,
            Self::Start(start) => start.run(client).await,
            Self::Stop(stop) => stop.run(client).await,
            Self::Restart(stop) => stop.restart(client).await,
            Self::Pause(pause) => pause.run(client).await,
            Self::Unpause(unpause) => unpause.run(client).await,
            Self::Update(update) => update.run(client).await,
            Self::Rename(rename) => rename.run(client).await,
            Self::Kill(kill) => kill.run(client).await,
            Self::Rm(rm) => rm.run(client).await,
            Self::Wait(wait) => wait.run(client).await,
            Self::Network(network) => network.run(client).await,
            Self::Volume(volume) => volume.run(client).await,
            Self::Ports(ports) => ports.run(client).await,
            Self::Flows(flows) => flows.run(client).await,
            Self::Drops(drops) => drops.run(client).await,
            Self::Capture(capture) => capture.run(client).await,
            Self::Stats(stats) => stats.run(client).await,
            Self::Images(images) => images.run(client).await,
            Self::Import(import) => import.run(client).await,
            Self::Load(load) => load.run(client).await,
            Self::Save(save) => save.run(client).await,
            Self::Rmi(rmi) => rmi.run(client).await,
            Self::Tag(tag) => tag.run(client).await,
            Self::Version(version) => version.run(client).await,
            Self::Info(info) => info.run(client).await,
            // The binary dispatches `beeline daemon` before it comes here; -H before it is what leads here.
            Self::Daemon { .. } => {
                Err(anyhow::anyhow!("give the daemon's flags after `daemon`: beeline daemon -H unix:///path")
                    .into())
            }
        }
    }
}
