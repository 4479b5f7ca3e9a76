//! Running containers: starts, ends, commands inside and memory, beside dockerd, podman, runc, crun and nothing at all.
//!
//! | work | ways |
//! |------|------|
//! | a bundle without network | `beeline oci run`; runc and crun with the same bundle; `bare`: the same namespaces, an overlay and the program, made by this program itself |
//! | start, exec, rm -f | one container after the other, by requests over a connection that stands, with a network and a published port |
//! | run --rm -p | the whole of a client's process: the stock client's with Beeline and with dockerd, podman's, and Beeline's own |
//! | starters at once | each makes and starts containers over a connection of its own; dockerd only with 16 |
//! | memory | proportional (PSS): of an idle engine, of what stands beside a container, and of many idle containers in all |

mod bundle;
mod client;
mod memory;
mod parallel;
mod requests;

pub(super) use memory::proportional;
pub(super) use requests::{create, sleeper, timed};

use std::path::Path;

use anyhow::{Context, Result};
use beeline_testbed::busybox_tar;

use super::peer::{self, Engine, Peers};
use super::work::Report;
use crate::stage::Stage;

/// The port of the host that every engine publishes.
const PORT: &str = "9001";

/// How much is measured.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct Extent {
    /// Turns of every way to run a container; the median counts
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=500))]
    starts: u32,
    /// Idle containers whose memory is measured
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=2000))]
    idle: u32,
}

/// Measures every work, the ways taking turns.
pub(super) fn measure(binary: &Path, output: &Path, extent: Extent) -> Result<Report> {
    let tar = busybox_tar(output).context("make the image that is started")?;
    let mut works = vec![bundle::measure(binary, output, &tar, extent.starts)?];

    let stage = Stage::build(binary, "beeline-bench", &[])?;
    peer::import(&stage, &tar, peer::IMAGE)?;
    let peers = Peers::start(&tar);
    let engines: Vec<&dyn Engine> =
        std::iter::once(&stage as &dyn Engine).chain(peers.present.iter().map(AsRef::as_ref)).collect();
    // Before there were containers, but not before there was an image.
    let mut memory = memory::Memory::begin(&engines)?;
    works.extend(requests::measure(&engines, extent.starts)?);
    works.extend(client::measure(&stage, &engines, extent.starts)?);
    works.extend(parallel::measure(&engines)?);
    memory.fill(&engines, extent.idle)?;
    works.extend(memory.works());
    for (name, reason) in &peers.absent {
        works.iter_mut().skip(1).for_each(|work| work.absent(name, reason));
    }
    drop(peers);
    stage.clear()?;
    Ok(Report(works))
}
