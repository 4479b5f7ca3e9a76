//! `beeline run`: create, attach, start, wait, in the order that loses neither output nor exit code.

mod devices;
mod flags;
mod health;
mod isolation;
mod request;

use std::process::ExitCode;

use anyhow::{Context, anyhow};
use beeline_wire::container::create::CreateResponse;
use beeline_wire::container::wait::WaitResponse;
use http::{Method, Response};
use hyper::body::Incoming;

pub(crate) use self::flags::Run;
pub(crate) use self::request::{environment, pairs};
use crate::attach::{self, Ended, Streams};
use crate::client::{self, Client, Hijacked, path, query};
use crate::error::{ENGINE_FAILED, Failure, Outcome, WithCode, report};
use crate::terminal::{self, RawMode};
use crate::{autostart, output, signals};

impl Run {
    pub(crate) async fn run(self, client: &Client) -> Outcome {
        self.checked().code(ENGINE_FAILED)?;
        autostart::ensure(client).await.code(ENGINE_FAILED)?;
        let id = self.create(client).await?;
        if self.detach {
            start(client, &id).await?;
            output::line(&id)?;
            return Ok(ExitCode::SUCCESS);
        }
        let attached = self.attach(client, &id).await.code(ENGINE_FAILED)?;
        // The answer's headers have arrived before the start: a container that ends at once is not missed.
        let condition = if self.rm { "removed" } else { "next-exit" };
        let wait = query(&path("/containers/{}/wait", &id), &[("condition", condition)]);
        let exit = client.open(Method::POST, &wait).await.code(ENGINE_FAILED)?;
        start(client, &id).await?;
        self.follow(client, &id, attached, exit).await
    }

    /// What clap cannot know: a terminal needs one.
    fn checked(&self) -> anyhow::Result<()> {
        if self.tty && self.interactive && !self.detach && !terminal::is_interactive() {
            return Err(anyhow!("-t needs a terminal, and standard input is none; leave -t out"));
        }
        Ok(())
    }

    /// Creates the container, and answers with its id.
    pub(crate) async fn create(&self, client: &Client) -> Result<String, Failure> {
        let request = request::build(self).code(ENGINE_FAILED)?;
        let create = match &self.name {
            Some(name) => query("/containers/create", &[("name", name)]),
            None => "/containers/create".to_owned(),
        };
        let created: CreateResponse = match client.post_json(&create, &request).await {
            Err(error) if error.is_not_found() && error.to_string().contains("image") => {
                let hint = format!(
                    "{error}: Beeline pulls from no registry yet; \
                     make the image with `beeline load` or `beeline import` (`beeline images` lists what there is)"
                );
                return Err(anyhow!(hint)).code(ENGINE_FAILED);
            }
            other => other.code(ENGINE_FAILED)?,
        };
        for warning in &created.warnings {
            output::complain(&format!("beeline: warning: {warning}"));
        }
        Ok(created.id)
    }

    async fn attach(&self, client: &Client, id: &str) -> client::Result<Hijacked> {
        let stdin = if self.interactive { "1" } else { "0" };
        let streams = [("stream", "1"), ("stdin", stdin), ("stdout", "1"), ("stderr", "1")];
        client.hijack(&query(&path("/containers/{}/attach", id), &streams)).await
    }

    /// Shows the container's output until it ends, and returns its exit code.
    async fn follow(
        &self,
        client: &Client,
        id: &str,
        attached: Hijacked,
        exit: Response<Incoming>,
    ) -> Outcome {
        let interactive_terminal = self.tty && self.interactive && terminal::is_interactive();
        let raw = interactive_terminal.then(RawMode::enter).transpose()?;
        let _size =
            self.tty.then(|| signals::follow_size(client, path("/containers/{}/resize", id))).transpose()?;
        // In raw mode the terminal's own signals are keys, and go to the container as such.
        let _signals = (!interactive_terminal).then(|| signals::proxy(client, id)).transpose()?;

        let streams = Streams { stdin: self.interactive, tty: self.tty };
        let ended = attach::shuttle(attached, streams, attach::keys(self.detach_keys.as_deref())).await;
        drop(raw);
        if ended.context("attached to the container")? == Ended::Detached {
            return Ok(ExitCode::SUCCESS);
        }
        let answer: WaitResponse = client.json(exit).await.code(ENGINE_FAILED)?;
        if let Some(error) = answer.error {
            return Err(anyhow!(error.message)).code(ENGINE_FAILED);
        }
        Ok(ExitCode::from(u8::try_from(answer.status_code & 0xff).unwrap_or(ENGINE_FAILED)))
    }
}

/// Starts the container; a failure has the exit code that `docker run` gives it.
async fn start(client: &Client, id: &str) -> Result<(), Failure> {
    let Err(error) = client.call(Method::POST, &path("/containers/{}/start", id)).await else {
        return Ok(());
    };
    let code = exit_code(&error.to_string());
    // `--rm` has removed it already, and a name to look at is worth more than an id.
    report(&Failure { error: error.into(), code });
    Err(Failure { error: anyhow!("container {} was not started", &id[..12.min(id.len())]), code })
}

/// Docker's reading of a failed start: the API has no field for it, so both clients go by the words.
fn exit_code(message: &str) -> u8 {
    let message = message.to_lowercase();
    let says = |words: &str| message.contains(words);
    if says("executable file not found")
        || says("no such file or directory")
        || says("system cannot find the file")
    {
        127
    } else if says("permission denied") || says("is a directory") || says("exec format error") {
        126
    } else {
        ENGINE_FAILED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_start_has_dockers_exit_codes() {
        assert_eq!(exit_code("exec: \"x\": executable file not found in $PATH"), 127);
        assert_eq!(exit_code("exec /x: No such file or directory"), 127);
        assert_eq!(exit_code("exec /etc/passwd: permission denied"), 126);
        assert_eq!(exit_code("Bind for 0.0.0.0:80 failed: port is already allocated"), 125);
    }
}
