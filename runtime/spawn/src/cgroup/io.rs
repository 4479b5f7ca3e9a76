//! Block IO and huge pages as control files' contents.

use oci_spec::runtime::{LinuxBlockIo, LinuxResources, LinuxThrottleDevice};

use super::limits::{Setting, setting};

/// The limits of v1, and the keys that v2 has for them.
const THROTTLES: [(&str, &str); 4] = [
    ("blkio.throttle.read_bps_device", "rbps"),
    ("blkio.throttle.write_bps_device", "wbps"),
    ("blkio.throttle.read_iops_device", "riops"),
    ("blkio.throttle.write_iops_device", "wiops"),
];

fn throttles(io: &LinuxBlockIo) -> [&Option<Vec<LinuxThrottleDevice>>; 4] {
    [
        io.throttle_read_bps_device(),
        io.throttle_write_bps_device(),
        io.throttle_read_iops_device(),
        io.throttle_write_iops_device(),
    ]
}

/// A weight goes to the file of the scheduler that has one; a host without any is told before.
fn weight(controller: &'static str, file: &str, value: &dyn ToString) -> Setting {
    Setting { optional: true, ..setting(controller, "block IO weight", file, value) }
}

pub(super) fn v1(resources: &LinuxResources, settings: &mut Vec<Setting>) {
    let Some(io) = resources.block_io() else { return hugepages(resources, "limit_in_bytes", settings) };
    for scheduler in ["blkio.bfq", "blkio"] {
        if let Some(value) = io.weight().filter(|weight| *weight > 0) {
            settings.push(weight("blkio", &format!("{scheduler}.weight"), &value));
        }
        for device in io.weight_device().iter().flatten() {
            let value = format!("{}:{} {}", device.major(), device.minor(), device.weight().unwrap_or(0));
            settings.push(weight("blkio", &format!("{scheduler}.weight_device"), &value));
        }
    }
    for (devices, (file, _)) in throttles(io).into_iter().zip(THROTTLES) {
        for device in devices.iter().flatten() {
            let value = format!("{}:{} {}", device.major(), device.minor(), device.rate());
            settings.push(setting("blkio", "block IO", file, &value));
        }
    }
    hugepages(resources, "limit_in_bytes", settings);
}

pub(super) fn v2(resources: &LinuxResources, settings: &mut Vec<Setting>) {
    let Some(io) = resources.block_io() else { return hugepages(resources, "max", settings) };
    if let Some(value) = io.weight().filter(|weight| *weight > 0) {
        settings.push(weight("io", "io.bfq.weight", &value));
        settings.push(weight("io", "io.weight", &weight_from_blkio(value)));
    }
    for device in io.weight_device().iter().flatten() {
        let value = device.weight().unwrap_or(0);
        let of = |value: u64| format!("{}:{} {value}", device.major(), device.minor());
        settings.push(weight("io", "io.bfq.weight", &of(value.into())));
        settings.push(weight("io", "io.weight", &of(weight_from_blkio(value))));
    }
    for (devices, (_, key)) in throttles(io).into_iter().zip(THROTTLES) {
        for device in devices.iter().flatten() {
            let value = format!("{}:{} {key}={}", device.major(), device.minor(), device.rate());
            settings.push(setting("io", "block IO", "io.max", &value));
        }
    }
    hugepages(resources, "max", settings);
}

fn hugepages(resources: &LinuxResources, file: &str, settings: &mut Vec<Setting>) {
    for limit in resources.hugepage_limits().iter().flatten() {
        let file = format!("hugetlb.{}.{file}", limit.page_size());
        settings.push(setting("hugetlb", "huge pages", &file, &limit.limit()));
    }
}

/// v2's weight (1 to 10000) for v1's (10 to 1000), as runc has it.
pub(super) fn weight_from_blkio(weight: u16) -> u64 {
    match weight {
        0 => 0,
        weight => 1 + u64::from(weight.clamp(10, 1000) - 10) * 9999 / 990,
    }
}
