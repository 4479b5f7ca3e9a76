//! Networks, endpoints and published ports: netlink, IPAM and the eBPF datapath.
//!
//! [`Net`] is the face towards the engine. Below it, [`datapath`] speaks to the programs and maps in the kernel, `netlink`
//! to its devices; [`Ipam`] and [`choose_subnet`] are pure. All that forwards packets lives in the kernel: a daemon may
//! end and another take over while traffic flows.

pub mod datapath;
pub mod dns;

mod capture;
mod error;
mod firewall;
mod host;
mod ipam;
mod net;
mod netlink;
mod netns;
mod reserve;
mod rules;
mod spec;
mod subnet;
mod sysctl;

pub use capture::{
    CAPTURE_LATENCY, CAPTURE_SNAPLEN, Capture, CaptureBlock, CaptureCounters, CaptureFilter,
    CaptureInterface, CaptureProtocol, CaptureSpec, CapturedPacket, LinkType, PacketDirection,
};
pub use datapath::{
    Acceleration, Connections, Direction, DropReason, EndpointCounters, EventLoss, FlowEnds, FlowRecord,
    Group, GuardMode, Histogram, LogLevel, NetworkFlows, Observed, PeerScope, Phase, Protocol, Publish,
    PublishCounters, PublishStatus, Refusal, RefusingRule, RuleSets, RuleStatus, Timeouts, Told, Traffic,
    TrafficClass, TrafficKind, Volume, Watch,
};
pub use dns::DnsCounters;
pub use error::{Error, ErrorKind};
pub use ipam::Ipam;
pub use net::{FlowTable, Keep, Listener, Net, PublishRules, PublishSpec};
pub use netns::Netns;
pub use rules::{Action, InvalidSource, Rules, Scope, parse_source, parse_sources};
pub use spec::{
    Address, DefaultRoutes, Endpoint, EndpointSpec, Families, Guard, GuardStatus, NetConfig, NetworkSpec,
    Range, Range4, Range6, cgroup2_mount, check_device, default_device, network_device,
};
pub use subnet::{Pool, choose_subnet, default_gateway, default_pools, local_pool, mac_of, overlap};
