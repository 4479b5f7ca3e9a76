//! What a control group read from block devices and wrote to them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// One block device's figures.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BlockIo {
    /// The device's number, as `8:0`.
    pub device: (u64, u64),
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Reads.
    pub reads: u64,
    /// Writes.
    pub writes: u64,
}

/// From `io.stat`: a line a device, `8:0 rbytes=1 wbytes=2 rios=3 wios=4 …`.
pub(crate) fn read_unified(dir: &Path) -> Vec<BlockIo> {
    let text = fs::read_to_string(dir.join("io.stat")).unwrap_or_default();
    let device = |line: &str| {
        let (number, fields) = line.split_once(' ')?;
        let mut io = BlockIo { device: device_number(number)?, ..BlockIo::default() };
        for (key, value) in fields.split(' ').filter_map(|field| field.split_once('=')) {
            let value = value.parse().ok()?;
            match key {
                "rbytes" => io.read_bytes = value,
                "wbytes" => io.written_bytes = value,
                "rios" => io.reads = value,
                "wios" => io.writes = value,
                _ => {}
            }
        }
        Some(io)
    };
    text.lines().filter_map(device).collect()
}

/// From the files of the throttling policy, or of the scheduler BFQ: `8:0 Read 1`. The former counts devices that have a
/// limit in some group, and before Linux 6.10 all.
pub(crate) fn read_v1(dir: &Path) -> Vec<BlockIo> {
    let policies = ["blkio.throttle", "blkio.bfq"].into_iter();
    policies.map(|policy| read_policy(dir, policy)).find(|devices| !devices.is_empty()).unwrap_or_default()
}

fn read_policy(dir: &Path, policy: &str) -> Vec<BlockIo> {
    let mut devices: BTreeMap<(u64, u64), BlockIo> = BTreeMap::new();
    let mut read = |file: &str, set: fn(&mut BlockIo, &str, u64)| {
        let text = fs::read_to_string(dir.join(format!("{policy}.{file}"))).unwrap_or_default();
        for line in text.lines() {
            let mut words = line.split(' ');
            let (Some(number), Some(operation), Some(value)) = (words.next(), words.next(), words.next())
            else {
                continue;
            };
            let (Some(device), Ok(value)) = (device_number(number), value.parse()) else { continue };
            let io = devices.entry(device).or_insert_with(|| BlockIo { device, ..BlockIo::default() });
            set(io, operation, value);
        }
    };
    read("io_service_bytes_recursive", |io, operation, value| match operation {
        "Read" => io.read_bytes = value,
        "Write" => io.written_bytes = value,
        _ => {}
    });
    read("io_serviced_recursive", |io, operation, value| match operation {
        "Read" => io.reads = value,
        "Write" => io.writes = value,
        _ => {}
    });
    devices.into_values().collect()
}

fn device_number(text: &str) -> Option<(u64, u64)> {
    let (major, minor) = text.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPECTED: BlockIo =
        BlockIo { device: (8, 16), read_bytes: 4096, written_bytes: 8192, reads: 1, writes: 2 };

    #[test]
    fn both_versions_say_the_same_of_a_device() {
        let dir = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| fs::write(dir.path().join(file), text).unwrap();
        write("io.stat", "8:16 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n");
        assert_eq!(read_unified(dir.path()), [EXPECTED]);
        let bytes = "8:16 Read 4096\n8:16 Write 8192\n8:16 Sync 12288\n8:16 Total 12288\nTotal 12288\n";
        let operations = "8:16 Read 1\n8:16 Write 2\n8:16 Total 3\nTotal 3\n";
        // A device without a limit is BFQ's to count.
        for policy in ["bfq", "throttle"] {
            write("blkio.throttle.io_service_bytes_recursive", "Total 0\n");
            write(&format!("blkio.{policy}.io_service_bytes_recursive"), bytes);
            write(&format!("blkio.{policy}.io_serviced_recursive"), operations);
            assert_eq!(read_v1(dir.path()), [EXPECTED], "{policy}");
        }
    }
}
