//! `exec`.

use std::path::PathBuf;
use std::str::FromStr as _;

use anyhow::Context as _;
use beeline_spawn::oci::{ExecRequest, Runtime};
use clap::Args;
use oci_spec::runtime::{Capabilities, Capability};

use super::create::{absolute, preserved};

#[derive(Debug, Args)]
pub(super) struct ExecArgs {
    /// A Unix socket that gets the terminal's other end
    #[arg(long, value_name = "SOCKET")]
    console_socket: Option<PathBuf>,
    /// The working directory
    #[arg(long, value_name = "DIRECTORY")]
    cwd: Option<PathBuf>,
    /// A further variable, NAME=VALUE
    #[arg(long, short = 'e', value_name = "VARIABLE")]
    env: Vec<String>,
    /// Give the process a terminal
    #[arg(long, short = 't')]
    tty: bool,
    /// Numbers: UID or UID:GID
    #[arg(long, short = 'u', value_name = "UID[:GID]")]
    user: Option<String>,
    /// A further group, by its number
    #[arg(long, short = 'g', value_name = "GID")]
    additional_gids: Vec<u32>,
    /// The process as JSON, instead of a command
    #[arg(long, short = 'p', value_name = "FILE")]
    process: Option<PathBuf>,
    /// Do not wait for the process' end
    #[arg(long, short = 'd')]
    detach: bool,
    /// A file that gets the process id
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// An SELinux label
    #[arg(long, value_name = "LABEL")]
    process_label: Option<String>,
    /// An AppArmor profile
    #[arg(long, value_name = "PROFILE")]
    apparmor: Option<String>,
    /// No privileges by execution
    #[arg(long)]
    no_new_privs: bool,
    /// A further capability
    #[arg(long, short = 'c', value_name = "CAPABILITY")]
    cap: Vec<String>,
    /// Pass on so many descriptors from number 3 on
    #[arg(long, value_name = "N", default_value_t = 0)]
    preserve_fds: u32,
    /// Also in a paused container, where the process will wait
    #[arg(long)]
    ignore_paused: bool,
    /// The container's id
    #[arg(value_name = "CONTAINER")]
    id: String,
    /// The command and its arguments
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

pub(super) fn run(runtime: &Runtime, args: ExecArgs) -> anyhow::Result<u8> {
    let request = ExecRequest {
        id: args.id,
        process: args.process,
        args: args.args,
        cwd: args.cwd,
        env: args.env,
        tty: args.tty,
        user: args.user.as_deref().map(user).transpose()?,
        additional_gids: args.additional_gids,
        capabilities: args
            .cap
            .iter()
            .map(|name| capability(name))
            .collect::<anyhow::Result<Capabilities>>()?,
        no_new_privileges: args.no_new_privs,
        apparmor: args.apparmor,
        label: args.process_label,
        detach: args.detach,
        pid_file: args.pid_file.map(absolute).transpose()?,
        console_socket: args.console_socket,
        preserve_fds: preserved(args.preserve_fds)?,
        ignore_paused: args.ignore_paused,
    };
    Ok(runtime.exec(&request)?)
}

fn user(text: &str) -> anyhow::Result<(u32, u32)> {
    let (uid, gid) = text.split_once(':').unwrap_or((text, "0"));
    let number =
        |part: &str| part.parse::<u32>().with_context(|| format!("--user {text:?} is not UID[:GID]"));
    Ok((number(uid)?, number(gid)?))
}

fn capability(name: &str) -> anyhow::Result<Capability> {
    let upper = name.to_ascii_uppercase();
    let short = upper.strip_prefix("CAP_").unwrap_or(&upper);
    Capability::from_str(short).ok().with_context(|| format!("there is no capability {name:?}"))
}
