//! The exposition under construction.

use std::collections::BTreeMap;

use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram as Buckets, LabelPair, Metric, MetricFamily, MetricType,
};

use crate::Histogram;
use crate::family::{CUT, Family};

/// Series by family, and what was left out.
#[derive(Default)]
pub(crate) struct Page {
    families: BTreeMap<&'static str, (Family, Vec<Metric>)>,
    cut: BTreeMap<&'static str, u64>,
}

impl Page {
    /// Adds a series if there is a figure.
    pub(crate) fn add_some(&mut self, family: Family, labels: &Labels, value: Option<impl Number>) {
        if let Some(value) = value {
            self.add(family, labels, value.number());
        }
    }

    /// Adds a series.
    pub(crate) fn add(&mut self, family: Family, labels: &Labels, value: f64) {
        let mut metric = Metric::from_label(labels.pairs());
        if family.kind == MetricType::COUNTER {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
        self.push(family, metric);
    }

    /// Adds a histogram's series.
    pub(crate) fn add_histogram(&mut self, family: Family, labels: &Labels, histogram: &Histogram) {
        let mut cumulative = 0;
        let buckets = histogram.buckets.iter().map(|(bound, count)| {
            cumulative += count;
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(*bound);
            bucket.set_cumulative_count(cumulative);
            bucket
        });
        let mut figures = Buckets::default();
        figures.set_bucket(buckets.collect());
        figures.set_sample_count(histogram.count());
        figures.set_sample_sum(histogram.sum);
        let mut metric = Metric::from_label(labels.pairs());
        metric.set_histogram(figures);
        self.push(family, metric);
    }

    fn push(&mut self, family: Family, metric: Metric) {
        self.families.entry(family.name).or_insert((family, Vec::new())).1.push(metric);
    }

    /// The first `most` of some items; the rest is counted as cut.
    pub(crate) fn bounded<'a, T>(&mut self, what: &'static str, items: &'a [T], most: usize) -> &'a [T] {
        let (shown, cut) = items.split_at(items.len().min(most));
        self.cut(what, cut.len());
        shown
    }

    /// Counts what is left out.
    pub(crate) fn cut(&mut self, what: &'static str, count: usize) {
        *self.cut.entry(what).or_default() += count as u64;
    }

    /// All families, sorted by name.
    pub(crate) fn into_families(mut self) -> Vec<MetricFamily> {
        for (what, count) in std::mem::take(&mut self.cut) {
            self.add(CUT, &Labels::default().with("what", what), count as f64);
        }
        let family = |(declared, metrics): (Family, Vec<Metric>)| {
            let mut family = MetricFamily::default();
            family.set_name(declared.name.to_owned());
            family.set_help(declared.help.to_owned());
            family.set_field_type(declared.kind);
            family.set_metric(metrics);
            family
        };
        self.families.into_values().map(family).collect()
    }
}

/// Label names and values, sorted as the exposition wants them.
#[derive(Clone, Default)]
pub(crate) struct Labels(BTreeMap<String, String>);

impl Labels {
    /// These labels and one more.
    pub(crate) fn with(&self, name: &str, value: &str) -> Self {
        let mut labels = self.clone();
        labels.0.insert(name.to_owned(), value.to_owned());
        labels
    }

    fn pairs(&self) -> Vec<LabelPair> {
        let pair = |(name, value): (&String, &String)| {
            let mut pair = LabelPair::default();
            pair.set_name(name.clone());
            pair.set_value(value.clone());
            pair
        };
        self.0.iter().map(pair).collect()
    }
}

/// A sampled figure: seconds come as floating point, everything else as an integer.
pub(crate) trait Number {
    fn number(self) -> f64;
}

impl Number for f64 {
    fn number(self) -> f64 {
        self
    }
}

impl Number for u64 {
    fn number(self) -> f64 {
        self as f64
    }
}
