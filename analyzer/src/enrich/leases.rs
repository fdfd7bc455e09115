//! Names from a DHCP server's or router's file: what it calls the devices that it
//! gave addresses to. The format is told by content.
//!
//! The address of a lease that has ended is no longer the device's, so such a lease
//! names by MAC only. Of several for one device the last in the file counts: the
//! servers append.

mod csv;
mod dnsmasq;
mod isc;
mod kea;
mod pfsense;

use std::{collections::HashMap, fmt, net::IpAddr};

use iotq_proto::MacAddr;

use super::about::clean;

/// What a file says of one device; it has a MAC or an address.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Lease {
    /// Its MAC.
    pub mac: Option<MacAddr>,
    /// Its address, unless the lease has ended.
    pub ip: Option<IpAddr>,
    /// What it is called; empty: it has groups only.
    pub name: String,
    /// The groups it is in; only the CSV has them.
    pub groups: Vec<String>,
    /// When the lease ends, in nanoseconds since 1970. `None`: never, or not said.
    pub ends_at_ns: Option<i64>,
}

/// The formats.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ImportFormat {
    /// `dhcpd.leases` of ISC's DHCP server.
    Isc,
    /// `kea-leases4.csv` and `kea-leases6.csv`.
    Kea,
    /// `dnsmasq.leases`.
    Dnsmasq,
    /// `config.xml` of pfSense and `OPNsense`.
    PfSense,
    /// MAC, address, name and groups between commas or tabs.
    Csv,
}

/// What was read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Imported {
    /// As which format.
    pub format: ImportFormat,
    /// One for each device.
    pub leases: Vec<Lease>,
    /// Lines that say nothing, and why; at most [`MAX_SKIPPED`].
    pub skipped: Vec<String>,
}

/// Why a file names nobody.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum LeasesError {
    /// It is not what it looks like.
    #[error("no {format}: {what}")]
    Malformed {
        /// What it looks like.
        format: ImportFormat,
        /// What is wrong.
        what: String,
    },
    /// There is too much in it.
    #[error("more than {MAX_LEASES} devices")]
    TooMany,
    /// Nothing in it names a device.
    #[error("nothing in it names a device (read as {format}){}", first.as_ref().map(|line| format!(": {line}")).unwrap_or_default())]
    Nothing {
        /// As which format it was read.
        format: ImportFormat,
        /// The first line that was skipped.
        first: Option<String>,
    },
}

/// Reads a file of any of the formats.
///
/// # Errors
/// If nothing in it names a device.
pub fn parse(content: &str) -> Result<Imported, LeasesError> {
    parse_as(recognise(content), content)
}

/// Reads a file of this format.
///
/// # Errors
/// If nothing in it names a device.
pub fn parse_as(format: ImportFormat, content: &str) -> Result<Imported, LeasesError> {
    let content = content.trim_start_matches('\u{feff}');
    let mut found = Found::new(format);
    match format {
        ImportFormat::Isc => isc::parse(content, &mut found)?,
        ImportFormat::Kea => kea::parse(content, &mut found)?,
        ImportFormat::Dnsmasq => dnsmasq::parse(content, &mut found)?,
        ImportFormat::PfSense => pfsense::parse(content, &mut found)?,
        ImportFormat::Csv => csv::parse(content, &mut found)?,
    }
    let Found { leases, skipped, .. } = found;
    if leases.is_empty() {
        return Err(LeasesError::Nothing { format, first: skipped.into_iter().next() });
    }
    Ok(Imported { format, leases, skipped })
}

/// Which format a file has; what is none of the others is taken for CSV.
#[must_use]
pub fn recognise(content: &str) -> ImportFormat {
    let content = content.trim_start_matches('\u{feff}');
    let mut lines = content.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let first = lines.next().unwrap_or_default();
    if first.starts_with('<') {
        ImportFormat::PfSense
    } else if isc::is_begin(first) {
        ImportFormat::Isc
    } else if kea::is_header(first) {
        ImportFormat::Kea
    } else if dnsmasq::is_line(first) {
        ImportFormat::Dnsmasq
    } else {
        ImportFormat::Csv
    }
}

