//! PAX records, byte for byte: values such as file capabilities hold newlines, which the tar library splits at.

use std::ops::Range;

use rustix::fs::Timespec;

const BLOCK: u64 = 512;
const XATTR: &[u8] = b"SCHILY.xattr.";

/// What an entry's PAX records say beyond what the tar library applies.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Pax {
    /// Extended attributes: name and value.
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Seconds and nanoseconds, where the header knows whole seconds only.
    pub(crate) mtime: Option<(i64, i64)>,
}

impl Pax {
    /// Reads the records in `raw`, the bytes of the archive from `start` up to and with the entry's own header.
    pub(crate) fn read(raw: &[u8], start: u64, entry_header: u64) -> Option<Self> {
        let mut pax = Self::default();
        let mut position = start.next_multiple_of(BLOCK);
        // Extension headers stand in front of the entry's own.
        while position < entry_header {
            let header = slice(raw, start, position..position + BLOCK)?;
            let header = tar::Header::from_byte_slice(header);
            let size = header.entry_size().ok()?;
            let data = position + BLOCK;
            if header.entry_type().is_pax_local_extensions() {
                pax.records(slice(raw, start, data..data.checked_add(size)?)?)?;
            }
            position = data.checked_add(size)?.checked_next_multiple_of(BLOCK)?;
        }
        Some(pax)
    }

    fn records(&mut self, mut data: &[u8]) -> Option<()> {
        while !data.is_empty() {
            let space = data.iter().position(|byte| *byte == b' ')?;
            let length: usize = std::str::from_utf8(&data[..space]).ok()?.parse().ok()?;
            let record = data.get(space + 1..length)?.strip_suffix(b"\n")?;
            let equals = record.iter().position(|byte| *byte == b'=')?;
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            if let Some(name) = key.strip_prefix(XATTR) {
                self.xattrs.push((name.to_vec(), value.to_vec()));
            } else if key == b"mtime" {
                self.mtime = timestamp(std::str::from_utf8(value).ok()?);
            }
            data = &data[length..];
        }
        Some(())
    }

    /// The time of last modification: the record's, or else the header's whole `seconds`.
    pub(crate) fn mtime(&self, seconds: u64) -> Timespec {
        let (tv_sec, tv_nsec) = self.mtime.unwrap_or((seconds.try_into().unwrap_or(0), 0));
        Timespec { tv_sec, tv_nsec }
    }
}

fn slice(raw: &[u8], start: u64, range: Range<u64>) -> Option<&[u8]> {
    let from = usize::try_from(range.start.checked_sub(start)?).ok()?;
    let to = usize::try_from(range.end.checked_sub(start)?).ok()?;
    raw.get(from..to)
}

/// Seconds with an optional fraction and sign: `-1.25` is 2 seconds before and 0.75 after.
fn timestamp(text: &str) -> Option<(i64, i64)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits: String = fraction.chars().chain(std::iter::repeat('0')).take(9).collect();
    let nanoseconds: i64 = digits.parse().ok()?;
    let seconds: i64 = whole.parse().ok()?;
    if whole.starts_with('-') && nanoseconds > 0 {
        return Some((seconds.checked_sub(1)?, 1_000_000_000 - nanoseconds));
    }
    Some((seconds, nanoseconds))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(key: &str, value: &[u8]) -> Vec<u8> {
        let body = key.len() + value.len() + 3;
        let mut length = body + body.to_string().len();
        length = body + length.to_string().len();
        let mut bytes = format!("{length} {key}=").into_bytes();
        bytes.extend(value);
        bytes.push(b'\n');
        bytes
    }

    #[test]
    fn values_may_hold_newlines() {
        let mut pax = Pax::default();
        let data =
            [record("SCHILY.xattr.security.capability", b"\x01\n\n\x02"), record("path", b"x")].concat();
        pax.records(&data).unwrap();
        assert_eq!(pax.xattrs, [(b"security.capability".to_vec(), b"\x01\n\n\x02".to_vec())]);
    }

    #[test]
    fn times_have_fractions_and_signs() {
        assert_eq!(timestamp("12.5"), Some((12, 500_000_000)));
        assert_eq!(timestamp("-1.25"), Some((-2, 750_000_000)));
        assert_eq!(timestamp("7"), Some((7, 0)));
        assert_eq!(timestamp("1.2345678901"), Some((1, 234_567_890)));
        assert_eq!(timestamp("x"), None);
        assert_eq!(timestamp("1.-2"), None);
    }

    proptest! {
        #[test]
        fn any_value_reads_back(value in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut pax = Pax::default();
            pax.records(&record("SCHILY.xattr.user.a", &value)).unwrap();
            prop_assert_eq!(&pax.xattrs[0].1, &value);
        }

        #[test]
        fn no_bytes_panic(data in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Pax::default().records(&data);
        }
    }
}
