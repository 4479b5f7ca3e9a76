//! Where the running kernel has a field of one of its structures, by its own description (BTF).

use std::{fs, io, path::Path};

const VMLINUX: &str = "/sys/kernel/btf/vmlinux";
const MAGIC: u16 = 0xeb9f;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
/// The kinds that only qualify another type, or name it.
const NAMES: [u32; 5] = [8, 9, 10, 11, 18];
const TYPE_SIZE: usize = 12;
const MEMBER_SIZE: usize = 12;
/// How deep structures are looked into.
const MOST_LEVELS: usize = 16;

/// The description of the kernel's types.
pub(super) struct Btf {
    bytes: Vec<u8>,
    /// Where each type begins; they are numbered from one.
    types: Vec<usize>,
    strings: usize,
}

/// A structure or union.
struct Composite {
    members: usize,
    count: usize,
    has_bitfields: bool,
}

impl Btf {
    /// Reads the running kernel's.
    pub(super) fn of_kernel() -> io::Result<Self> {
        let bytes = fs::read(Path::new(VMLINUX))?;
        Self::parse(bytes)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no description of types"))
    }

    fn parse(bytes: Vec<u8>) -> Option<Self> {
        if u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?) != MAGIC {
            return None;
        }
        let header = word(&bytes, 4)? as usize;
        let section = |at: usize| Some(word(&bytes, at)? as usize);
        let first = header + section(8)?;
        let end = first + section(12)?;
        let strings = header + section(16)?;
        let mut types = vec![0];
        let mut at = first;
        while at < end {
            types.push(at);
            at += TYPE_SIZE + tail(word(&bytes, at + 4)?)?;
        }
        Some(Self { bytes, types, strings })
    }

    /// Bytes from the beginning of a structure to a field, which may be one of a field, and so on.
    pub(super) fn offset(&self, structure: &str, path: &[&str]) -> Option<u32> {
        let mut composite = self.named(structure)?;
        let mut bits = 0;
        for name in path {
            let (offset, kind) = self.member(&composite, name, MOST_LEVELS)?;
            bits += offset;
            composite =
                self.composite(kind).unwrap_or(Composite { members: 0, count: 0, has_bitfields: false });
        }
        bits.is_multiple_of(8).then_some(bits / 8)
    }

    /// The structure of a name.
    fn named(&self, name: &str) -> Option<Composite> {
        let mut all = self.types.iter().skip(1);
        all.find_map(|at| {
            let is_structure = kind(word(&self.bytes, at + 4)?) == STRUCT;
            (is_structure && self.is_called(*at, name)?).then(|| self.composite_at(*at))?
        })
    }

    /// A member of the name, with the number of its type; those of a structure without a name are its holder's.
    fn member(&self, composite: &Composite, name: &str, levels: usize) -> Option<(u32, u32)> {
        (0..composite.count).find_map(|index| {
            let at = composite.members + index * MEMBER_SIZE;
            let kind = word(&self.bytes, at + 4)?;
            let place = word(&self.bytes, at + 8)?;
            let offset = if composite.has_bitfields { place & 0x00ff_ffff } else { place };
            if self.is_called(at, name)? {
                return Some((offset, kind));
            }
            if word(&self.bytes, at)? != 0 || levels == 0 {
                return None;
            }
            let (inner, kind) = self.member(&self.composite(kind)?, name, levels - 1)?;
            Some((offset + inner, kind))
        })
    }

    /// The structure or union behind a type's number.
    fn composite(&self, number: u32) -> Option<Composite> {
        let mut at = *self.types.get(number as usize)?;
        for _ in 0..MOST_LEVELS {
            if !NAMES.contains(&kind(word(&self.bytes, at + 4)?)) {
                break;
            }
            at = *self.types.get(word(&self.bytes, at + 8)? as usize)?;
        }
        self.composite_at(at)
    }

    fn composite_at(&self, at: usize) -> Option<Composite> {
        let info = word(&self.bytes, at + 4)?;
        matches!(kind(info), STRUCT | UNION).then_some(Composite {
            members: at + TYPE_SIZE,
            count: count(info),
            has_bitfields: info >> 31 != 0,
        })
    }

    /// Whether what begins with the place of its name has this one.
    fn is_called(&self, at: usize, name: &str) -> Option<bool> {
        let begin = self.strings + word(&self.bytes, at)? as usize;
        let text = self.bytes.get(begin..=begin + name.len())?;
        Some(text.strip_suffix(&[0]) == Some(name.as_bytes()))
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn kind(info: u32) -> u32 {
    info >> 24 & 0x1f
}

fn count(info: u32) -> usize {
    (info & 0xffff) as usize
}

/// How many bytes follow a type's first three words; none for a kind that is not known.
fn tail(info: u32) -> Option<usize> {
    Some(match kind(info) {
        2 | 7..=12 | 16 | 18 => 0,
        1 | 14 | 17 => 4,
        3 => 12,
        6 | 13 => 8 * count(info),
        STRUCT | UNION | 15 | 19 => 12 * count(info),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_the_running_kernels_sockets_are_found() {
        let btf = Btf::of_kernel().expect("this kernel describes its types");
        assert_eq!(btf.offset("tcp_sock", &["inet_conn"]), Some(0));
        let rmem = btf.offset("sock", &["sk_backlog", "rmem_alloc"]).expect("in a structure without a name");
        assert!(rmem > 0 && rmem.is_multiple_of(4), "{rmem}");
        let (written, copied) =
            (btf.offset("tcp_sock", &["write_seq"]), btf.offset("tcp_sock", &["copied_seq"]));
        assert!(written > Some(rmem) && copied > Some(rmem) && written != copied);
        assert_eq!(btf.offset("tcp_sock", &["no_such_field"]), None);
        assert_eq!(btf.offset("no_such_structure", &["write_seq"]), None);
    }

    #[test]
    fn what_is_no_description_is_refused() {
        assert!(Btf::parse(vec![0x9f, 0xeb, 1]).is_none());
        assert!(Btf::parse(b"something else altogether".to_vec()).is_none());
    }
}
