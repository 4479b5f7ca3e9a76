//! What becomes of packets, in words.

mod hint;

pub use hint::hint;
