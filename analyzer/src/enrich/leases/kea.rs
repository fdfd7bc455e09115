//! Kea's lease files (memfile backend): CSV whose header says which column is which;
//! `kea-leases4.csv` and `kea-leases6.csv` have different ones, and newer versions
//! more of them. Rows are appended: the last of an address counts.

use std::net::IpAddr;

use super::{Found, Lease, LeasesError, at_ns, mac_of_duid};

/// Whether this is such a file's first line.
pub(super) fn is_header(line: &str) -> bool {
    let mut columns = line.split(',').map(str::trim);
    columns.next() == Some("address") && columns.any(|column| matches!(column, "hwaddr" | "duid"))
}

/// Reads all leases.
pub(super) fn parse(content: &str, found: &mut Found) -> Result<(), LeasesError> {
    let mut lines = content.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    let header: Vec<&str> = lines.next().map_or("", |(_, line)| line).split(',').map(str::trim).collect();
    let column = |name: &str| header.iter().position(|column| *column == name);
    let (address, hwaddr, duid) = (column("address"), column("hwaddr"), column("duid"));
    let (hostname, state, expire) = (column("hostname"), column("state"), column("expire"));
    let (valid, lease_type) = (column("valid_lifetime"), column("lease_type"));
    if hostname.is_none() {
        return Err(found.malformed("it has no column `hostname`"));
    }
    for (index, line) in lines {
        let line_number = index + 1;
        let fields: Vec<&str> = line.split(',').take(MAX_FIELDS).collect();
        let field = |at: Option<usize>| at.and_then(|at| fields.get(at)).copied().unwrap_or_default().trim();
        // Deprecated prefixes of an older header come again after a restart.
        if field(address) == "address" {
            continue;
        }
        let Ok(ip) = field(address).parse::<IpAddr>() else {
            found.skip(line_number, "it does not begin with an address");
            continue;
        };
        // A lifetime of 0 marks a lease that was deleted.
        let is_active = field(state).parse().unwrap_or(ACTIVE) == ACTIVE && field(valid) != "0";
        let is_prefix = field(lease_type) == PREFIX;
        found.take(
            line_number,
            Lease {
                mac: field(hwaddr).parse().ok().or_else(|| mac_of_duid(field(duid))),
                ip: Some(ip).filter(|_| is_active && !is_prefix),
                name: unescaped(field(hostname)),
                groups: Vec::new(),
                ends_at_ns: field(expire).parse().ok().and_then(at_ns),
            },
        )?;
    }
    Ok(())
}

/// Commas, and what else would break the row, are written as `&#x` and two digits.
fn unescaped(text: &str) -> String {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("&#x") {
        octets.extend_from_slice(before.as_bytes());
        match after.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(octet) => {
                octets.push(octet);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                octets.extend_from_slice(b"&#x");
                rest = after;
            }
        }
    }
    octets.extend_from_slice(rest.as_bytes());
    String::from_utf8_lossy(&octets).into_owned()
}

/// Kea's lease states: 0 assigned, 1 declined, 2 expired and reclaimed, 3 released,
/// 4 registered (by the client itself, RFC 9686).
const ACTIVE: u8 = 0;
/// `lease_type` 2: `IA_PD`, a prefix given to a router.
const PREFIX: &str = "2";
/// Kea 3.0 has 18.
const MAX_FIELDS: usize = 64;
