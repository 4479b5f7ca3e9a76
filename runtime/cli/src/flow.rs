//! Flows as people read them, and the flags that choose among them.

use anyhow::{Context, Result};
use beeline_wire::flow::{Flow, FlowDrop, FlowEnd, FlowResult};
use clap::{Args, ValueEnum};
use futures_util::TryStreamExt;
use http::Method;
use http_body_util::BodyExt;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio_util::io::StreamReader;

use crate::client::{Client, query};
use crate::{filter, output, units};

/// Which flows to show.
#[derive(Debug, Args)]
pub(crate) struct Chosen {
    /// Only those of this container, by name or id; may be repeated
    #[arg(long, value_name = "CONTAINER")]
    container: Vec<String>,
    /// Only those of containers on this network; may be repeated
    #[arg(long, value_name = "NETWORK")]
    network: Vec<String>,
    /// Only those from or to this port, before or after its translation; may be repeated
    #[arg(long, value_name = "PORT")]
    port: Vec<u16>,
    /// Only tcp, udp, sctp, icmp, or a protocol's number; may be repeated
    #[arg(long, value_name = "PROTOCOL")]
    protocol: Vec<String>,
    /// How to write them
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: Format,
}

/// How to write flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Lines for people
    Text,
    /// A JSON object a line
    Json,
}

impl Chosen {
    /// Opens a stream of flows; `more` are filters beside these flags.
    pub(crate) async fn open(
        &self,
        client: &Client,
        path: &str,
        more: &[(&str, &str)],
        follow: bool,
    ) -> Result<Lines> {
        let ports: Vec<String> = self.port.iter().map(u16::to_string).collect();
        let mut filters = Vec::new();
        for (name, values) in [
            ("container", &self.container),
            ("network", &self.network),
            ("port", &ports),
            ("protocol", &self.protocol),
        ] {
            filters.extend(values.iter().map(|value| (name.to_owned(), value.clone())));
        }
        filters.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let filters = filter::parameter(&filters)?;
        let follow = if follow { "1" } else { "0" };
        let path = query(path, &[("filters", &filters), ("follow", follow)]);
        let response = client.open(Method::GET, &path).await?;
        let data = response.into_body().into_data_stream().map_err(std::io::Error::other);
        let reader: Box<dyn tokio::io::AsyncBufRead + Send + Unpin> =
            Box::new(BufReader::new(StreamReader::new(Box::pin(data))));
        Ok(Lines { reader: reader.lines() })
    }
}

/// Flows as they come.
pub(crate) struct Lines {
    reader: tokio::io::Lines<Box<dyn tokio::io::AsyncBufRead + Send + Unpin>>,
}

impl Lines {
    /// The next one, as it is sent and as it is read.
    pub(crate) async fn next(&mut self) -> Result<Option<(String, Flow)>> {
        let Some(line) = self.reader.next_line().await.context("read the flows")? else { return Ok(None) };
        let flow = serde_json::from_str(&line).context("understand what the daemon says of a flow")?;
        Ok(Some((line, flow)))
    }
}

/// Writes a flow.
pub(crate) fn print(format: Format, (sent, flow): &(String, Flow)) -> Result<()> {
    match format {
        Format::Json => output::line(sent),
        Format::Text => output::line(&text(flow, &TimeZone::system())),
    }
}

/// A line: when, what, protocol, from whom to whom, and what became of it.
pub(crate) fn text(flow: &Flow, zone: &TimeZone) -> String {
    let what = if flow.event == "drop" { "dropped" } else { &flow.event };
    let (source, destination) = (side(flow, flow.source.as_ref()), side(flow, flow.destination.as_ref()));
    let mut line =
        format!("{}  {what:<7}  {:<4}  {source} -> {destination}", clock(&flow.time, zone), flow.protocol);
    if let Some(end) = &flow.end {
        line.push_str(&format!("  {}", ended(end)));
    }
    if let Some(drop) = &flow.drop {
        line.push_str(&format!("  {}", refused(drop)));
    }
    line
}

/// The time of day; the whole text if it is none.
fn clock(time: &str, zone: &TimeZone) -> String {
    match time.parse::<Timestamp>() {
        Ok(time) => time.to_zoned(zone.clone()).strftime("%H:%M:%S%.3f").to_string(),
        Err(_) => time.to_owned(),
    }
}

