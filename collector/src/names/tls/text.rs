//! Names from hellos as text.

use std::{fmt::Write as _, net::IpAddr};

/// A server's name: lower case, without final dot; octets that are no printable
/// ASCII, and the backslash, as `\DDD` (as RFC 4343, section 2.1, for DNS names).
pub(super) fn host_name(octets: &[u8]) -> String {
    let octets = octets.strip_suffix(b".").unwrap_or(octets);
    let mut text = String::with_capacity(octets.len());
    for octet in octets {
        match octet {
            b'\\' | ..=b' ' | 0x7f.. => write!(text, "\\{octet:03}").expect("a String takes all text"),
            _ => text.push(octet.to_ascii_lowercase().into()),
        }
    }
    text
}

/// A name of an application protocol (RFC 7301, section 6): octets that are no
/// printable ASCII, and the backslash, as `\xHH`.
pub(super) fn protocol(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len());
    for octet in octets {
        match octet {
            b'\\' | ..0x20 | 0x7f.. => write!(text, "\\x{octet:02x}").expect("a String takes all text"),
            _ => text.push((*octet).into()),
        }
    }
    text
}

/// Whether it is an address, which RFC 6066, section 3, does not permit as a name.
pub(super) fn is_address(text: &str) -> bool {
    text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_case_printable_and_without_final_dot() {
        assert_eq!(host_name(b"Example.COM."), "example.com");
        assert_eq!(host_name(b"a\0b\\c d\xff"), r"a\000b\092c\032d\255");
        assert_eq!(host_name(b"."), "");
        assert_eq!(protocol(b"\x0a\x0ahttp/1.1\\"), r"\x0a\x0ahttp/1.1\x5c");
    }

    #[test]
    fn addresses_are_no_names() {
        assert!(is_address("192.0.2.1") && is_address("2001:db8::1") && is_address("[2001:db8::1]"));
        assert!(!is_address("192.0.2.1.example.com") && !is_address(""));
    }
}
