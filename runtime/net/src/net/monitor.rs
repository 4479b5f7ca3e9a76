//! Tasks beside the requests: following the host's devices, and collecting flows that are over.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use futures_util::StreamExt as _;
use rtnetlink::{
    MulticastGroup, new_multicast_connection,
    packet_core::{NetlinkMessage, NetlinkPayload},
    packet_route::{
        RouteNetlinkMessage,
        link::{LinkAttribute, LinkMessage},
    },
    sys::AsyncSocket as _,
};
use tokio::{
    task::AbortHandle,
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use super::{Inner, blocking};
use crate::spec::is_ours;

/// How often flows that are over are collected.
const COLLECTION: Duration = Duration::from_secs(10);
/// Changes come in groups: one refresh for all within this time.
const GROUPING: Duration = Duration::from_millis(20);
/// Messages are lost when the socket's buffer is full: the host is looked at this often anyway.
const REFRESH: Duration = Duration::from_secs(30);
/// How long to wait before the monitor is opened again.
const REOPEN: Duration = Duration::from_secs(1);

/// Starts the tasks. They end with the [`Inner`] they serve.
pub(super) fn start(inner: &Arc<Inner>) -> [AbortHandle; 2] {
    let collector = tokio::spawn(collect(Arc::downgrade(inner)));
    let follower = tokio::spawn(follow(Arc::downgrade(inner)));
    [collector.abort_handle(), follower.abort_handle()]
}

async fn collect(inner: Weak<Inner>) {
    let mut ticks = interval(COLLECTION);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(inner) = inner.upgrade() else { return };
        if let Err(error) = blocking("collect flows", move || Ok(inner.datapath.expire_flows()?)).await {
            tracing::warn!(error = ?error, "flows not collected");
        }
    }
}

async fn follow(inner: Weak<Inner>) {
    while inner.strong_count() > 0 {
        if let Err(error) = watch(&inner).await {
            tracing::warn!(%error, "the host's devices cannot be followed; trying again");
        }
        sleep(REOPEN).await;
    }
}

/// Follows changes until the monitor's socket fails.
async fn watch(inner: &Weak<Inner>) -> std::io::Result<()> {
    let groups = [
        MulticastGroup::Link,
        MulticastGroup::Ipv4Ifaddr,
        MulticastGroup::Ipv6Ifaddr,
        MulticastGroup::Ipv4Route,
        MulticastGroup::Ipv6Route,
    ];
    let (mut connection, _handle, mut messages) = new_multicast_connection(&groups)?;
    // Thousands of containers' devices coming at once must not push out the message of an uplink.
    connection.socket_mut().socket_mut().set_rx_buf_sz(1_u32 << 20)?;
    let connection = tokio::spawn(connection);
    let _ends_with_us = AbortOnDrop(connection.abort_handle());
    // What changed before the socket was open.
    refresh(inner).await;
    loop {
        match timeout(REFRESH, messages.next()).await {
            Ok(None) => return Ok(()),
            Ok(Some((message, _))) if !concerns_uplinks(&message) => continue,
            Ok(Some(_)) => {
                sleep(GROUPING).await;
                while messages.try_recv().is_ok() {}
            }
            Err(_elapsed) => {}
        }
        if !refresh(inner).await {
            return Ok(());
        }
    }
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Tells whether there still is something to serve.
async fn refresh(inner: &Weak<Inner>) -> bool {
    let Some(inner) = inner.upgrade() else { return false };
    if let Err(error) = blocking("refresh uplinks", move || inner.refresh_uplinks()).await {
        tracing::warn!(error = ?error, "uplinks not refreshed");
    }
    true
}

/// Whether a change may concern an uplink: those of containers' devices, most of all changes, do not.
fn concerns_uplinks(message: &NetlinkMessage<RouteNetlinkMessage>) -> bool {
    let NetlinkPayload::InnerMessage(message) = &message.payload else { return true };
    match message {
        RouteNetlinkMessage::NewLink(link) | RouteNetlinkMessage::DelLink(link) => !is_our_link(link),
        _ => true,
    }
}

fn is_our_link(link: &LinkMessage) -> bool {
    let (mut name, mut description) = ("", None);
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::IfName(text) => name = text.as_str(),
            LinkAttribute::IfAlias(text) => description = Some(text.as_str()),
            _ => {}
        }
    }
    is_ours(name, description)
}
