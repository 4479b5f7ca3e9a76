//! The record beside the prebuilt object.

use std::{fmt, path::Path};

use crate::{Error, Toolchain, digest::sources_digest, file_digest};

/// What the prebuilt object was made from, and by what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The digest of the sources and flags.
    pub sources: String,
    /// The digest of the object.
    pub object: String,
    /// The compiler's version.
    pub rustc: String,
    /// The linker's version.
    pub linker: String,
}

impl Manifest {
    /// Describes an object made from the sources under `root`.
    ///
    /// # Errors
    /// [`Error::Read`] when a file cannot be read.
    pub fn describe(root: &Path, object: &Path, toolchain: &Toolchain) -> Result<Self, Error> {
        Ok(Self {
            sources: sources_digest(root)?,
            object: file_digest(object)?,
            rustc: toolchain.rustc.clone(),
            linker: toolchain.linker_version.clone(),
        })
    }

    /// Reads a manifest's text; `path` is for messages.
    ///
    /// # Errors
    /// [`Error::Manifest`] names the missing line.
    pub fn parse(text: &str, path: &Path) -> Result<Self, Error> {
        let field = |key: &'static str| {
            text.lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix(": "))
                .map(str::to_owned)
                .ok_or_else(|| Error::Manifest { path: path.into(), key })
        };
        Ok(Self {
            sources: field("sources")?,
            object: field("object")?,
            rustc: field("rustc")?,
            linker: field("linker")?,
        })
    }

    /// Whether this toolchain made the object.
    pub fn is_of(&self, toolchain: &Toolchain) -> bool {
        self.rustc == toolchain.rustc && self.linker == toolchain.linker_version
    }
}

impl fmt::Display for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# What beeline.bpf.o was made from; written by `cargo xtask bpf`.")?;
        writeln!(f, "sources: {}", self.sources)?;
        writeln!(f, "object: {}", self.object)?;
        writeln!(f, "rustc: {}", self.rustc)?;
        writeln!(f, "linker: {}", self.linker)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_survives_the_round_trip() {
        let manifest = Manifest {
            sources: "aa".into(),
            object: "bb".into(),
            rustc: "rustc 1.96.0 (x 2026-05-25)".into(),
            linker: "bpf-linker 0.13.0".into(),
        };
        assert_eq!(Manifest::parse(&manifest.to_string(), Path::new("MANIFEST")).expect("parse"), manifest);
    }

    #[test]
    fn a_missing_line_is_named() {
        let error = Manifest::parse("sources: aa\n", Path::new("MANIFEST")).expect_err("no object");
        assert!(error.to_string().contains("`object`"), "{error}");
    }
}
