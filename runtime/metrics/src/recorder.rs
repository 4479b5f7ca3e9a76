//! What the daemon counts of its own work: everything that no map and no file of the kernel tells.

use std::time::Duration;

use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{CounterVec, Histogram, HistogramOpts, HistogramVec, IntCounter, Opts};

use crate::Error;
use crate::family::{self, Family};

/// From a millisecond to a minute.
const SECONDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 15.0, 60.0];

/// Counts the daemon's own work. Clones are the same one. Every label comes from a list in the code.
#[derive(Debug, Clone)]
pub struct Recorder {
    api_requests: CounterVec,
    api_seconds: HistogramVec,
    container_actions: HistogramVec,
    network_actions: HistogramVec,
    start_phases: HistogramVec,
    health_checks: IntCounter,
    health_checks_failed: IntCounter,
    health_check_starts: Histogram,
    scrapes: Histogram,
    sample_failures: IntCounter,
}

impl Recorder {
    /// A recorder that has seen nothing.
    ///
    /// # Errors
    /// When a declaration is none, which is a defect of this crate.
    pub fn new() -> Result<Self, Error> {
        let counter = |family: Family| Opts::new(family.name, family.help);
        let options = |family: Family| HistogramOpts::new(family.name, family.help).buckets(SECONDS.into());
        let histogram = |family: Family| HistogramVec::new(options(family), family.labels);
        Ok(Self {
            api_requests: CounterVec::new(counter(family::API_REQUESTS), family::API_REQUESTS.labels)?,
            api_seconds: histogram(family::API_SECONDS)?,
            container_actions: histogram(family::CONTAINER_ACTIONS)?,
            network_actions: histogram(family::NETWORK_ACTIONS)?,
            start_phases: histogram(family::START_PHASES)?,
            health_checks: IntCounter::with_opts(counter(family::HEALTH_CHECKS))?,
            health_checks_failed: IntCounter::with_opts(counter(family::HEALTH_CHECKS_FAILED))?,
            health_check_starts: Histogram::with_opts(options(family::HEALTH_CHECK_START))?,
            scrapes: Histogram::with_opts(options(family::SCRAPE_SECONDS))?,
            sample_failures: IntCounter::with_opts(counter(family::SAMPLE_FAILURES))?,
        })
    }

    /// A request was answered. `route` is a pattern, not a path.
    pub fn api_request(&self, route: &str, method: &str, code: u16, took: Duration) {
        // Some routes answer every method, and clients may make methods up.
        let method = match method {
            "GET" | "HEAD" | "POST" | "PUT" | "DELETE" => method,
            _ => "other",
        };
        self.api_requests.with_label_values(&[route, method, &code.to_string()]).inc();
        self.api_seconds.with_label_values(&[route, method]).observe(took.as_secs_f64());
    }

    /// An action on a container succeeded.
    pub fn container_action(&self, action: &'static str, took: Duration) {
        self.container_actions.with_label_values(&[action]).observe(took.as_secs_f64());
    }

    /// An action on a network succeeded.
    pub fn network_action(&self, action: &'static str, took: Duration) {
        self.network_actions.with_label_values(&[action]).observe(took.as_secs_f64());
    }

    /// A phase of a container's start ended.
    pub fn start_phase(&self, phase: &'static str, took: Duration) {
        self.start_phases.with_label_values(&[phase]).observe(took.as_secs_f64());
    }

    /// A health check is begun.
    pub fn health_check(&self) {
        self.health_checks.inc();
    }

    /// A health check has begun, after so long.
    pub fn health_check_started(&self, took: Duration) {
        self.health_check_starts.observe(took.as_secs_f64());
    }

    /// A health check could not be run.
    pub fn health_check_failed(&self) {
        self.health_checks_failed.inc();
    }

    /// A page was made, and these containers were gone when their figures were read.
    pub(crate) fn scrape(&self, took: Duration, failures: u64) {
        self.scrapes.observe(took.as_secs_f64());
        self.sample_failures.inc_by(failures);
    }

    pub(crate) fn collect(&self) -> Vec<MetricFamily> {
        let collectors: [&dyn Collector; 10] = [
            &self.api_requests,
            &self.api_seconds,
            &self.container_actions,
            &self.network_actions,
            &self.start_phases,
            &self.health_checks,
            &self.health_checks_failed,
            &self.health_check_starts,
            &self.scrapes,
            &self.sample_failures,
        ];
        // A vector nobody has counted in is a family without series, which the format forbids.
        let families = collectors.into_iter().flat_map(Collector::collect);
        families.filter(|family| !family.get_metric().is_empty()).collect()
    }
}
