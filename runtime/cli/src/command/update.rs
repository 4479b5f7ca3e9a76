use beeline_wire::container::host_config::{Resources, RestartPolicy, UpdateRequest, UpdateResponse};
use clap::Args;

use crate::client::{Client, path};
use crate::error::{Outcome, for_each};
use crate::output;
use crate::restart::parse_policy;
use crate::units::{memory_swap, parse_bytes, parse_cpus};

/// Flags of `beeline update`.
#[derive(Debug, Args)]
pub(crate) struct Update {
    /// The most memory, such as 64m
    #[arg(short, long, value_name = "BYTES", value_parser = parse_bytes)]
    memory: Option<i64>,
    /// The most memory and swap together; -1 is unlimited swap
    #[arg(long, value_name = "BYTES", value_parser = memory_swap, allow_negative_numbers = true)]
    memory_swap: Option<i64>,
    /// The memory the container is pressed down to when memory is short
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    memory_reservation: Option<i64>,
    /// The most processor time, in processors, such as 0.5
    #[arg(long, value_name = "NUMBER", value_parser = parse_cpus)]
    cpus: Option<i64>,
    /// Processor time relative to other containers; 1024 is the default
    #[arg(short, long, value_name = "WEIGHT")]
    cpu_shares: Option<i64>,
    /// Processor time in microseconds a period
    #[arg(long, value_name = "MICROSECONDS", allow_negative_numbers = true)]
    cpu_quota: Option<i64>,
    /// The period in microseconds
    #[arg(long, value_name = "MICROSECONDS")]
    cpu_period: Option<i64>,
    /// The processors to run on, such as 0-2,7
    #[arg(long, value_name = "LIST")]
    cpuset_cpus: Option<String>,
    /// The memory nodes to use, such as 0,1
    #[arg(long, value_name = "LIST")]
    cpuset_mems: Option<String>,
    /// The most processes and threads; -1 is unlimited
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pids_limit: Option<i64>,
    /// Block IO relative to other containers: 10 to 1000
    #[arg(long, value_name = "WEIGHT")]
    blkio_weight: Option<u16>,
    /// When to start it again by itself: no, always, unless-stopped, on-failure[:TIMES]
    #[arg(long, value_name = "POLICY", value_parser = parse_policy)]
    restart: Option<RestartPolicy>,
    /// Names or ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Update {
    pub(crate) async fn run(self, client: &Client) -> Outcome {
        let request = UpdateRequest {
            resources: Resources {
                memory: self.memory.unwrap_or(0),
                memory_swap: self.memory_swap.unwrap_or(0),
                memory_reservation: self.memory_reservation.unwrap_or(0),
                nano_cpus: self.cpus.unwrap_or(0),
                cpu_shares: self.cpu_shares.unwrap_or(0),
                cpu_quota: self.cpu_quota.unwrap_or(0),
                cpu_period: self.cpu_period.unwrap_or(0),
                cpuset_cpus: self.cpuset_cpus.unwrap_or_default(),
                cpuset_mems: self.cpuset_mems.unwrap_or_default(),
                pids_limit: self.pids_limit,
                blkio_weight: self.blkio_weight.unwrap_or(0),
                ..Resources::default()
            },
            restart_policy: self.restart.unwrap_or_default(),
        };
        let request = &request;
        for_each(&self.containers, |name| async move {
            let answer: UpdateResponse =
                client.post_json(&path("/containers/{}/update", &name), request).await?;
            for warning in answer.warnings {
                output::complain(&format!("beeline: warning: {warning}"));
            }
            Ok(output::line(&name)?)
        })
        .await
    }
}
