//! Sizes as Docker writes them.

/// The bytes of `10m`, `1g`, `512k`, `64b` or a plain number; units are powers of 1024.
#[must_use]
pub fn parse(text: &str) -> Option<u64> {
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    let factor: u64 = match &lower[digits.len()..] {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        _ => return None,
    };
    digits.trim().parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::parse;

    #[rstest]
    #[case("10m", Some(10 << 20))]
    #[case("1G", Some(1 << 30))]
    #[case("64", Some(64))]
    #[case("2 kb", Some(2048))]
    #[case("m", None)]
    #[case("1x", None)]
    #[case("-1", None)]
    fn sizes_are_dockers(#[case] text: &str, #[case] bytes: Option<u64>) {
        assert_eq!(parse(text), bytes);
    }
}