impl fmt::Display for ImportFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Isc => "ISC dhcpd.leases",
            Self::Kea => "Kea lease file",
            Self::Dnsmasq => "dnsmasq.leases",
            Self::PfSense => "pfSense config.xml",
            Self::Csv => "CSV of MAC, address, name, groups",
        })
    }
}

/// Collects leases, one for each device.
#[derive(Debug)]
struct Found {
    format: ImportFormat,
    leases: Vec<Lease>,
    by_mac: HashMap<MacAddr, usize>,
    by_ip: HashMap<IpAddr, usize>,
    skipped: Vec<String>,
}

impl Found {
    fn new(format: ImportFormat) -> Self {
        let (by_mac, by_ip) = (HashMap::new(), HashMap::new());
        Self { format, leases: Vec::new(), by_mac, by_ip, skipped: Vec::new() }
    }

    /// Takes a lease, instead of an earlier one of the same device.
    fn take(&mut self, line: usize, mut lease: Lease) -> Result<(), LeasesError> {
        lease.name = name(&lease.name);
        lease.mac = lease.mac.filter(|mac| mac.identifies());
        lease.ip = lease.ip.map(|ip| ip.to_canonical()).filter(|ip| !ip.is_unspecified());
        if lease.name.is_empty() && lease.groups.is_empty() {
            self.skip(line, "it has no name");
            return Ok(());
        }
        // Whoever has the address now, the earlier one has not.
        if let Some(before) = lease.ip.and_then(|ip| self.by_ip.get(&ip)).and_then(|at| self.leases.get_mut(*at))
            && before.ip == lease.ip
            && before.mac.is_some()
            && before.mac != lease.mac
        {
            before.ip = None;
        }
        let known = match (lease.mac, lease.ip) {
            (Some(mac), _) => self.by_mac.get(&mac),
            (None, Some(ip)) => self.by_ip.get(&ip),
            (None, None) => {
                self.skip(line, "it has neither MAC nor address");
                return Ok(());
            }
        };
        let at = known.copied().unwrap_or(self.leases.len());
        if at >= MAX_LEASES {
            return Err(LeasesError::TooMany);
        }
        self.by_mac.extend(lease.mac.map(|mac| (mac, at)));
        self.by_ip.extend(lease.ip.map(|ip| (ip, at)));
        match self.leases.get_mut(at) {
            Some(before) => *before = lease,
            None => self.leases.push(lease),
        }
        Ok(())
    }

    fn skip(&mut self, line: usize, why: &str) {
        if self.skipped.len() < MAX_SKIPPED {
            self.skipped.push(format!("line {line}: {}", clean(why)));
        }
    }

    fn malformed(&self, what: impl Into<String>) -> LeasesError {
        LeasesError::Malformed { format: self.format, what: what.into() }
    }
}

/// A name as it may be shown.
fn name(text: &str) -> String {
    clean(text.trim().trim_end_matches('.')).chars().take(MAX_NAME_CHARS).collect()
}

/// The Ethernet address in a DHCP unique identifier, given as octets in hex (RFC 8415, sections 11.2
/// and 11.4: with a time before it, or alone).
fn mac_of_duid(duid: &str) -> Option<MacAddr> {
    let octets: Option<Vec<u8>> =
        duid.split(':').take(MAX_DUID_BYTES).map(|octet| u8::from_str_radix(octet, 16).ok()).collect();
    let octets = octets?;
    let mac = match octets.as_slice() {
        [0, 1, 0, 1, _, _, _, _, mac @ ..] | [0, 3, 0, 1, mac @ ..] => <[u8; 6]>::try_from(mac).ok()?,
        _ => return None,
    };
    Some(MacAddr::from_octets(mac)).filter(|mac| mac.identifies())
}

/// Seconds since 1970 as nanoseconds; 0 is what servers write for "never".
fn at_ns(seconds: i64) -> Option<i64> {
    if seconds <= 0 { None } else { seconds.checked_mul(1_000_000_000) }
}

/// Ten times what the largest network has that one analyzer is for.
const MAX_LEASES: usize = 100_000;
/// More are not read by anybody.
pub const MAX_SKIPPED: usize = 100;
/// RFC 1035, section 2.3.4.
const MAX_NAME_CHARS: usize = 255;
/// RFC 8415, section 11.1: 128 octets and the type.
const MAX_DUID_BYTES: usize = 130;

#[cfg(test)]
mod tests;
