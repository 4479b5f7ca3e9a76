//! What the figures cost: scrapes, what watches containers' sockets and processes, and what watches each of their waits.
//!
//! | work | is |
//! |------|----|
//! | a scrape | the time until the page has arrived, with few containers and with many |
//! | scrapes every 15 s | the daemon's processor time, of one processor's |
//! | memory of scrapes | what the daemon's proportional memory grows by while it is scraped |
//! | traffic | to a published port, with the programs that watch containers by default, and without |
//! | latency histograms | what a switch between threads takes longer, of one processor at 100,000 a second |

mod scrapes;
mod signals;

use std::path::Path;

use anyhow::Result;

use super::work::{Report, Work};
use crate::stage::Stage;

/// How much is measured.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct Scraping {
    /// Scrapes with each number of containers; the median counts
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    scrapes: u32,
    /// Containers of the largest number
    #[arg(long, default_value_t = 1000, value_name = "CONTAINERS", value_parser = clap::value_parser!(u32).range(101..=2000))]
    scraped: u32,
}

/// Measures all works, with turns of so many seconds.
pub(super) fn measure(
    binary: &Path,
    output: &Path,
    extent: Scraping,
    rounds: u32,
    seconds: f64,
) -> Result<Report> {
    let mut stage = Stage::build(binary, "beeline-bench", &[])?;
    let mut works: Vec<Work> = signals::measure(&mut stage, output, rounds, seconds)?.into();
    works.extend(scrapes::measure(&stage, output, extent)?);
    stage.clear()?;
    Ok(Report(works))
}
