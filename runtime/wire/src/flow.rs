//! `GET /beeline/flows`: what containers have to do with whom, a JSON object a line. `GET /beeline/drops`: what is refused,
//! in the same form. `GET /beeline/pairs`: who talks to whom. Beeline's own.

use serde::{Deserialize, Serialize};

/// Something that happened to a flow.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Flow {
    pub time: String,
    /// `begin`; `found` when it was going on already, so that who began is a guess; `end`; `drop`.
    pub event: String,
    /// `forwarded` or `dropped`.
    pub verdict: String,
    /// `tcp`, `udp`, `sctp`, `icmp` or a number; empty if it cannot be read.
    pub protocol: String,
    /// What the container's peer is: `network`, `other_network`, `host`, `outside`, `published`. Not of drops.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub peer: String,
    /// Who began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<FlowEnd>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<FlowEnd>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<FlowResult>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drop: Option<FlowDrop>,
}

/// One end of a flow.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct FlowEnd {
    /// As the one who began says it.
    pub address: String,
    /// Zero for a protocol without ports, or if it cannot be read.
    pub port: u16,
    /// What address and port are translated to on the way; empty if they are not.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub translated: String,
    #[serde(rename = "ContainerID", skip_serializing_if = "String::is_empty")]
    pub container_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub container_name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub network: String,
}

/// How a flow ended.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct FlowResult {
    /// `closed`, `refused`, `failed` (no answer), `silent` (nothing was said for long) or `gone` (the container is).
    pub outcome: String,
    /// Seconds from the first packet to the last.
    pub seconds: f64,
    /// From the source to the destination, Ethernet headers included.
    pub sent_bytes: u64,
    pub sent_packets: u64,
    /// The other way round.
    pub received_bytes: u64,
    pub received_packets: u64,
}

/// Why something was refused.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct FlowDrop {
    /// As `beeline_datapath_drops_total` labels it.
    pub reason: String,
    /// What it means, and what to do about it.
    pub hint: String,
    /// Bytes of the packet; zero for what a socket of the host asked for.
    pub bytes: u32,
    /// `publish`, `network` or `daemon`: whose rule refuses it; empty if none does.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub rule_scope: String,
    /// The sources that the rule denies; empty when it is a list of who is allowed, and the source is not on it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub rule_source: String,
}

/// `GET /beeline/pairs`: two that talk, and how much since somebody began to ask.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Pair {
    /// Who began.
    pub source: Party,
    pub destination: Party,
    pub flows: u64,
    /// From the source to the destination, Ethernet headers included.
    pub sent_bytes: u64,
    pub sent_packets: u64,
    /// The other way round.
    pub received_bytes: u64,
    pub received_packets: u64,
}

/// One that talks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Party {
    /// `container`, `host` or `outside`.
    pub kind: String,
    #[serde(rename = "ContainerID", skip_serializing_if = "String::is_empty")]
    pub container_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub container_name: String,
    /// The network by which it talks.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub network: String,
}
