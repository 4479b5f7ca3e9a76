//! ctrl-p ctrl-q leaves the container running and the terminal free.

const FIRST: u8 = 0x10;
const SECOND: u8 = 0x11;

/// Watches what is typed for the sequence.
#[derive(Debug, Default)]
pub(crate) struct DetachKeys {
    /// Whether the last key was the first of the sequence, which is held back until the next tells what it meant.
    pending: bool,
}

impl DetachKeys {
    /// What of `input` is the container's, and whether the sequence was typed.
    pub(crate) fn filter(&mut self, input: &[u8]) -> (Vec<u8>, bool) {
        let mut passed = Vec::with_capacity(input.len() + 1);
        for &key in input {
            if std::mem::take(&mut self.pending) {
                if key == SECOND {
                    return (passed, true);
                }
                passed.push(FIRST);
            }
            if key == FIRST {
                self.pending = true;
            } else {
                passed.push(key);
            }
        }
        (passed, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_sequence_detaches() {
        let mut keys = DetachKeys::default();
        assert_eq!(keys.filter(b"ab"), (b"ab".to_vec(), false));
        assert_eq!(keys.filter(&[b'a', FIRST]), (b"a".to_vec(), false));
        assert_eq!(keys.filter(b"b"), (vec![FIRST, b'b'], false));
        assert_eq!(keys.filter(&[FIRST, FIRST]), (vec![FIRST], false));
        assert_eq!(keys.filter(&[SECOND, b'z']), (vec![], true));
    }
}
