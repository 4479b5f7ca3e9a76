use std::process::ExitCode;

use clap::Args;

use super::run::Run;
use crate::client::Client;
use crate::error::{ENGINE_FAILED, Outcome, WithCode};
use crate::{autostart, output};

/// Flags of `beeline create`: those of `beeline run`.
#[derive(Debug, Args)]
pub(crate) struct Create {
    #[command(flatten)]
    run: Run,
}

impl Create {
    pub(crate) async fn run(self, client: &Client) -> Outcome {
        autostart::ensure(client).await.code(ENGINE_FAILED)?;
        output::line(&self.run.create(client).await?)?;
        Ok(ExitCode::SUCCESS)
    }
}
