//! Containers, images and networks: Beeline's domain and its state.
//!
//! What a user asked for is a record ([`ContainerConfig`]), kept in SQLite; what is observed is a status
//! ([`ContainerStatus`]). One task owns each container and takes requests from a queue; reads never wait for it.
#![forbid(unsafe_code)]

mod attach;
mod capture;
mod clock;
mod container;
mod database;
mod directory;
mod engine;
mod error;
mod event;
mod exec;
mod files;
mod flow;
mod identity;
mod image;
mod info;
mod logs;
mod network;
mod observe;
mod protocol;
mod publish;
mod remap;
mod settings;
mod shared;
mod stats;
mod target;
mod volume;
mod wait;

pub use beeline_net::{
    Acceleration, Action, CAPTURE_SNAPLEN, CaptureCounters, CaptureFilter, CaptureInterface, CaptureProtocol,
    CapturedPacket, DropReason, Guard, InvalidSource, LinkType, PacketDirection, PeerScope, Phase,
    RefusingRule, Rules, Scope, Timeouts, Volume, parse_sources,
};

pub use attach::{AttachOptions, Attachment};
pub use beeline_image::files::{Change, ChangeKind, FileStat};
pub use beeline_net::Watch;
pub use capture::{Capture, CaptureEnd, CaptureRequest, Captured};
pub use clock::Moment;
pub use container::config::{
    ContainerConfig, CreateContainer, DeviceLimit, DeviceRequest, Healthcheck, HostConfig, LogDriver,
    MountRequest, PortBinding, RestartPolicy, Ulimit,
};
pub use container::filter::{Filters, ListOptions};
pub use container::health::{Health, HealthStatus, Probe};
pub use container::log::log_drivers;
pub use container::size::parse as parse_size;
pub use container::status::{ContainerState, ContainerStatus};
pub use container::top::Top;
pub use container::validate::check_cgroup_parent;
pub use container::view::{ContainerPaths, ContainerView, Created, EndpointView, MountView, PortMapping};
pub use engine::{Engine, Refused};
pub use error::{Error, Kind};
pub use event::{Event, EventStream, EventSubject};
pub use exec::{ExecConfig, ExecState, ExecStream, ExecView};
pub use files::{CommitContainer, ContainerFiles};
pub use flow::{FlowChange, FlowContainer, FlowEnd, FlowEvent, FlowStream, Pair, Party, hint};
pub use identity::{ContainerId, ContainerName, InstanceId};
pub use image::{ImageLoad, ImageView, ImportImage, RemovedImage};
pub use info::EngineInfo;
pub use logs::{LogEntry, LogQuery, LogStream};
pub use network::{
    EndpointConfig, IpamConfig, NetworkConfig, NetworkMember, NetworkView, PoolConfig, PoolView, PortRule,
    PortStatus, parse_acceleration,
};
pub use protocol::Protocol;
pub use remap::Remap;
pub use settings::{AddressPool, DatapathLog, EngineConfig, SeccompProfile, SecurityDefaults};
pub use stats::{Overview, Stats, StatsStream, Usage};
pub use volume::{VolumeConfig, VolumeView};
pub use wait::{WaitCondition, WaitHandle, WaitOutcome};
