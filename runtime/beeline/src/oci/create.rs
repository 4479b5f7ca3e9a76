//! `create`, `run` and `spec`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use beeline_spawn::oci::{CreateRequest, Keep, Runtime, check_preserved};
use clap::Args;
use oci_spec::runtime::{Spec, get_rootless_mounts};

#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// The directory with config.json
    #[arg(long, short = 'b', value_name = "DIRECTORY", default_value = ".")]
    bundle: PathBuf,
    /// A Unix socket that gets the terminal's other end
    #[arg(long, value_name = "SOCKET")]
    console_socket: Option<PathBuf>,
    /// A file that gets init's process id
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// Change the root without pivot_root, as a root on an initial ramdisk needs
    #[arg(long)]
    no_pivot: bool,
    /// Keep the caller's session keyring
    #[arg(long)]
    no_new_keyring: bool,
    /// Pass on so many descriptors from number 3 on
    #[arg(long, value_name = "N", default_value_t = 0)]
    preserve_fds: u32,
    /// The container's id
    #[arg(value_name = "CONTAINER")]
    id: String,
}

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// Do not wait for the container's end
    #[arg(long, short = 'd')]
    detach: bool,
    /// Keep the container when it has ended
    #[arg(long)]
    keep: bool,
    /// Reap orphans: a container's own processes are its init's
    #[arg(long)]
    no_subreaper: bool,
    #[command(flatten)]
    create: CreateArgs,
}

impl CreateArgs {
    fn request(self) -> anyhow::Result<CreateRequest> {
        Ok(CreateRequest {
            id: self.id,
            bundle: self.bundle,
            console_socket: self.console_socket,
            pid_file: self.pid_file.map(absolute).transpose()?,
            no_pivot: self.no_pivot,
            no_new_keyring: self.no_new_keyring,
            preserve_fds: preserved(self.preserve_fds)?,
        })
    }
}

/// Against the directory of the call: making a container changes it.
pub(super) fn absolute(path: PathBuf) -> anyhow::Result<PathBuf> {
    Ok(std::path::absolute(path)?)
}

/// How many descriptors are passed on, those of socket activation included.
pub(super) fn preserved(asked: u32) -> anyhow::Result<u32> {
    let listening = match std::env::var("LISTEN_FDS") {
        Ok(count) => count.parse::<u32>().with_context(|| format!("LISTEN_FDS is {count:?}"))?,
        Err(_) => 0,
    };
    let count = asked + listening;
    check_preserved(count)?;
    Ok(count)
}

pub(super) fn create(runtime: &Runtime, args: CreateArgs) -> anyhow::Result<u8> {
    runtime.create(&args.request()?)?;
    Ok(0)
}

pub(super) fn run(runtime: &Runtime, args: RunArgs) -> anyhow::Result<u8> {
    let keep = match (args.detach, args.keep) {
        (true, _) => Keep::Detached,
        (false, true) => Keep::Yes,
        (false, false) => Keep::No,
    };
    Ok(runtime.run(&args.create.request()?, keep)?)
}

/// Writes a configuration to begin with.
pub(super) fn spec(bundle: &Path, rootless: bool) -> anyhow::Result<u8> {
    let path = bundle.join("config.json");
    if path.exists() {
        bail!("{} exists already: remove it first", path.display());
    }
    let mut spec = Spec::default();
    if rootless {
        let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        spec = Spec::rootless(uid, gid);
        spec.set_mounts(Some(get_rootless_mounts()));
    }
    spec.set_hostname(Some("beeline".to_owned()));
    if let Some(process) = spec.process_mut() {
        process.set_terminal(Some(true));
    }
    let text = serde_json::to_string_pretty(&spec)?;
    std::fs::write(&path, text + "\n").with_context(|| format!("write {}", path.display()))?;
    Ok(0)
}
