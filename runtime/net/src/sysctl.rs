//! Settings of the calling thread's network namespace that netlink does not know.

use std::{io, path::Path};

/// Whether the kernel has IPv6 at all.
pub(crate) fn has_ipv6() -> bool {
    Path::new("/proc/sys/net/ipv6").exists()
}

/// Writes a setting below `/proc/sys/net`; one the kernel does not have, or does not let us write, keeps its value.
pub(crate) fn set(key: &str, value: &str) {
    let path = format!("/proc/sys/net/{key}");
    if let Err(error) = std::fs::write(&path, value)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::debug!(%path, %error, "setting of a network namespace not written");
    }
}

/// Lets a device have IPv6 addresses, none of them from a router and each good at once, or none at all.
pub(crate) fn set_ipv6(device: &str, enabled: bool) {
    set(&format!("ipv6/conf/{device}/disable_ipv6"), if enabled { "0" } else { "1" });
    if enabled {
        for key in ["accept_ra", "autoconf", "accept_dad"] {
            set(&format!("ipv6/conf/{device}/{key}"), "0");
        }
    }
}

/// Lets what comes by a device be forwarded, alone of all devices.
pub(crate) fn forward_ipv6(device: &str) {
    set(&format!("ipv6/conf/{device}/forwarding"), "1");
}
