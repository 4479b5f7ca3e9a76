use oci_spec::runtime::{
    LinuxBlockIoBuilder, LinuxCpuBuilder, LinuxDeviceCgroupBuilder, LinuxDeviceType,
    LinuxHugepageLimitBuilder, LinuxMemoryBuilder, LinuxNetworkBuilder, LinuxPidsBuilder, LinuxResources,
    LinuxResourcesBuilder, LinuxThrottleDeviceBuilder, LinuxWeightDeviceBuilder,
};
use proptest::prelude::*;

use super::limits::{check, v1, v2};
use super::setting::keyed;
use super::{Hierarchy, Mode, weight_from_shares};

const UNIFIED: &str = "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
34 31 0:31 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset,clone_children
40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/x,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
42 31 0:29 / /mnt/second rw - cgroup cgroup rw,cpu,cpuacct
";

#[test]
fn the_three_arrangements_of_hosts_are_told_apart() {
    let mode = |text: &str| Hierarchy::parse(text).unwrap().mode();
    assert_eq!(mode(UNIFIED), Mode::Unified);
    assert_eq!(mode(HYBRID), Mode::Hybrid);
    let legacy: String =
        HYBRID.lines().filter(|line| !line.contains("cgroup2")).map(|line| format!("{line}\n")).collect();
    assert_eq!(mode(&legacy), Mode::Legacy);
    // A named hierarchy beside cgroup2 does not make a host hybrid.
    let named = format!("{UNIFIED}40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n");
    assert_eq!(mode(&named), Mode::Unified);
    assert!(Hierarchy::parse("27 1 254:0 / / rw - ext4 /dev/vda rw\n").is_err());
}

#[test]
fn a_group_has_a_path_in_every_hierarchy() {
    let cgroup = Hierarchy::parse(HYBRID).unwrap().cgroup("/beeline/0/x").unwrap();
    let paths = cgroup.paths();
    let of = |name: &str| paths.v1[name].to_str().unwrap().to_owned();
    assert_eq!(of("cpu"), "/sys/fs/cgroup/cpu,cpuacct/beeline/0/x");
    assert_eq!(of("cpuacct"), of("cpu"));
    assert_eq!(of("name=systemd"), "/sys/fs/cgroup/systemd/beeline/0/x");
    assert_eq!(paths.unified.unwrap().to_str(), Some("/sys/fs/cgroup/unified/beeline/0/x"));
    assert_eq!(paths.v1.len(), 4);
}

#[test]
fn a_path_cannot_leave_its_hierarchy() {
    let hierarchy = Hierarchy::parse(UNIFIED).unwrap();
    for path in ["", "/", "x", "/a//b", "/a/../b", "/..", "/a/."] {
        assert!(hierarchy.cgroup(path).is_err(), "{path:?}");
    }
}

fn resources() -> LinuxResources {
    let memory =
        LinuxMemoryBuilder::default().limit(100_i64).swap(150_i64).reservation(50_i64).build().unwrap();
    let cpu = LinuxCpuBuilder::default().shares(1024_u64).quota(50_000_i64).cpus("0-1").build().unwrap();
    let device =
        LinuxDeviceCgroupBuilder::default().allow(true).typ(LinuxDeviceType::C).major(1_i64).access("rw");
    let mut resources = LinuxResourcesBuilder::default()
        .memory(memory)
        .cpu(cpu)
        .devices(vec![device.build().unwrap()])
        .build()
        .unwrap();
    resources.set_pids(Some(LinuxPidsBuilder::default().limit(0_i64).build().unwrap()));
    resources
}

#[test]
fn v1_files_get_their_values() {
    let settings = v1(&resources());
    let written: Vec<(&str, &str)> =
        settings.iter().map(|set| (set.file.as_str(), set.value.as_str())).collect();
    let expected = [
        ("devices.allow", "c 1:* rw"),
        ("memory.limit_in_bytes", "100"),
        ("memory.soft_limit_in_bytes", "50"),
        ("memory.memsw.limit_in_bytes", "150"),
        ("cpu.shares", "1024"),
        ("cpu.cfs_quota_us", "50000"),
        ("cpuset.cpus", "0-1"),
        ("pids.max", "max"),
    ];
    assert_eq!(written, expected);
}

