//! Which format the first octets of a file announce.

use super::classic::Layout;

/// What a file is.
pub(super) enum Format {
    Classic(Layout),
    Pcapng,
    /// Not an octet.
    Nothing,
    /// None we read: what it looks like, for people.
    Foreign(String),
}

/// Looks at a file's first octets.
pub(super) fn format_of(head: &[u8]) -> Format {
    let layout = |is_big_endian, has_nanoseconds, packet_header_bytes| {
        Format::Classic(Layout { is_big_endian, has_nanoseconds, packet_header_bytes })
    };
    match head {
        [] => Format::Nothing,
        [0xa1, 0xb2, 0xc3, 0xd4, ..] => layout(true, false, 16),
        [0xd4, 0xc3, 0xb2, 0xa1, ..] => layout(false, false, 16),
        [0xa1, 0xb2, 0x3c, 0x4d, ..] => layout(true, true, 16),
        [0x4d, 0x3c, 0xb2, 0xa1, ..] => layout(false, true, 16),
        [0xa1, 0xb2, 0xcd, 0x34, ..] => layout(true, false, 24),
        [0x34, 0xcd, 0xb2, 0xa1, ..] => layout(false, false, 24),
        [0x0a, 0x0d, 0x0d, 0x0a, ..] => Format::Pcapng,
        _ => Format::Foreign(looks_like(head)),
    }
}

fn looks_like(head: &[u8]) -> String {
    let known = MAGICS.iter().find(|(at, magic, _)| head.get(*at..).is_some_and(|rest| rest.starts_with(magic)));
    if let Some((_, _, name)) = known {
        return (*name).to_owned();
    }
    if is_text(head) {
        return "text".to_owned();
    }
    let begin: Vec<String> = head.iter().take(8).map(|octet| format!("{octet:02x}")).collect();
    format!("nothing known (it begins with {})", begin.join(" "))
}

/// Whether all of it could have been typed: UTF-8 without control characters,
/// but for a character cut at the end.
fn is_text(head: &[u8]) -> bool {
    let valid = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(head.get(..error.valid_up_to()).unwrap_or_default()).unwrap_or_default()
        }
        Err(_) => return false,
    };
    !valid.is_empty() && !valid.chars().any(|char| char.is_control() && !matches!(char, '\t' | '\n' | '\r' | '\x0c'))
}

/// Where, what, and what to call it.
const MAGICS: &[(usize, &[u8], &str)] = &[
    (0, b"snoop\0\0\0", "a Solaris snoop file; `editcap -F pcapng` converts it"),
    (0, b"RTSS", "a Microsoft Network Monitor 1 file; `editcap -F pcapng` converts it"),
    (0, b"GMBU", "a Microsoft Network Monitor 2 file; `editcap -F pcapng` converts it"),
    (0, b"XCP\0", "a NetXRay or Sniffer for Windows file; `editcap -F pcapng` converts it"),
    (0, b"TRSNIFF data", "a Sniffer for DOS file; `editcap -F pcapng` converts it"),
    (0, b"iptrace ", "an AIX iptrace file; `editcap -F pcapng` converts it"),
    (0, b"\x7fver", "an EtherPeek or OmniPeek file; `editcap -F pcapng` converts it"),
    (0, b"\x05VNF", "a Visual Networks file; `editcap -F pcapng` converts it"),
    (0, b"\x54\x52\x00\x64\x00", "a Nettl file; `editcap -F pcapng` converts it"),
    (0, b"btsnoop\0", "a Bluetooth snoop file, which has no IP"),
    (0, b"\x1c\x00\x01\xac", "an Ixia capture; `editcap -F pcapng` converts it"),
    (0, b"\x1c\x00\x01\xab", "an Ixia capture; `editcap -F pcapng` converts it"),
    (0, b"\xac\x01\x00\x1c", "an Ixia capture; `editcap -F pcapng` converts it"),
    (0, b"\xab\x01\x00\x1c", "an Ixia capture; `editcap -F pcapng` converts it"),
    (0, b"\x1f\x8b", "gzip inside gzip, too many times"),
    (0, b"\x28\xb5\x2f\xfd", "zstd inside zstd, too many times"),
    (0, b"BZh", "a bzip2 file; unpack it first"),
    (0, b"\xfd7zXZ\0", "an xz file; unpack it first"),
    (0, b"\x04\x22\x4d\x18", "an lz4 file; unpack it first"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it first"),
    (0, b"Rar!\x1a\x07", "a RAR archive; unpack it first"),
    (0, b"PK\x03\x04", "a ZIP archive; unpack it first"),
    (257, b"ustar", "a tar archive; unpack it first"),
    (0, b"\x7fELF", "a program"),
    (0, b"%PDF", "a PDF document"),
    (0, b"SQLite format 3\0", "an SQLite database"),
    (0, b"\x0c\xa5", "an nfdump file: flows, not packets"),
    (0, b"\xa5\x0c", "an nfdump file: flows, not packets"),
    (0, b"<?xml", "XML (packets that were already decoded?)"),
    (0, b"{", "JSON (packets that were already decoded?)"),
    (0, b"[", "JSON (packets that were already decoded?)"),
];
