//! Debian's kernels: found in the machine's archives, unpacked beside the build, never installed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::progress::step;
use crate::run::Run;
use crate::setup::apt;

/// An unpacked kernel package.
#[derive(Debug)]
pub(super) struct Kernel {
    directory: PathBuf,
    release: String,
}

impl Kernel {
    /// The newest kernel of `series`, kept below `cache`; none if the archives have none.
    pub(super) fn obtain(series: &str, cache: &Path) -> Result<Option<Self>> {
        if let Some(kept) = kept(series, cache) {
            return Ok(Some(kept));
        }
        apt::update()?;
        let listing =
            Run::new("apt-cache").args(["search", "--names-only", "^linux-image-[0-9.]+"]).output()?;
        let Some(package) = newest(&listing, series) else { return Ok(None) };
        let directory = cache.join(&package);
        step(&format!("download and unpack {package}"), |step| unpack(&package, &directory, step))?;
        Ok(kept(series, cache))
    }

    /// Where the package is unpacked; modprobe takes it for a root.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// As `uname -r` tells it.
    pub(super) fn release(&self) -> &str {
        &self.release
    }

    pub(super) fn image(&self) -> PathBuf {
        self.directory.join("boot").join(format!("vmlinuz-{}", self.release))
    }
}

/// A kernel of the series that was unpacked before.
fn kept(series: &str, cache: &Path) -> Option<Kernel> {
    let directories = fs::read_dir(cache).ok()?.flatten().map(|entry| entry.path());
    directories.into_iter().find_map(|directory| {
        let name = directory.file_name()?.to_str()?;
        version(name, series)?;
        let release = name.strip_prefix("linux-image-")?.to_owned();
        Some(Kernel { directory, release })
    })
}

/// The newest plain kernel of `series` in what apt-cache lists: neither for clouds nor for real time, and signed, as
/// only such are in the lists of every release.
fn newest(listing: &str, series: &str) -> Option<String> {
    let names = listing.lines().filter_map(|line| line.split_whitespace().next());
    names
        .filter_map(|name| Some((version(name, series)?, name)))
        .max_by(|left, right| left.0.cmp(&right.0))
        .map(|(_, name)| name.to_owned())
}

/// The numbers of a package's version if it is a plain kernel of `series`: `linux-image-6.1.0-56-amd64`,
/// `linux-image-6.12.117+deb12-amd64`.
fn version(name: &str, series: &str) -> Option<Vec<u64>> {
    let version = name.strip_prefix("linux-image-")?.strip_suffix("-amd64")?;
    let rest = version.strip_prefix(series)?.strip_prefix('.')?;
    // "+deb12" only says for which release it was built; other letters are a flavour's, such as "-cloud".
    let numbers = rest.replacen("+deb", ".", 1);
    numbers.split(['.', '-']).map(|number| number.parse().ok()).collect()
}

/// Unpacks under another name first: an interrupted download is not taken for a kernel.
fn unpack(package: &str, directory: &Path, step: &crate::progress::Step) -> Result<()> {
    let partial = directory.with_extension("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial).with_context(|| format!("remove {}", partial.display()))?;
    }
    fs::create_dir_all(&partial).with_context(|| format!("create {}", partial.display()))?;
    // Root's directory may be closed to apt's own user, which only costs a warning.
    Run::new("apt-get").args(["download", "--quiet", package]).dir(&partial).quiet(step)?;
    let archive = fs::read_dir(&partial)?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .with_context(|| format!("apt-get downloaded no package to {}", partial.display()))?;
    Run::new("dpkg-deb").arg("--extract").arg(&archive).arg(&partial).quiet(step)?;
    fs::remove_file(&archive).with_context(|| format!("remove {}", archive.display()))?;
    if !partial.join("lib").exists() {
        symlink("usr/lib", partial.join("lib")).context("link lib to usr/lib")?;
    }
    let release = package.strip_prefix("linux-image-").unwrap_or(package);
    Run::new("depmod").arg("--basedir").arg(&partial).arg(release).quiet(step)?;
    fs::rename(&partial, directory).with_context(|| format!("keep {}", directory.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTING: &str = "linux-image-6.1.0-9-amd64 - Linux 6.1 for 64-bit PCs (signed)\n\
        linux-image-6.1.0-56-amd64 - Linux 6.1 for 64-bit PCs (signed)\n\
        linux-image-6.1.0-57-cloud-amd64 - Linux 6.1 for x86-64 cloud (signed)\n\
        linux-image-6.12.117+deb12-amd64 - Linux 6.12 for 64-bit PCs (signed)\n\
        linux-image-6.12.99+deb12-amd64 - Linux 6.12 for 64-bit PCs (signed)\n\
        linux-image-6.12.118+deb12-rt-amd64 - Linux 6.12 for 64-bit PCs (signed), PREEMPT_RT\n\
        linux-image-6.12.118+deb12-amd64-unsigned - Linux 6.12 for 64-bit PCs\n\
        linux-image-6.12-amd64 - Linux for 64-bit PCs (meta-package)\n";

    #[test]
    fn the_newest_plain_kernel_of_a_series_is_chosen() {
        assert_eq!(newest(LISTING, "6.1").unwrap(), "linux-image-6.1.0-56-amd64");
        assert_eq!(newest(LISTING, "6.12").unwrap(), "linux-image-6.12.117+deb12-amd64");
        assert_eq!(newest(LISTING, "6.6"), None);
    }
}
