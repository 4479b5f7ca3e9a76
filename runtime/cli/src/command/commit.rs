use std::process::ExitCode;

use beeline_wire::container::files::CommitResponse;
use clap::Args;
use http::Method;

use super::tag;
use crate::client::{Client, query};
use crate::error::Outcome;
use crate::output;

/// Flags of `beeline commit`.
#[derive(Debug, Args)]
pub(crate) struct Commit {
    /// Who made it
    #[arg(short, long, default_value = "", hide_default_value = true)]
    author: String,
    /// A Dockerfile instruction to apply, such as 'CMD ["nginx"]'; may be repeated
    #[arg(short, long, value_name = "INSTRUCTION")]
    change: Vec<String>,
    /// A comment for the image's history
    #[arg(short, long, default_value = "", hide_default_value = true)]
    message: String,
    /// Hold the container still meanwhile
    #[arg(short, long, value_name = "YES", default_value_t = true, num_args = 0..=1, default_missing_value = "true", require_equals = true, action = clap::ArgAction::Set)]
    pause: bool,
    /// Name or id
    container: String,
    /// The image's name
    #[arg(value_name = "REPOSITORY[:TAG]", default_value = "", hide_default_value = true)]
    name: String,
}

impl Commit {
    pub(crate) async fn run(self, client: &Client) -> Outcome {
        let (repository, tag) = tag::split(&self.name);
        let pause = if self.pause { "1" } else { "0" };
        let mut parameters = vec![
            ("container", self.container.as_str()),
            ("repo", repository),
            ("tag", tag),
            ("author", &self.author),
            ("comment", &self.message),
            ("pause", pause),
        ];
        parameters.extend(self.change.iter().map(|change| ("changes", change.as_str())));
        let response = client.open(Method::POST, &query("/commit", &parameters)).await?;
        let committed: CommitResponse = client.json(response).await?;
        output::line(&committed.id)?;
        Ok(ExitCode::SUCCESS)
    }
}
