//! Incremental Internet checksums (RFC 1624), in the form the kernel's helpers take them.

/// Folds a 32-bit one's-complement sum to 16 bits, without complementing it.
#[inline(always)]
pub const fn fold(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    sum as u16
}

/// The one's-complement sum of bytes taken as 16-bit words in the machine's own order, as checksums are stored.
pub fn ones_complement_sum(bytes: &[u8]) -> u16 {
    let mut sum = 0u32;
    let mut chunks = bytes.chunks_exact(2);
    for pair in &mut chunks {
        sum += u32::from(u16::from_ne_bytes([pair[0], pair[1]]));
        sum = u32::from(fold(sum));
    }
    if let [last] = chunks.remainder() {
        sum += u32::from(u16::from_ne_bytes([*last, 0]));
    }
    fold(sum)
}

/// What replacing some words of a packet does to a checksum over them: `sum(new) + sum(~old)`.
///
/// The value is the difference that `bpf_l4_csum_replace` takes with a size of zero. Words are passed as they lie in
/// memory; one's-complement sums do not depend on byte order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Difference(u64);

impl Difference {
    /// No change.
    pub const NONE: Self = Self(0);

    /// Adds the replacement of one 32-bit word.
    #[inline(always)]
    #[must_use]
    pub const fn word(self, old: u32, new: u32) -> Self {
        Self(self.0 + (!old) as u64 + new as u64)
    }

    /// Adds the replacement of one 16-bit word.
    #[inline(always)]
    #[must_use]
    pub const fn half(self, old: u16, new: u16) -> Self {
        Self(self.0 + (!old) as u64 + new as u64)
    }

    /// Adds another difference.
    #[inline(always)]
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 + other.sum() as u64)
    }

    /// The difference as a 32-bit partial sum.
    #[inline(always)]
    pub const fn sum(self) -> u32 {
        let sum = (self.0 & 0xffff_ffff) + (self.0 >> 32);
        let sum = (sum & 0xffff_ffff) + (sum >> 32);
        sum as u32
    }

    /// The checksum field after the change, given the field before it.
    #[inline(always)]
    pub const fn apply(self, check: u16) -> u16 {
        let sum = self.sum();
        let folded = (sum & 0xffff) + (sum >> 16) + (!check) as u32;
        !fold(folded)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Zero and all ones are the same number in one's complement.
    fn same(a: u16, b: u16) -> bool {
        a == b || (a == 0 && b == 0xffff) || (a == 0xffff && b == 0)
    }

    proptest! {
        #[test]
        fn incremental_equals_full(mut bytes in proptest::collection::vec(any::<u8>(), 20..64), new in any::<u32>(), at in 0usize..4) {
            bytes.truncate(bytes.len() & !3);
            let before = !ones_complement_sum(&bytes);
            let at = at * 4;
            let old = u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
            bytes[at..at + 4].copy_from_slice(&new.to_ne_bytes());
            let after = Difference::NONE.word(old, new).apply(before);
            prop_assert!(same(after, !ones_complement_sum(&bytes)));
        }

        #[test]
        fn a_change_and_its_inverse_cancel(check in any::<u16>(), old in any::<u32>(), new in any::<u32>(), p in any::<u16>(), q in any::<u16>()) {
            let there = Difference::NONE.word(old, new).half(p, q);
            let back = Difference::NONE.word(new, old).half(q, p);
            prop_assert!(same(back.apply(there.apply(check)), check));
            prop_assert!(same(there.and(back).apply(check), check));
        }
    }

    #[test]
    fn the_extremes_do_not_overflow() {
        let mut difference = Difference::NONE;
        for _ in 0..32 {
            difference = difference.word(0, 0xffff_ffff);
        }
        assert!(same(difference.apply(0x1234), 0x1234));
    }
}
