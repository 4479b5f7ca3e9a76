//! The prebuilt object: writing, checking and embedding it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{Error, Manifest, Toolchain, build, file_digest, sources_digest};

/// The prebuilt object, relative to the repository's root.
pub const OBJECT_PATH: &str = "ebpf/prebuilt/beeline.bpf.o";

/// Its manifest, relative to the repository's root.
pub const MANIFEST_PATH: &str = "ebpf/prebuilt/MANIFEST";

/// What became of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// The object is of the present sources (and, when rebuilt, the same bytes).
    Fresh,
    /// It is not.
    Stale {
        /// What differs.
        reason: String,
    },
    /// The digests match, but this machine's toolchain is another one: the bytes cannot be compared.
    OtherToolchain {
        /// The toolchain of the manifest, and ours.
        reason: String,
    },
}

/// An object to embed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Embedded {
    /// Where it is.
    pub path: PathBuf,
    /// Its SHA-256 in hexadecimal.
    pub sha256: String,
}

/// Builds the object under `root` and replaces the prebuilt one and its manifest.
///
/// # Errors
/// Those of [`build()`], and [`Error::Write`].
pub fn write_prebuilt(root: &Path, target_dir: &Path, toolchain: &Toolchain) -> Result<Manifest, Error> {
    let built = build(root, target_dir, toolchain)?;
    let manifest = Manifest::describe(root, &built, toolchain)?;
    let write = |path: &str, content: &[u8]| {
        let path = root.join(path);
        fs::write(&path, content).map_err(|source| Error::Write { path, source })
    };
    let object = fs::read(&built).map_err(|source| Error::Read { path: built, source })?;
    write(OBJECT_PATH, &object)?;
    write(MANIFEST_PATH, manifest.to_string().as_bytes())?;
    Ok(manifest)
}

/// Compares the prebuilt object with the sources, and with a toolchain also with what they build to.
///
/// # Errors
/// Those of [`build()`], and [`Error::Read`].
pub fn check_prebuilt(root: &Path, target_dir: &Path, toolchain: Option<&Toolchain>) -> Result<Check, Error> {
    let manifest = match matching_manifest(root)? {
        Ok(manifest) => manifest,
        Err(reason) => return Ok(Check::Stale { reason }),
    };
    let Some(toolchain) = toolchain else { return Ok(Check::Fresh) };
    if !manifest.is_of(toolchain) {
        let reason =
            format!("made by {} and {}, here is {}", manifest.rustc, manifest.linker, toolchain.describe());
        return Ok(Check::OtherToolchain { reason });
    }
    let built = build(root, target_dir, toolchain)?;
    if file_digest(&built)? != manifest.object {
        let reason = format!("{} builds to other bytes", built.display());
        return Ok(Check::Stale { reason });
    }
    Ok(Check::Fresh)
}

/// The object to embed: the prebuilt one if it is of the present sources, else one built into `out_dir`.
///
/// # Errors
/// [`Error::Stale`] when neither is possible.
pub fn embedded(root: &Path, out_dir: &Path) -> Result<Embedded, Error> {
    let reason = match matching_manifest(root) {
        Ok(Ok(manifest)) => return Ok(Embedded { path: root.join(OBJECT_PATH), sha256: manifest.object }),
        Ok(Err(reason)) => reason,
        Err(error) => error.to_string(),
    };
    let rebuild = || {
        let path = build(root, &out_dir.join("bpf"), &Toolchain::find()?)?;
        Ok(Embedded { sha256: file_digest(&path)?, path })
    };
    rebuild().map_err(|source: Error| match source {
        error @ Error::Build { .. } => error,
        error => Error::Stale { reason, source: Box::new(error) },
    })
}

/// The manifest if everything it says is so, else what is not.
fn matching_manifest(root: &Path) -> Result<Result<Manifest, String>, Error> {
    let path = root.join(MANIFEST_PATH);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) => return Ok(Err(format!("{}: {error}", path.display()))),
    };
    let manifest = Manifest::parse(&text, &path)?;
    if manifest.sources != sources_digest(root)? {
        return Ok(Err("the sources have changed since it was built".into()));
    }
    if manifest.object != file_digest(&root.join(OBJECT_PATH))? {
        return Ok(Err("the object is not the one its manifest describes".into()));
    }
    Ok(Ok(manifest))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A repository with the least that the digest reads, and a prebuilt object of it.
    fn repository() -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("temporary directory");
        let write = |path: &str, content: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().expect("parent")).expect("folders");
            fs::write(path, content).expect("file");
        };
        for file in [
            "Cargo.lock",
            "Cargo.toml",
            "abi/Cargo.toml",
            "abi/src/lib.rs",
            "programs/Cargo.toml",
            "programs/src/main.rs",
        ] {
            write(&format!("ebpf/{file}"), file);
        }
        write(OBJECT_PATH, "object");
        let manifest = Manifest {
            sources: sources_digest(dir.path()).expect("digest"),
            object: file_digest(&dir.path().join(OBJECT_PATH)).expect("digest"),
            rustc: "rustc".into(),
            linker: "linker".into(),
        };
        write(MANIFEST_PATH, &manifest.to_string());
        dir
    }

    fn check(dir: &tempfile::TempDir) -> Check {
        check_prebuilt(dir.path(), dir.path(), None).expect("check")
    }

    #[test]
    fn an_object_of_the_present_sources_is_embedded() {
        let dir = repository();
        assert_eq!(check(&dir), Check::Fresh);
        let object = embedded(dir.path(), dir.path()).expect("embedded");
        assert_eq!(object.path, dir.path().join(OBJECT_PATH));
    }

    #[test]
    fn a_changed_or_new_source_makes_it_stale() {
        let dir = repository();
        fs::write(dir.path().join("ebpf/programs/src/nat.rs"), "new").expect("file");
        assert!(matches!(check(&dir), Check::Stale { reason } if reason.contains("sources")));
    }

    #[test]
    fn a_changed_object_is_stale() {
        let dir = repository();
        fs::write(dir.path().join(OBJECT_PATH), "other").expect("file");
        assert!(matches!(check(&dir), Check::Stale { reason } if reason.contains("object")));
    }
}
