//! SCTP's checksum (RFC 9260, appendix A), changed by difference.
//!
//! CRC32c is linear over the bits of packets of one length: what a changed word does to it is the CRC of the change,
//! moved past the bytes that follow. So a port is rewritten without reading the packet.

/// The polynomial, its bits reversed.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// `MOVES[k]` moves a CRC past 2^k zero bytes: x to the power of 8 * 2^k, modulo the polynomial.
const MOVES: [u32; 16] = moves();

/// The product of two polynomials modulo CRC32c's, bits reversed. Without a branch, for the verifier's sake.
#[inline(always)]
const fn multiply(a: u32, mut b: u32) -> u32 {
    let mut product = 0;
    let mut bit = 32;
    while bit > 0 {
        bit -= 1;
        product ^= b & ((a >> bit) & 1).wrapping_neg();
        b = (b >> 1) ^ (POLYNOMIAL & (b & 1).wrapping_neg());
    }
    product
}

const fn moves() -> [u32; 16] {
    let mut table = [0; 16];
    // x to the power of 8.
    table[0] = 1 << (31 - 8);
    let mut at = 1;
    while at < 16 {
        table[at] = multiply(table[at - 1], table[at - 1]);
        at += 1;
    }
    table
}

/// What a change of an SCTP packet's ports does to its checksum, while it is worked out: one step for each bit of the
/// packet's length.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SctpChange {
    crc: u32,
    len: u32,
}

impl SctpChange {
    /// How many steps there are.
    pub const STEPS: u32 = 16;

    /// Begins, with the ports as they lie in memory and the packet's length from the ports on.
    #[inline(always)]
    pub const fn new(old_ports: u32, new_ports: u32, len: u16) -> Self {
        // A word in the register of the CRC is before its own four bytes: they are moved past too.
        Self { crc: u32::from_le(old_ports ^ new_ports), len: len as u32 }
    }

    /// Takes one of the steps; each once, in any order.
    #[inline(always)]
    pub const fn step(&mut self, number: u32) {
        let number = number % Self::STEPS;
        let moved = multiply(self.crc, MOVES[number as usize]);
        let mask = ((self.len >> number) & 1).wrapping_neg();
        self.crc = (moved & mask) | (self.crc & !mask);
    }

    /// The checksum field after all steps, as it lies in memory.
    #[inline(always)]
    pub const fn apply(&self, field: u32) -> u32 {
        field ^ self.crc.to_le()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Bit by bit, as the RFC defines it.
    fn crc32c(bytes: &[u8]) -> u32 {
        let mut crc = u32::MAX;
        for byte in bytes {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = (crc >> 1) ^ (POLYNOMIAL & (crc & 1).wrapping_neg());
            }
        }
        !crc
    }

    #[test]
    fn the_test_vector_holds() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    proptest! {
        #[test]
        fn incremental_equals_full(mut bytes in proptest::collection::vec(any::<u8>(), 12..1500), new in any::<u32>()) {
            bytes[8..12].fill(0);
            let word = |bytes: &[u8]| u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            let (before, old) = (crc32c(&bytes).to_le(), word(&bytes));
            bytes[..4].copy_from_slice(&new.to_ne_bytes());
            let mut change = SctpChange::new(old, new, bytes.len() as u16);
            for number in 0..SctpChange::STEPS {
                change.step(number);
            }
            prop_assert_eq!(change.apply(before), crc32c(&bytes).to_le());
        }
    }
}
