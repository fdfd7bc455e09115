//! One value of one row. Its type decides how each format writes it.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    net::IpAddr,
};

use iotq_proto::{MacAddr, address_from_octets, address_of_version, protocol_keyword};
use jiff::tz::TimeZone;
use serde::ser::{Serialize, SerializeMap as _, Serializer};

use super::{safe::safe, text::tcp_flag_letters, units};

/// One value of one row.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// There is none, or it is not known.
    Null,
    /// Text, possibly chosen by a stranger.
    Text(String),
    /// Yes or no.
    Bool(bool),
    /// A number that names something: a port, an AS.
    Code(u64),
    /// So many.
    Count(u64),
    /// An amount of data.
    Bytes(u64),
    /// A measure with decimals.
    Rate(f64),
    /// 0..1.
    Share(f64),
    /// So many times something usual.
    Times(f64),
    /// A length of time in seconds.
    Secs(f64),
    /// Nanoseconds since 1970.
    Time(i64),
    /// An address.
    Address(IpAddr),
    /// A link-layer address.
    Mac(MacAddr),
    /// The twelve flag bits of a TCP header.
    TcpFlags(u16),
    /// Several of a kind.
    List(Vec<Cell>),
    /// Values by name.
    Object(Vec<(String, Cell)>),
}

impl Cell {
    /// Text; empty is null.
    #[must_use]
    pub fn text(text: &str) -> Self {
        if text.is_empty() { Self::Null } else { Self::Text(text.to_owned()) }
    }

    /// Names joined by commas; none is null.
    #[must_use]
    pub fn joined(names: &[String]) -> Self {
        Self::text(&names.join(","))
    }

    /// Texts, one by one.
    #[must_use]
    pub fn texts(list: &[String]) -> Self {
        Self::List(list.iter().cloned().map(Self::Text).collect())
    }

    /// A length of time that may be missing.
    #[must_use]
    pub fn secs(secs: Option<f64>) -> Self {
        secs.map_or(Self::Null, Self::Secs)
    }

    /// An instant that may be missing.
    #[must_use]
    pub fn time(at_ns: Option<i64>) -> Self {
        at_ns.map_or(Self::Null, Self::Time)
    }

    /// 16 octets, IPv4 mapped.
    #[must_use]
    pub fn address(octets: &[u8]) -> Self {
        address_from_octets(octets).map_or(Self::Null, Self::Address)
    }

    /// 16 octets out of a packet of this IP version.
    #[must_use]
    pub fn packet_address(octets: &[u8], ip_version: u32) -> Self {
        address_of_version(octets, ip_version).map_or(Self::Null, Self::Address)
    }

    /// Many times 16 octets.
    #[must_use]
    pub fn addresses(list: &[Vec<u8>]) -> Self {
        Self::List(list.iter().map(|octets| Self::address(octets)).collect())
    }

    /// A number that names something and may be missing.
    #[must_use]
    pub fn code(number: Option<u32>) -> Self {
        number.map_or(Self::Null, |number| Self::Code(number.into()))
    }

    /// A MAC address; 0 is null.
    #[must_use]
    pub fn mac(number: u64) -> Self {
        MacAddr::from_u64(number).filter(|mac| *mac != MacAddr::NONE).map_or(Self::Null, Self::Mac)
    }

    /// An IP protocol by its keyword.
    #[must_use]
    pub fn protocol(protocol: u32) -> Self {
        Self::Text(protocol_name(protocol))
    }

    /// The flags of a TCP header, if it was seen.
    #[must_use]
    pub fn tcp_flags(flags: Option<u32>) -> Self {
        flags.and_then(|flags| u16::try_from(flags).ok()).map_or(Self::Null, Self::TcpFlags)
    }