#[test]
fn v2_files_get_their_values() {
    let settings = v2(&resources());
    let written: Vec<(&str, &str)> =
        settings.iter().map(|set| (set.file.as_str(), set.value.as_str())).collect();
    let expected = [
        ("memory.max", "100"),
        ("memory.low", "50"),
        ("memory.swap.max", "50"),
        ("cpu.weight", "100"),
        ("cpu.max", "50000 100000"),
        ("cpuset.cpus", "0-1"),
        ("pids.max", "max"),
    ];
    assert_eq!(written, expected);
}

#[test]
fn block_io_and_huge_pages_have_their_files_on_both() {
    let device = |rate: u64| {
        vec![LinuxThrottleDeviceBuilder::default().major(8).minor(16).rate(rate).build().unwrap()]
    };
    let io = LinuxBlockIoBuilder::default()
        .weight(500_u16)
        .weight_device(vec![
            LinuxWeightDeviceBuilder::default().major(8).minor(0).weight(10_u16).build().unwrap(),
        ])
        .throttle_read_bps_device(device(1_048_576))
        .throttle_write_iops_device(device(7))
        .build()
        .unwrap();
    let pages = LinuxHugepageLimitBuilder::default().page_size("2MB").limit(4_194_304_i64).build().unwrap();
    let mut resources = LinuxResources::default();
    resources.set_block_io(Some(io)).set_hugepage_limits(Some(vec![pages]));
    let written = |settings: Vec<super::limits::Setting>| -> Vec<String> {
        settings.iter().map(|set| format!("{}={}", set.file, set.value)).collect()
    };
    let expected = [
        "blkio.bfq.weight=500",
        "blkio.bfq.weight_device=8:0 10",
        "blkio.weight=500",
        "blkio.weight_device=8:0 10",
        "blkio.throttle.read_bps_device=8:16 1048576",
        "blkio.throttle.write_iops_device=8:16 7",
        "hugetlb.2MB.limit_in_bytes=4194304",
    ];
    assert_eq!(written(v1(&resources)), expected);
    let expected = [
        "io.bfq.weight=500",
        "io.weight=4950",
        "io.bfq.weight=8:0 10",
        "io.weight=8:0 1",
        "io.max=8:16 rbps=1048576",
        "io.max=8:16 wiops=7",
        "hugetlb.2MB.max=4194304",
    ];
    assert_eq!(written(v2(&resources)), expected);
}

#[test]
fn what_is_not_implemented_is_refused_by_name() {
    let mut resources = LinuxResources::default();
    resources.set_network(Some(LinuxNetworkBuilder::default().class_id(1_u32).build().unwrap()));
    assert_eq!(check(&resources).unwrap_err().to_string(), "resources.network is not supported");
}

#[test]
fn shares_keep_their_least_default_and_most() {
    assert_eq!([2, 1024, 262_144].map(weight_from_shares), [1, 100, 10_000]);
    assert_eq!([0, 1, u64::MAX].map(weight_from_shares), [1, 1, 10_000]);
}

proptest! {
    #[test]
    fn more_shares_are_never_less_weight(shares in 0_u64..300_000) {
        let (weight, more) = (weight_from_shares(shares), weight_from_shares(shares + 1));
        prop_assert!(weight <= more && (1..=10_000).contains(&weight));
    }
}

#[test]
fn a_key_is_found_whole() {
    let events = "low 0\noom 3\noom_kill 2\noom_group_kill 1\n";
    assert_eq!(keyed(events, "oom_kill"), Some(2));
    assert_eq!(keyed(events, "oom"), Some(3));
    assert_eq!(keyed(events, "kill"), None);
}
