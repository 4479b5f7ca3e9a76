//! Classic BPF, instruction by instruction, with labels.

use libc::{
    BPF_ABS, BPF_ADD, BPF_ALU, BPF_AND, BPF_B, BPF_H, BPF_IMM, BPF_IND, BPF_JA, BPF_JEQ, BPF_JMP, BPF_JSET,
    BPF_K, BPF_LD, BPF_LSH, BPF_MEM, BPF_MISC, BPF_RET, BPF_ST, BPF_TAX, BPF_W, BPF_X, SKF_AD_OFF,
    SKF_NET_OFF, sock_filter,
};

/// A place in a program that instructions before it jump to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Label(usize);

/// A program that is being written. Offsets into packets are from the network header on.
#[derive(Debug, Default)]
pub(super) struct Program {
    instructions: Vec<sock_filter>,
    /// Jumps, by where they stand, to labels.
    jumps: Vec<(usize, Label)>,
    /// Where each label is.
    places: Vec<usize>,
}

impl Program {
    /// A label that is not placed yet.
    pub(super) fn label(&mut self) -> Label {
        self.places.push(usize::MAX);
        Label(self.places.len() - 1)
    }

    /// Places a label before the next instruction.
    pub(super) fn place(&mut self, label: Label) {
        self.places[label.0] = self.instructions.len();
    }

    fn push(&mut self, code: u32, k: u32) {
        self.instructions.push(sock_filter { code: code as u16, jt: 0, jf: 0, k });
    }

    /// Loads what the kernel knows of the packet.
    pub(super) fn load_ancillary(&mut self, what: i32) {
        self.push(BPF_LD | BPF_W | BPF_ABS, (SKF_AD_OFF + what) as u32);
    }

    pub(super) fn load(&mut self, number: u32) {
        self.push(BPF_LD | BPF_IMM, number);
    }

    pub(super) fn load_byte(&mut self, offset: u32) {
        self.push(BPF_LD | BPF_B | BPF_ABS, from_network_header(offset));
    }

    pub(super) fn load_half(&mut self, offset: u32) {
        self.push(BPF_LD | BPF_H | BPF_ABS, from_network_header(offset));
    }

    pub(super) fn load_word(&mut self, offset: u32) {
        self.push(BPF_LD | BPF_W | BPF_ABS, from_network_header(offset));
    }

    /// Loads what is `offset` bytes after the index.
    pub(super) fn load_byte_indexed(&mut self, offset: u32) {
        self.push(BPF_LD | BPF_B | BPF_IND, from_network_header(offset));
    }

    /// The same, two bytes.
    pub(super) fn load_half_indexed(&mut self, offset: u32) {
        self.push(BPF_LD | BPF_H | BPF_IND, from_network_header(offset));
    }

    pub(super) fn and(&mut self, bits: u32) {
        self.push(BPF_ALU | BPF_AND | BPF_K, bits);
    }

    pub(super) fn add(&mut self, number: u32) {
        self.push(BPF_ALU | BPF_ADD | BPF_K, number);
    }

    pub(super) fn shift_left(&mut self, bits: u32) {
        self.push(BPF_ALU | BPF_LSH | BPF_K, bits);
    }

    /// Makes the accumulator the index.
    pub(super) fn set_index(&mut self) {
        self.push(BPF_MISC | BPF_TAX, 0);
    }

    pub(super) fn store(&mut self, slot: u32) {
        self.push(BPF_ST, slot);
    }

    pub(super) fn recall(&mut self, slot: u32) {
        self.push(BPF_LD | BPF_MEM, slot);
    }

    /// Moves the index on by the length in a slot; the accumulator stays.
    pub(super) fn exchange_with_length(&mut self, slot: u32) {
        const KEPT: u32 = 2;
        self.store(KEPT);
        self.recall(slot);
        self.push(BPF_ALU | BPF_ADD | BPF_X, 0);
        self.set_index();
        self.recall(KEPT);
    }

    /// Jumps if the accumulator is `number`.
    pub(super) fn when_equal(&mut self, number: u32, label: Label) {
        self.conditional(BPF_JEQ, number, label, true);
    }

    /// Jumps unless the accumulator is `number`.
    pub(super) fn unless_equal(&mut self, number: u32, label: Label) {
        self.conditional(BPF_JEQ, number, label, false);
    }

    /// Jumps if the accumulator has one of the bits.
    pub(super) fn when_any_bit(&mut self, bits: u32, label: Label) {
        self.conditional(BPF_JSET, bits, label, true);
    }

    /// A conditional jump goes only 255 instructions far, so it goes around an unconditional one.
    fn conditional(&mut self, test: u32, k: u32, label: Label, when: bool) {
        let (jt, jf) = if when { (0, 1) } else { (1, 0) };
        self.instructions.push(sock_filter { code: (BPF_JMP | test | BPF_K) as u16, jt, jf, k });
        self.jump(label);
    }

    pub(super) fn jump(&mut self, label: Label) {
        self.jumps.push((self.instructions.len(), label));
        self.push(BPF_JMP | BPF_JA, 0);
    }

    /// Ends with how many bytes of the packet are wanted.
    pub(super) fn answer(&mut self, length: u32) {
        self.push(BPF_RET | BPF_K, length);
    }

    /// The program, all of whose labels are placed.
    pub(super) fn finish(mut self) -> Vec<sock_filter> {
        for (at, label) in self.jumps {
            self.instructions[at].k = (self.places[label.0] - at - 1) as u32;
        }
        self.instructions
    }
}

fn from_network_header(offset: u32) -> u32 {
    (SKF_NET_OFF as u32).wrapping_add(offset)
}
