//! The OpenMetrics text format, version 1.0: units, an end that can be told from a cut, and counters named as such.

use std::fmt::Write;

use prometheus::proto::{Metric, MetricFamily, MetricType};

use crate::family;

/// Writes families as one exposition.
pub(crate) fn encode(families: &[MetricFamily]) -> String {
    let mut text = String::new();
    for family in families {
        write_family(&mut text, family);
    }
    text.push_str("# EOF\n");
    text
}

fn write_family(text: &mut String, family: &MetricFamily) {
    let kind = family.get_field_type();
    // The family of a counter has the name without the suffix of its series.
    let name = match kind {
        MetricType::COUNTER => family.name().trim_end_matches("_total"),
        _ => family.name(),
    };
    let kind_name = match kind {
        MetricType::COUNTER => "counter",
        MetricType::HISTOGRAM => "histogram",
        _ => "gauge",
    };
    line(text, &format!("# TYPE {name} {kind_name}"));
    if let Some(unit) = unit(family.name(), name) {
        line(text, &format!("# UNIT {name} {unit}"));
    }
    line(text, &format!("# HELP {name} {}", escape(family.help())));
    for metric in family.get_metric() {
        match kind {
            MetricType::COUNTER => {
                sample(text, &format!("{name}_total"), metric, None, metric.get_counter().get_value());
            }
            MetricType::HISTOGRAM => histogram(text, name, metric),
            _ => sample(text, name, metric, None, metric.get_gauge().get_value()),
        }
    }
}

/// The declared unit, where the name ends in it: the format allows no other. Some of cAdvisor's names do not.
fn unit(declared: &str, name: &str) -> Option<&'static str> {
    let unit = family::ALL.iter().find(|family| family.name == declared)?.unit;
    let is_suffix = name.strip_suffix(unit).is_some_and(|stem| stem.ends_with('_'));
    (!unit.is_empty() && is_suffix).then_some(unit)
}

fn histogram(text: &mut String, name: &str, metric: &Metric) {
    let histogram = metric.get_histogram();
    let bucket = format!("{name}_bucket");
    for found in histogram.get_bucket() {
        // The bounds have to be written as floating point: 1.0, not 1.
        let bound = format!("{:?}", found.upper_bound());
        sample(text, &bucket, metric, Some(("le", &bound)), found.cumulative_count() as f64);
    }
    let count = histogram.get_sample_count() as f64;
    sample(text, &bucket, metric, Some(("le", "+Inf")), count);
    sample(text, &format!("{name}_sum"), metric, None, histogram.get_sample_sum());
    sample(text, &format!("{name}_count"), metric, None, count);
}

fn sample(text: &mut String, name: &str, metric: &Metric, more: Option<(&str, &str)>, value: f64) {
    let own = metric.get_label().iter().map(|label| (label.name(), label.value()));
    text.push_str(name);
    let mut separator = '{';
    for (key, value) in own.chain(more) {
        text.push(separator);
        text.push_str(&format!("{key}=\"{}\"", escape(value)));
        separator = ',';
    }
    if separator == ',' {
        text.push('}');
    }
    line(text, &format!(" {value}"));
}

fn line(text: &mut String, rest: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "{rest}");
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::family::{CPU_USAGE, Family, MEMORY_RSS, MEMORY_USAGE};
    use crate::page::{Labels, Page};
    use crate::{LabelChoice, Recorder};

    fn of(family: Family) -> String {
        let mut page = Page::default();
        page.add(family, &Labels::default().with("name", "a\"b\\c\nd"), 1.5);
        encode(&page.into_families())
    }

    #[test]
    fn a_counter_has_its_suffix_in_its_series_alone() {
        let help = "# HELP container_cpu_usage_seconds Processor time used, in seconds.\n";
        let expected = format!(
            "# TYPE container_cpu_usage_seconds counter\n# UNIT container_cpu_usage_seconds seconds\n{help}\
             container_cpu_usage_seconds_total{{name=\"a\\\"b\\\\c\\nd\"}} 1.5\n# EOF\n"
        );
        assert_eq!(of(CPU_USAGE), expected);
    }

    #[test]
    fn a_unit_is_told_where_the_name_ends_in_it() {
        assert!(of(MEMORY_USAGE).contains("# UNIT container_memory_usage_bytes bytes\n"));
        assert!(!of(MEMORY_RSS).contains("# UNIT"));
    }

    #[test]
    fn a_histogram_has_bounds_in_floating_point_and_all_in_the_last() {
        let recorder = Recorder::new().unwrap();
        recorder.start_phase("spawn", std::time::Duration::from_millis(400));
        let text = encode(&recorder.collect());
        let name = "beeline_container_start_phase_seconds";
        for line in [
            format!("{name}_bucket{{phase=\"spawn\",le=\"0.25\"}} 0\n"),
            format!("{name}_bucket{{phase=\"spawn\",le=\"1.0\"}} 1\n"),
            format!("{name}_bucket{{phase=\"spawn\",le=\"+Inf\"}} 1\n"),
            format!("{name}_sum{{phase=\"spawn\"}} 0.4\n{name}_count{{phase=\"spawn\"}} 1\n"),
        ] {
            assert!(text.contains(&line), "{line} is not in\n{text}");
        }
        let exporter = crate::Exporter::new("1", recorder, LabelChoice::default());
        let page = exporter.render_as(&crate::Snapshot::default(), crate::Format::OpenMetrics).unwrap();
        assert_eq!(page.matches("# EOF").count(), 1);
        assert!(page.ends_with("# EOF\n"));
    }
}
