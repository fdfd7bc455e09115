//! What records say, as text: the presentation format of each type's RFC, for
//! types that tell something about peers, else that of RFC 3597, section 5.

use std::{
    fmt::{Display, Write as _},
    net::{Ipv4Addr, Ipv6Addr},
};

use iotq_proto::{MAX_RECORD_TEXT, RecordType};

use super::message::{Data, Record};
use crate::names::octets::Octets;

/// A record's data as text, cut to [`MAX_RECORD_TEXT`] octets.
pub(super) fn text(record: &Record<'_>) -> String {
    let mut text = known(record).unwrap_or_else(|| unknown(record.data.octets()));
    if text.len() > MAX_RECORD_TEXT {
        // All of it is ASCII.
        text.truncate(MAX_RECORD_TEXT);
    }
    text
}

/// `None`: a type with no text of its own here, or data that are not of its form.
fn known(record: &Record<'_>) -> Option<String> {
    let data = record.data;
    match RecordType(record.rtype) {
        RecordType::A => <[u8; 4]>::try_from(data.octets()).ok().map(|octets| Ipv4Addr::from(octets).to_string()),
        RecordType::AAAA => <[u8; 16]>::try_from(data.octets()).ok().map(|octets| Ipv6Addr::from(octets).to_string()),
        RecordType::NS | RecordType::CNAME | RecordType::PTR | DNAME => data.name().map(super::Name::lower),
        RecordType::TXT | SPF => strings(data.octets()),
        MX => numbers_and_name::<1>(data),
        RecordType::SRV => numbers_and_name::<3>(data),
        SOA => start_of_authority(data),
        RecordType::SVCB | RecordType::HTTPS => service_binding(data),
        _ => None,
    }
}

/// RFC 3597, section 5: `\# 3 0a0b0c`. Of long data only the begin.
fn unknown(octets: &[u8]) -> String {
    let mut text = format!("\\# {}", octets.len());
    if !octets.is_empty() {
        text.push(' ');
    }
    for octet in octets.iter().take(MAX_UNKNOWN_OCTETS) {
        // Writing to a `String` cannot fail.
        _ = write!(text, "{octet:02x}");
    }
    text
}

/// RFC 1035, sections 3.3.9 (MX), and RFC 2782 (SRV).
fn numbers_and_name<const N: usize>(data: Data<'_>) -> Option<String> {
    let mut numbers = Octets(data.octets());
    let mut text = String::new();
    for _ in 0..N {
        _ = write!(text, "{} ", numbers.be16()?);
    }
    data.name_ending_after(2 * N)?.write_lower(&mut text);
    Some(text)
}

/// RFC 1035, section 3.3.13.
fn start_of_authority(data: Data<'_>) -> Option<String> {
    let (server, rest) = data.name_after(0)?;
    let (mailbox, rest) = data.name_after(data.octets().len() - rest.len())?;
    let mut text = server.lower();
    text.push(' ');
    mailbox.write_lower(&mut text);
    let mut numbers = Octets(rest);
    for _ in 0..5 {
        _ = write!(text, " {}", numbers.be32()?);
    }
    numbers.is_empty().then_some(text)
}

/// RFC 1035, section 3.3.14: `"one" "another"`.
fn strings(octets: &[u8]) -> Option<String> {
    let mut octets = Octets(octets);
    let mut text = String::new();
    while !octets.is_empty() {
        let length = octets.u8()?;
        let string = octets.take(length.into())?;
        // What is cut off later need not be written, but has to be well-formed.
        if text.len() <= MAX_RECORD_TEXT {
            text.push_str(if text.is_empty() { "\"" } else { " \"" });
            write_escaped(&mut text, string);
            text.push('"');
        }
    }
    Some(text)
}

/// RFC 9460, section 2.1: `1 . alpn=h3,h2 ipv4hint=192.0.2.1`.
fn service_binding(data: Data<'_>) -> Option<String> {
    let priority = Octets(data.octets()).be16()?;
    let (target, rest) = data.name_after(2)?;
    let mut text = format!("{priority} ");
    target.write_lower(&mut text);
    let mut params = Octets(rest);
    while !params.is_empty() {
        let (key, length) = (params.be16()?, params.be16()?);
        let value = params.take(length.into())?;
        if text.len() <= MAX_RECORD_TEXT {
            text.push(' ');
            write_param(&mut text, key, value)?;
        }
    }
    Some(text)
}

/// RFC 9460, section 7 and 14.3.2; RFC 9848 for `ech`.
fn write_param(text: &mut String, key: u16, value: &[u8]) -> Option<()> {
    match key {
        0 => write_list(text, "mandatory", value.as_chunks().0.iter().map(|key| key_name(u16::from_be_bytes(*key)))),
        1 => {
            let mut octets = Octets(value);
            let mut ids = Vec::new();
            while !octets.is_empty() {
                let length = octets.u8()?;
                let mut id = String::new();
                write_escaped(&mut id, octets.take(length.into())?);
                ids.push(id);
            }
            write_list(text, "alpn", ids.into_iter());
        }
        2 => text.push_str("no-default-alpn"),
        3 => _ = write!(text, "port={}", Octets(value).be16()?),
        4 => write_list(text, "ipv4hint", addresses::<4, Ipv4Addr>(value)),
        // That there is one matters; the keys in it tell nobody anything.
        5 => _ = write!(text, "ech=({} octets)", value.len()),
        6 => write_list(text, "ipv6hint", addresses::<16, Ipv6Addr>(value)),
        _ => {
            _ = write!(text, "{}=\"", key_name(key));
            write_escaped(text, value);
            text.push('"');
        }
    }
    Some(())
}

fn addresses<const N: usize, A: Display + From<[u8; N]>>(value: &[u8]) -> impl Iterator<Item = String> {
    value.as_chunks().0.iter().map(|octets| A::from(*octets).to_string())
}

fn write_list(text: &mut String, key: &str, values: impl Iterator<Item = String>) {
    text.push_str(key);
    for (at, value) in values.enumerate() {
        text.push(if at == 0 { '=' } else { ',' });
        text.push_str(&value);
    }
}

/// IANA "Service Parameter Keys (`SvcParamKeys`)".
fn key_name(key: u16) -> String {
    match key {
        0 => "mandatory".to_owned(),
        1 => "alpn".to_owned(),
        2 => "no-default-alpn".to_owned(),
        3 => "port".to_owned(),
        4 => "ipv4hint".to_owned(),
        5 => "ech".to_owned(),
        6 => "ipv6hint".to_owned(),
        7 => "dohpath".to_owned(),
        8 => "ohttp".to_owned(),
        _ => format!("key{key}"),
    }
}

/// RFC 1035, section 5.1: quotes and backslashes escaped, other octets as `\DDD`.
fn write_escaped(text: &mut String, octets: &[u8]) {
    for octet in octets {
        match octet {
            b'"' | b'\\' => text.extend(['\\', char::from(*octet)]),
            b' '..=b'~' => text.push(char::from(*octet)),
            _ => _ = write!(text, "\\{octet:03}"),
        }
    }
}

// IANA "Resource Record (RR) TYPEs".
const SOA: RecordType = RecordType(6);
const MX: RecordType = RecordType(15);
const DNAME: RecordType = RecordType(39);
const SPF: RecordType = RecordType(99);
/// Signatures and keys are as long as 512 octets; their begin tells them apart.
const MAX_UNKNOWN_OCTETS: usize = 64;
