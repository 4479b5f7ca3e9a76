use std::process::ExitCode;

use beeline_wire::image::ImageSummary;
use clap::Args;

use crate::client::{Client, query};
use crate::command::tag;
use crate::error::Outcome;
use crate::output::{self, Table};
use crate::units;

/// Flags of `beeline images`.
#[derive(Debug, Args)]
pub(crate) struct Images {
    /// Print ids only
    #[arg(short, long)]
    quiet: bool,
    /// Print whole ids
    #[arg(long)]
    no_trunc: bool,
    /// Only images of this repository, or this one name
    #[arg(value_name = "REPOSITORY[:TAG]")]
    reference: Option<String>,
}

impl Images {
    pub(crate) async fn run(self, client: &Client) -> Outcome {
        let mut filters = beeline_wire::filters::Filters::default();
        if let Some(reference) = &self.reference {
            filters.add("reference", reference);
        }
        let filters = serde_json::to_string(&filters)?;
        let images: Vec<ImageSummary> = client.get(&query("/images/json", &[("filters", &filters)])).await?;
        let id = |image: &ImageSummary| {
            if self.no_trunc { image.id.clone() } else { short(&image.id).to_owned() }
        };
        let mut table = Table::new(["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"]);
        for image in &images {
            if self.quiet {
                output::line(&id(image))?;
                continue;
            }
            let none = ["<none>:<none>".to_owned()];
            let names: &[String] = if image.repo_tags.is_empty() { &none } else { &image.repo_tags };
            for name in names {
                let (repository, tag) = tag::split(name);
                table.row([
                    repository.into(),
                    tag.into(),
                    id(image),
                    units::ago(image.created),
                    units::human_bytes(image.size),
                ]);
            }
        }
        if !self.quiet {
            table.print()?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The twelve digits of an id that listings show.
pub(super) fn short(id: &str) -> &str {
    let digits = id.strip_prefix("sha256:").unwrap_or(id);
    digits.get(..12).unwrap_or(digits)
}
