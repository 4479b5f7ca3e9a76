//! `beeline exec`: create, start with the terminal's streams, and ask for the exit code.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use beeline_wire::exec::{ExecCreateRequest, ExecCreateResponse, ExecInspect, ExecStartRequest};
use clap::Args;

use super::run::environment;
use crate::attach::{self, Ended, Streams};
use crate::client::{Client, path};
use crate::error::Outcome;
use crate::signals;
use crate::terminal::{self, RawMode};

/// Flags of `beeline exec`.
#[derive(Debug, Args)]
pub(crate) struct Exec {
    /// Leave the command running in the background
    #[arg(short, long)]
    detach: bool,
    /// The keys that leave the command running [default: ctrl-p,ctrl-q]
    #[arg(long, value_name = "KEYS", value_parser = attach::parse_keys)]
    detach_keys: Option<String>,
    /// Set a variable, or pass the client's own on: NAME=VALUE or NAME; may be repeated
    #[arg(short, long, value_name = "VARIABLE")]
    env: Vec<String>,
    /// Read variables from a file, one a line; may be repeated
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Pass standard input on
    #[arg(short, long)]
    interactive: bool,
    /// Give the command every capability
    #[arg(long)]
    privileged: bool,
    /// Give the command a terminal
    #[arg(short, long)]
    tty: bool,
    /// The user and group: NAME or ID, with :GROUP if wanted
    #[arg(short, long, value_name = "USER")]
    user: Option<String>,
    /// The working directory
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// Name or id of the container
    container: String,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    command: Vec<String>,
}

impl Exec {
    pub(crate) async fn run(self, client: &Client) -> Outcome {
        if self.tty && self.interactive && !self.detach && !terminal::is_interactive() {
            return Err(anyhow!("-t needs a terminal, and standard input is none; leave -t out").into());
        }
        let created: ExecCreateResponse =
            client.post_json(&path("/containers/{}/exec", &self.container), &self.request()?).await?;
        let start = path("/exec/{}/start", &created.id);
        let request = ExecStartRequest {
            detach: self.detach,
            tty: self.tty,
            console_size: terminal::size().filter(|_| self.tty).map(|(columns, rows)| [rows, columns]),
        };
        if self.detach {
            client.send_json(&start, &request).await?;
            return Ok(ExitCode::SUCCESS);
        }
        let attached = client.hijack_json(&start, &request).await?;
        let raw = (self.tty && self.interactive).then(RawMode::enter).transpose()?;
        let resize = path("/exec/{}/resize", &created.id);
        let _size = self.tty.then(|| signals::follow_size(client, resize)).transpose()?;
        let streams = Streams { stdin: self.interactive, tty: self.tty };
        let keys = attach::keys(self.detach_keys.as_deref());
        let ended = attach::shuttle(attached, streams, keys).await;
        drop(raw);
        if ended.context("attached to the command")? == Ended::Detached {
            return Ok(ExitCode::SUCCESS);
        }
        let exec: ExecInspect = client.get(&path("/exec/{}/json", &created.id)).await?;
        let code = exec.exit_code.context("the daemon does not know how the command ended")?;
        Ok(ExitCode::from(u8::try_from(code & 0xff).unwrap_or(1)))
    }

    fn request(&self) -> anyhow::Result<ExecCreateRequest> {
        Ok(ExecCreateRequest {
            user: self.user.clone().unwrap_or_default(),
            privileged: self.privileged,
            tty: self.tty,
            console_size: None,
            attach_stdin: self.interactive && !self.detach,
            attach_stderr: !self.detach,
            attach_stdout: !self.detach,
            detach_keys: self.detach_keys.clone().unwrap_or_default(),
            env: Some(environment(&self.env_file, &self.env)?),
            working_dir: self.workdir.clone().unwrap_or_default(),
            cmd: Some(self.command.clone()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        exec: Exec,
    }

    #[test]
    fn flags_end_at_the_container_and_the_rest_is_the_command() {
        let line = "exec -it -u 5:6 -w /x -e A=b --detach-keys ctrl-a web ls -d -u".split(' ');
        let exec = Line::try_parse_from(line).unwrap().exec;
        let request = exec.request().unwrap();
        assert_eq!(request.cmd.unwrap(), ["ls", "-d", "-u"]);
        assert_eq!((request.user.as_str(), request.working_dir.as_str()), ("5:6", "/x"));
        assert_eq!(request.env.unwrap(), ["A=b"]);
        assert!(request.tty && request.attach_stdin && request.attach_stdout && !exec.detach);
        assert!(Line::try_parse_from(["exec", "--detach-keys", "ctrl-", "web", "ls"]).is_err());
    }
}
