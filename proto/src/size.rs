//! Numbers of octets as people type them.

/// `1000`, `64K`, `500M`, `2G`, `1T`: powers of 1024; `None`: it is none, or 0.
#[must_use]
pub fn parse_size(text: &str) -> Option<u64> {
    let split = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(split)?;
    let shift = match unit {
        "" => 0,
        "K" | "k" => 10,
        "M" | "m" => 20,
        "G" | "g" => 30,
        "T" | "t" => 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift).filter(|bytes| *bytes > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_1024() {
        for (text, bytes) in [("1000", 1000), ("64k", 64 << 10), ("500M", 500 << 20), ("2G", 2 << 30), ("1T", 1 << 40)]
        {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
        for text in ["", "0", "G", "1.5G", "2GB", "-1", "99999999999999999999", "18014398509481984T"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }
}
