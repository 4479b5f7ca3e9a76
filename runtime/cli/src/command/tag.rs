use std::process::ExitCode;

use clap::Args;
use http::Method;

use crate::client::{Client, path, query};
use crate::error::Outcome;

/// Flags of `beeline tag`.
#[derive(Debug, Args)]
pub(crate) struct Tag {
    /// Name or id of the image
    image: String,
    /// The other name, with or without a tag
    name: String,
}

impl Tag {
    pub(crate) async fn run(self, client: &Client) -> Outcome {
        let (repository, tag) = split(&self.name);
        let tag = query(&path("/images/{}/tag", &self.image), &[("repo", repository), ("tag", tag)]);
        client.call(Method::POST, &tag).await?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Repository and tag of an image's name. A colon before the last slash belongs to a registry's port.
pub(super) fn split(name: &str) -> (&str, &str) {
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (name, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn a_registrys_port_is_no_tag() {
        assert_eq!(split("a:b"), ("a", "b"));
        assert_eq!(split("localhost:5000/a"), ("localhost:5000/a", ""));
        assert_eq!(split("localhost:5000/a:b"), ("localhost:5000/a", "b"));
    }
}
