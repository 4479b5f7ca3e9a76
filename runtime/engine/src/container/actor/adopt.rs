//! After a restart of the daemon: what became of the container meanwhile.

use std::time::Duration;

use beeline_net::Netns;
use beeline_spawn::clock;
use beeline_spawn::protocol::{Exit, State};
use jiff::Timestamp;

use super::{Actor, end};
use crate::container::policy::Policy;
use crate::container::shim::{ShimError, ShimLink};
use crate::container::status::{ContainerState, ContainerStatus};
use crate::network::EndpointConfig;
use crate::publish::to_spec;

/// How long a shim may take to answer. One that hangs is not worth the whole daemon's start.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Docker's code for a container that was running when the machine went down.
const LOST: u8 = 255;

/// What was found of a container that had been started.
#[derive(Debug)]
pub(crate) enum Found {
    /// It runs; its network and ports are to be kept.
    Running,
    /// It has ended, or never began.
    Ended,
}

impl Actor {
    /// Looks for the container's shim. The kernel's side is kept or removed by the caller's reconciliation of the
    /// network first, then by [`Actor::settle`].
    pub(crate) async fn find(&mut self) -> Found {
        if !self.runtime.journalled {
            return Found::Ended;
        }
        match tokio::time::timeout(ANSWER_LIMIT, ShimLink::adopt(&self.run_dir())).await {
            Ok(Ok((link, status))) => match status.state {
                State::Running => {
                    self.link = Some(link);
                    // A daemon that died between the start and its record does not know when.
                    let known = self.runtime.status.started_at.is_some();
                    self.keep_connections();
                    self.runtime.status = ContainerStatus {
                        state: if self.is_frozen() {
                            ContainerState::Paused
                        } else {
                            ContainerState::Running
                        },
                        pid: status.pid,
                        started_at: self.runtime.status.started_at.or_else(super::now),
                        began: if known { self.runtime.status.began } else { Some(clock::uptime()) },
                        finished_at: self.runtime.status.finished_at,
                        health: self.runtime.status.health.take().or_else(|| self.first_health()),
                        ..ContainerStatus::default()
                    };
                    self.show();
                    self.monitor();
                    crate::exec::adopt(&self.shared, &self.view.borrow());
                    Found::Running
                }
                // The daemon died before the start: the shim has given up, or is about to.
                State::Created | State::Exited => Found::Ended,
            },
            Ok(Err(error)) => {
                tracing::debug!(container = %self.record.id, %error, "no shim");
                Found::Ended
            }
            Err(_) => {
                tracing::warn!(container = %self.record.id, "the shim does not answer");
                Found::Ended
            }
        }
    }

    /// Keeps the connections that the record has, and forgets one that a daemon died over.
    fn keep_connections(&mut self) {
        let (id, networks) = (self.record.id.clone(), self.shared.clone());
        let wanted = &self.record.networks;
        self.runtime.connections.retain(|network, connection| {
            let Some(network) = networks.networks.get(network) else { return false };
            let Some(bridge) = network.as_bridge() else { return false };
            if connection.endpoint.is_none() || !wanted.contains_key(network.name()) {
                bridge.release(&id);
                return false;
            }
            // Its addresses are in use: they must not be taken for resting ones.
            if let Err(error) = bridge.lease(&id, &EndpointConfig::default()) {
                tracing::error!(container = %id, error = error.full(), "the container's address is another's, too");
            }
            true
        });
    }

    /// The connections to networks that a running container keeps, with their addresses.
    pub(crate) fn endpoints(&self) -> impl Iterator<Item = &beeline_net::Endpoint> {
        self.runtime.endpoints()
    }

    /// Tells the resolver, which is new, what the running container is called, and leads its questions there. Before that it
    /// does what the change of a connection left undone.
    pub(crate) async fn resume_names(&mut self) {
        if self.runtime.moving.is_some()
            && let Ok(netns) = self.namespace().await
            && let Err(error) = self.settle_connections(&netns).await
        {
            tracing::error!(container = %self.record.id, error = error.full(), "the container's routes or ports are not right");
        }
        let view = self.view.borrow().clone();
        self.shared.tell_all_names(&view);
        let led = match Netns::of_process(self.runtime.status.pid) {
            Ok(netns) => self.lead_connected(&netns).await,
            // It has ended meanwhile.
            Err(_) => Ok(()),
        };
        if let Err(error) = led {
            tracing::error!(container = %self.record.id, error = error.full(), "the container finds no names");
        }
    }

    /// The open ports of a running container.
    pub(crate) fn publishes(&self) -> Vec<beeline_net::PublishSpec> {
        match Policy::of(&self.record.config.labels) {
            Ok(policy) => {
                let published = self.runtime.published.iter();
                published.map(|publish| to_spec(publish, &policy)).collect()
            }
            Err(error) => {
                // Another version of Beeline took them: closed is better than open to whom nobody wanted.
                tracing::error!(container = %self.record.id, error = error.full(), "the container's ports are closed");
                Vec::new()
            }
        }
    }

    /// Brings record and status of a container that does not run in line. True if it is removed.
    pub(crate) async fn settle(&mut self) -> bool {
        let was_running = self.runtime.status.state.is_running();
        match self.runtime.status.state {
            ContainerState::Running | ContainerState::Paused | ContainerState::Stopping => {
                let exit = end::read_exit(&self.exit_file()).or_else(|| self.rebooted());
                self.finish(exit.ok_or(ShimError::Gone)).await;
            }
            ContainerState::Starting => {
                self.undo().await;
                let started = self.runtime.status.started_at.is_some();
                self.runtime.status.state =
                    if started { ContainerState::Exited } else { ContainerState::Created };
                self.runtime.status.pid = 0;
                self.runtime.status.error = "the daemon ended while the container was started".into();
                self.store().await;
                self.show();
            }
            ContainerState::Removing | ContainerState::Dead => return self.remove_stopped().await.is_ok(),
            ContainerState::Created | ContainerState::Restarting | ContainerState::Exited => {
                if self.runtime.journalled {
                    self.undo().await;
                    self.store().await;
                    self.show();
                }
            }
        }
        self.restart_at_boot().await;
        was_running && self.record.config.host.auto_remove && self.remove_stopped().await.is_ok()
    }

    /// The exit of a container that was running when the machine went down: its run directory went, too.
    fn rebooted(&self) -> Option<Exit> {
        let at = Timestamp::now();
        (!self.run_dir().exists()).then_some(Exit {
            code: LOST,
            signal: None,
            oom_killed: false,
            at,
            uptime: None,
        })
    }
}
