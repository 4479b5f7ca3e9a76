//! Turns a [`Snapshot`] into the Prometheus text exposition format or OpenMetrics.

use std::path::Path;
use std::time::Instant;

use nix::sys::utsname::uname;
use nix::unistd::{SysconfVar, sysconf};
use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::{Encoder, TextEncoder};

use crate::disk::DiskUsage;
use crate::family;
use crate::page::{Labels, Page};
use crate::{LabelChoice, Recorder, Sample, Snapshot, openmetrics};

/// The format of an exposition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' text format 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// The Content-Type of such a text.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => prometheus::TEXT_FORMAT,
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Why an exposition could not be written.
#[derive(Debug, thiserror::Error)]
#[error("write the Prometheus exposition")]
pub struct Error(#[from] prometheus::Error);

/// Renders scrapes. Cheap to create; holds what does not change while the daemon runs.
#[derive(Debug)]
pub struct Exporter {
    version: String,
    recorder: Recorder,
    labels: LabelChoice,
    disk: DiskUsage,
    process: ProcessCollector,
    cpus: u64,
    memory_bytes: u64,
}

impl Exporter {
    /// An exporter of the daemon that calls it, whose version is `version` and whose own work `recorder` counts.
    pub fn new(version: impl Into<String>, recorder: Recorder, labels: LabelChoice) -> Self {
        let configured =
            |var| sysconf(var).ok().flatten().and_then(|value| u64::try_from(value).ok()).unwrap_or(0);
        Self {
            version: version.into(),
            recorder,
            labels,
            disk: DiskUsage::default(),
            process: ProcessCollector::for_self(),
            cpus: configured(SysconfVar::_NPROCESSORS_ONLN),
            memory_bytes: configured(SysconfVar::_PHYS_PAGES) * configured(SysconfVar::PAGE_SIZE),
        }
    }

    /// Samples every container of `snapshot` and writes the exposition in Prometheus' text format.
    ///
    /// # Errors
    /// When two families clash, which is a defect of this crate.
    pub fn render(&self, snapshot: &Snapshot) -> Result<String, Error> {
        self.render_as(snapshot, Format::Text)
    }

    /// The same in a format.
    ///
    /// # Errors
    /// As [`Self::render`].
    pub fn render_as(&self, snapshot: &Snapshot, format: Format) -> Result<String, Error> {
        let began = Instant::now();
        let mut page = Page::default();
        let mut failures = 0;
        for target in &snapshot.containers {
            let sample = Sample::read(&target.cgroup);
            failures += u64::from(sample.cpu.usage.is_none());
            page.container(target, &sample, &self.labels, &self.disk);
        }
        let layers: Vec<&Path> = snapshot.containers.iter().map(|target| target.layer.as_path()).collect();
        self.disk.refresh(&layers);
        self.daemon(&mut page, snapshot);
        page.host(&snapshot.host, self.memory_bytes);
        if let Some(datapath) = &snapshot.datapath {
            page.datapath(datapath);
        }
        page.resolver(&snapshot.resolver);
        let mut families = page.into_families();
        families.extend(self.recorder.collect());
        families.extend(self.process.collect());
        let text = match format {
            Format::Text => {
                let mut text = Vec::new();
                TextEncoder::new().encode(&families, &mut text)?;
                String::from_utf8_lossy(&text).into_owned()
            }
            Format::OpenMetrics => openmetrics::encode(&families),
        };
        self.recorder.scrape(began.elapsed(), failures);
        Ok(text)
    }

    fn daemon(&self, page: &mut Page, snapshot: &Snapshot) {
        let none = Labels::default();
        let (cpus, memory) = (self.cpus as f64, self.memory_bytes as f64);
        page.add(family::MACHINE_CPU_CORES, &none, cpus);
        page.add(family::MACHINE_MEMORY, &none, memory);
        page.add(family::ENGINE_CPUS, &none, cpus);
        page.add(family::ENGINE_MEMORY, &none, memory);
        let states = snapshot.states;
        for (state, count) in
            [("paused", states.paused), ("running", states.running), ("stopped", states.stopped)]
        {
            page.add(family::ENGINE_STATES, &none.with("state", state), count as f64);
        }
        if let Ok(host) = uname() {
            let labels = none
                .with("architecture", &host.machine().to_string_lossy())
                .with("kernel", &host.release().to_string_lossy())
                .with("version", &self.version);
            page.add(family::ENGINE_INFO, &labels, 1.0);
        }
        page.add(family::ENGINE_EVENTS, &none, snapshot.events as f64);
        page.add(family::BUILD_INFO, &none.with("version", &self.version), 1.0);
        page.add(family::IMAGES, &none, snapshot.images as f64);
    }
}

#[cfg(test)]
mod tests;