/// `web 172.17.0.2:80`, or `192.0.2.1:8080 (web 172.17.0.2:80)` when that is what it is translated to.
fn side(flow: &Flow, end: Option<&FlowEnd>) -> String {
    let Some(end) = end else { return "?".into() };
    let address = with_port(&end.address, end.port);
    let name = match end.container_name.as_str() {
        "" if flow.peer == "host" => "host",
        name => name,
    };
    let named =
        |address: &str| if name.is_empty() { address.to_owned() } else { format!("{name} {address}") };
    // A container's own address is what it is known by; one that it is reached under is not.
    let is_reached = end.translated.is_empty() || flow.source.as_ref() == Some(end);
    match is_reached {
        true if end.translated.is_empty() => named(&address),
        true => format!("{} (as {})", named(&address), end.translated),
        false => format!("{address} ({})", named(&end.translated)),
    }
}

fn with_port(address: &str, port: u16) -> String {
    match (port, address.contains(':')) {
        (0, _) => address.to_owned(),
        (port, true) => format!("[{address}]:{port}"),
        (port, false) => format!("{address}:{port}"),
    }
}

fn ended(end: &FlowResult) -> String {
    let outcome = match end.outcome.as_str() {
        "failed" => "no answer".to_owned(),
        "silent" => "silent".to_owned(),
        "gone" => "its container is gone".to_owned(),
        other => other.to_owned(),
    };
    let (sent, received) = (units::decimal(end.sent_bytes), units::decimal(end.received_bytes));
    format!("{outcome} after {:.3}s, {sent} there, {received} back", end.seconds)
}

/// The reason, and the rule if it is one.
pub(crate) fn refused(drop: &FlowDrop) -> String {
    if drop.rule_scope.is_empty() {
        return drop.reason.clone();
    }
    let rule = match drop.rule_source.as_str() {
        "" => "allows others only".to_owned(),
        source => format!("denies {source}"),
    };
    format!("{}: the {}'s rule {rule}", drop.reason, drop.rule_scope)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published() -> Flow {
        Flow {
            time: "2026-01-02T03:04:05.678901Z".into(),
            event: "begin".into(),
            protocol: "tcp".into(),
            peer: "published".into(),
            source: Some(FlowEnd { address: "192.0.2.2".into(), port: 4000, ..FlowEnd::default() }),
            destination: Some(FlowEnd {
                address: "192.0.2.1".into(),
                port: 8080,
                translated: "172.17.0.2:80".into(),
                container_name: "web".into(),
                ..FlowEnd::default()
            }),
            ..Flow::default()
        }
    }

    #[test]
    fn a_line_says_when_what_from_whom_to_whom_and_what_became_of_it() {
        let mut flow = published();
        let begins = "03:04:05.678  begin    tcp   192.0.2.2:4000 -> 192.0.2.1:8080 (web 172.17.0.2:80)";
        assert_eq!(text(&flow, &TimeZone::UTC), begins);
        flow.event = "end".into();
        flow.end = Some(FlowResult {
            outcome: "closed".into(),
            seconds: 1.5,
            sent_bytes: 900,
            received_bytes: 1536,
            ..FlowResult::default()
        });
        let line = text(&flow, &TimeZone::UTC);
        assert!(
            line.ends_with("(web 172.17.0.2:80)  closed after 1.500s, 900B there, 1.54kB back"),
            "{line}"
        );
    }

    #[test]
    fn a_masqueraded_source_is_named_with_what_it_is_outside() {
        let mut flow = published();
        flow.peer = "outside".into();
        let end = |address: &str, port, translated: &str, name: &str| FlowEnd {
            address: address.into(),
            port,
            translated: translated.into(),
            container_name: name.into(),
            ..FlowEnd::default()
        };
        flow.source = Some(end("fd00::2", 40000, "[2001:db8::1]:40000", "web"));
        flow.destination = Some(end("2001:db8::2", 443, "", ""));
        let line = text(&flow, &TimeZone::UTC);
        let ends = "web [fd00::2]:40000 (as [2001:db8::1]:40000) -> [2001:db8::2]:443";
        assert!(line.ends_with(ends), "{line}");
    }

    #[test]
    fn a_refusal_names_the_rule() {
        let mut drop =
            FlowDrop { reason: "denied".into(), rule_scope: "network".into(), ..FlowDrop::default() };
        assert_eq!(refused(&drop), "denied: the network's rule allows others only");
        drop.rule_source = "192.0.2.0/24".into();
        assert_eq!(refused(&drop), "denied: the network's rule denies 192.0.2.0/24");
        drop.rule_scope.clear();
        assert_eq!(refused(&drop), "denied");
    }
}