    /// As in a table: for people, and safe to print.
    #[must_use]
    pub fn in_table(&self, time_zone: &TimeZone) -> String {
        match self {
            Self::Null => NOTHING.to_owned(),
            Self::Text(text) => safe(text).into_owned(),
            Self::Bool(true) => "yes".to_owned(),
            Self::Bool(false) => "no".to_owned(),
            Self::Code(number) => number.to_string(),
            Self::Count(number) => units::count(*number),
            Self::Bytes(number) => units::bytes(*number),
            Self::Rate(number) => units::rate(*number),
            Self::Share(number) => units::share(*number),
            Self::Times(number) => units::times(*number),
            Self::Secs(secs) => units::length(*secs),
            Self::Time(at_ns) => units::Zoned { at_ns: *at_ns, time_zone }.to_string(),
            Self::Address(ip) => ip.to_string(),
            Self::Mac(mac) => mac.to_string(),
            Self::TcpFlags(flags) => format!("[{}]", tcp_flag_letters(*flags)),
            Self::List(cells) => match cells.as_slice() {
                [] => NOTHING.to_owned(),
                [one] => one.in_table(time_zone),
                [first, rest @ ..] => format!("{} +{}", first.in_table(time_zone), rest.len()),
            },
            Self::Object(entries) if entries.is_empty() => NOTHING.to_owned(),
            Self::Object(entries) => {
                let named = |(name, cell): &(String, Self)| format!("{} {}", safe(name), cell.in_table(time_zone));
                entries.iter().map(named).collect::<Vec<_>>().join(", ")
            }
        }
    }

    /// As in a CSV field, before quoting.
    pub(super) fn in_csv(&self, out: &mut String) {
        let written = match self {
            Self::Null => Ok(()),
            Self::Text(text) => out.write_str(text),
            Self::Bool(value) => write!(out, "{value}"),
            Self::Code(number) | Self::Count(number) | Self::Bytes(number) => write!(out, "{number}"),
            Self::Rate(number) | Self::Share(number) | Self::Times(number) | Self::Secs(number) => {
                // What is no number has no digits either.
                if number.is_finite() { write!(out, "{number}") } else { Ok(()) }
            }
            Self::Time(at_ns) => write!(out, "{}", units::Rfc3339(*at_ns)),
            Self::Address(ip) => write!(out, "{ip}"),
            Self::Mac(mac) => write!(out, "{mac}"),
            Self::TcpFlags(flags) => write!(out, "{flags}"),
            Self::List(cells) if cells.iter().all(|cell| matches!(cell, Self::Address(_))) => {
                for (index, cell) in cells.iter().enumerate() {
                    if index > 0 {
                        out.push(' ');
                    }
                    cell.in_csv(out);
                }
                Ok(())
            }
            // There is no CSV for what has parts: JSON in a field, as most tools do.
            Self::List(_) | Self::Object(_) => serde_json::to_string(self).map_or(Ok(()), |json| out.write_str(&json)),
        };
        // Writing to a String cannot fail.
        debug_assert_eq!(written, Ok::<(), fmt::Error>(()));
    }
}

impl Serialize for Cell {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => to.serialize_unit(),
            Self::Text(text) => to.serialize_str(text),
            Self::Bool(value) => to.serialize_bool(*value),
            Self::Code(number) | Self::Count(number) | Self::Bytes(number) => to.serialize_u64(*number),
            Self::Rate(number) | Self::Share(number) | Self::Times(number) | Self::Secs(number) => {
                to.serialize_f64(*number)
            }
            Self::Time(at_ns) => to.collect_str(&units::Rfc3339(*at_ns)),
            Self::Address(ip) => to.collect_str(ip),
            Self::Mac(mac) => to.collect_str(mac),
            Self::TcpFlags(flags) => to.serialize_u16(*flags),
            Self::List(cells) => to.collect_seq(cells),
            Self::Object(entries) => {
                let mut map = to.serialize_map(Some(entries.len()))?;
                for (name, cell) in entries {
                    map.serialize_entry(name, cell)?;
                }
                map.end()
            }
        }
    }
}

/// An IP protocol's keyword, else its number.
pub(crate) fn protocol_name(protocol: u32) -> String {
    u8::try_from(protocol).map_or_else(|_| protocol.to_string(), protocol_keyword)
}

/// Counts by label, sorted by it; the same label twice is added up.
pub(crate) fn label_counts(counts: impl IntoIterator<Item = (String, u64)>) -> Cell {
    let mut sums = BTreeMap::<String, u64>::new();
    for (label, count) in counts {
        let sum = sums.entry(label).or_default();
        *sum = sum.saturating_add(count);
    }
    Cell::Object(sums.into_iter().map(|(label, sum)| (label, Cell::Count(sum))).collect())
}

/// Stands in a table for what is not there or not known.
pub(super) const NOTHING: &str = "-";
