//! The keys that free a terminal and leave the container running: ctrl-p ctrl-q unless others are chosen.

/// Why keys cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidKey(pub String);

impl std::error::Error for InvalidKey {}

impl std::fmt::Display for InvalidKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "invalid detach key {:?}: use a character, or ctrl- and one of a-z, @, [, \\, ], ^ and _",
            self.0
        )
    }
}

/// The bytes of keys such as `ctrl-p,ctrl-q` or `a,b`. Nothing is the default's.
///
/// # Errors
/// A key is no character and not known.
pub fn parse(text: &str) -> Result<Vec<u8>, InvalidKey> {
    if text.is_empty() {
        return Ok(DEFAULT.to_vec());
    }
    text.split(',').map(|key| byte(key).ok_or_else(|| InvalidKey(key.to_owned()))).collect()
}

fn byte(key: &str) -> Option<u8> {
    if let [one] = key.as_bytes() {
        return one.is_ascii().then_some(*one);
    }
    match key.strip_prefix("ctrl-")?.as_bytes() {
        [letter @ b'a'..=b'z'] => Some(letter - b'a' + 1),
        [b'@'] => Some(0),
        [sign @ (b'[' | b'\\' | b']' | b'^' | b'_')] => Some(sign - b'[' + 27),
        _ => None,
    }
}

const DEFAULT: [u8; 2] = [0x10, 0x11];

/// Watches what is typed for the sequence.
#[derive(Debug)]
pub struct DetachKeys {
    keys: Vec<u8>,
    /// How much of the sequence was typed; it is held back until the next key tells what it meant.
    typed: usize,
}

impl Default for DetachKeys {
    fn default() -> Self {
        Self::new(DEFAULT.to_vec())
    }
}

impl DetachKeys {
    /// Watches for `keys`; for the default ones if there are none.
    #[must_use]
    pub fn new(keys: Vec<u8>) -> Self {
        Self { keys: if keys.is_empty() { DEFAULT.to_vec() } else { keys }, typed: 0 }
    }

    /// What of `input` is the container's, and whether the sequence was typed.
    pub fn filter(&mut self, input: &[u8]) -> (Vec<u8>, bool) {
        let mut passed = Vec::with_capacity(input.len() + self.typed);
        for &key in input {
            if self.keys.get(self.typed) != Some(&key) {
                passed.extend(self.keys.iter().take(self.typed));
                self.typed = 0;
            }
            if self.keys.get(self.typed) == Some(&key) {
                self.typed += 1;
            } else {
                passed.push(key);
            }
            if self.typed == self.keys.len() {
                self.typed = 0;
                return (passed, true);
            }
        }
        (passed, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: u8 = 0x10;
    const SECOND: u8 = 0x11;

    #[test]
    fn only_the_whole_sequence_detaches() {
        let mut keys = DetachKeys::default();
        assert_eq!(keys.filter(b"ab"), (b"ab".to_vec(), false));
        assert_eq!(keys.filter(&[b'a', FIRST]), (b"a".to_vec(), false));
        assert_eq!(keys.filter(b"b"), (vec![FIRST, b'b'], false));
        assert_eq!(keys.filter(&[FIRST, FIRST]), (vec![FIRST], false));
        assert_eq!(keys.filter(&[SECOND, b'z']), (vec![], true));
    }

    #[test]
    fn keys_are_dockers() {
        assert_eq!(parse("ctrl-p,ctrl-q").unwrap(), DEFAULT);
        assert_eq!(parse("").unwrap(), DEFAULT);
        assert_eq!(parse("a,ctrl-@,ctrl-[,ctrl-_").unwrap(), [b'a', 0, 27, 31]);
        assert_eq!(parse("ctrl-P").unwrap_err().0, "ctrl-P");
        assert!(parse("a,,b").is_err());
        let mut one = DetachKeys::new(vec![b'q']);
        assert_eq!(one.filter(b"abqc"), (b"ab".to_vec(), true));
    }
}
