//! Tables of networks as text: fields between commas or tabs, with a header or in
//! one of the known orders.
//!
//! | who | fields |
//! | --- | --- |
//! | ip-location-db, DB-IP Lite | `first,last,ASN,name`; `first,last,CC` |
//! | iptoasn.com | `first TAB last TAB ASN TAB CC TAB name` |
//! | IP2Location, Tor's geoip files | addresses as numbers |
//! | `GeoLite2`, `IPinfo` | a header, and `network` as CIDR |

use std::{
    io::{self, BufRead},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::IpNet;

use super::{Kind, TableBuilder};
use crate::enrich::fields::{Lines, split};

/// Why a text is no table: at which line (0: as a whole), and what is wrong.
#[derive(Debug)]
pub(super) enum TextError {
    Read(usize, io::Error),
    Line(usize, String),
}

/// Which fields say what.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Columns {
    place: Place,
    asn: Option<usize>,
    name: Option<usize>,
    country: Option<usize>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    Range(usize, usize),
    Cidr(usize),
}

/// Reads all rows into the builder.
pub(super) fn read(input: impl BufRead, builder: &mut TableBuilder) -> Result<(), TextError> {
    let mut lines = Lines::new(input);
    let mut layout: Option<(char, Columns)> = None;
    loop {
        let line = lines.next_line().map_err(|error| TextError::Read(lines.number(), error))?;
        let Some(line) = line else { return Ok(()) };
        if line.trim().is_empty() {
            continue;
        }
        if line.starts_with(['#', ';']) {
            if layout.is_none() {
                builder.about_mut().note_line(&line);
            }
            continue;
        }
        let failed = |what| TextError::Line(lines.number(), what);
        let (separator, columns) = match layout {
            Some(layout) => layout,
            None => {
                let separator = if line.contains('\t') { '\t' } else { ',' };
                let fields = split(&line, separator);
                let is_header = fields.iter().all(|field| address(field).is_none() && field.parse::<IpNet>().is_err());
                let columns = if is_header { by_header(&fields) } else { by_order(&fields) };
                let columns = columns.map_err(failed)?;
                columns.must_have(builder.kind()).map_err(failed)?;
                layout = Some((separator, columns));
                if is_header {
                    continue;
                }
                (separator, columns)
            }
        };
        add(&split(&line, separator), columns, builder).map_err(failed)?;
    }
}

fn add(fields: &[String], columns: Columns, builder: &mut TableBuilder) -> Result<(), String> {
    let (first, last) = match columns.place {
        Place::Range(first, last) => range(field(fields, first), field(fields, last))?,
        Place::Cidr(at) => network(field(fields, at))?,
    };
    match builder.kind() {
        Kind::Asn => {
            let text = columns.asn.map_or("", |at| field(fields, at));
            let number = asn(text).ok_or_else(|| format!("`{}` is no AS number", short(text)))?;
            // 0: not announced by anybody.
            if number == 0 {
                return Ok(());
            }
            builder.add(first, last, number, columns.name.map_or("", |at| field(fields, at)))
        }
        Kind::Country => {
            let text = columns.country.map_or("", |at| field(fields, at));
            match country(text) {
                Some(code) => builder.add(first, last, 0, &code),
                None if NO_COUNTRY.contains(&text) => Ok(()),
                None => Err(format!("`{}` is no country code", short(text))),
            }
        }
    }
}

impl Columns {
    fn must_have(self, kind: Kind) -> Result<(), String> {
        match kind {
            Kind::Asn if self.asn.is_none() => Err("the table has no AS numbers".into()),
            Kind::Country if self.country.is_none() => Err("the table has no country codes".into()),
            Kind::Asn | Kind::Country => Ok(()),
        }
    }
}

fn by_header(fields: &[String]) -> Result<Columns, String> {
    let names: Vec<_> = fields.iter().map(|field| field.to_ascii_lowercase()).collect();
    let find = |known: &[&str]| known.iter().find_map(|known| names.iter().position(|name| name == known));
    let place = match (find(&FIRST), find(&LAST), find(&CIDR)) {
        (Some(first), Some(last), _) => Place::Range(first, last),
        (_, _, Some(at)) => Place::Cidr(at),
        _ => return Err("neither a row of addresses nor a header that says where they are".into()),
    };
    Ok(Columns { place, asn: find(&ASN), name: find(&NAME), country: find(&COUNTRY) })
}

fn by_order(fields: &[String]) -> Result<Columns, String> {
    let is_address = |at: usize| fields.get(at).is_some_and(|field| address(field).is_some());
    let (place, rest) = if is_address(0) && is_address(1) {
        (Place::Range(0, 1), 2)
    } else if fields.first().is_some_and(|field| field.parse::<IpNet>().is_ok()) {
        (Place::Cidr(0), 1)
    } else {
        return Err(
            "a row begins with the first and last address of a range, or with a network like 192.0.2.0/24".into()
        );
    };
    let is_country = |at: usize| country(field(fields, at)).is_some() || NO_COUNTRY.contains(&field(fields, at));
    let is_asn = |at: usize| asn(field(fields, at)).is_some();
    let has = |at: usize| fields.len() > at;
    if is_asn(rest) && has(rest) {
        let country_next = has(rest + 2) && is_country(rest + 1);
        let name = if country_next { rest + 2 } else { rest + 1 };
        return Ok(Columns {
            place,
            asn: Some(rest),
            name: has(name).then_some(name),
            country: country_next.then_some(rest + 1),
        });
    }
    if has(rest) && is_country(rest) {
        return Ok(Columns { place, asn: None, name: None, country: Some(rest) });
    }
    Err("after the addresses comes neither an AS number nor a country code".into())
}

fn field(fields: &[String], at: usize) -> &str {
    fields.get(at).map_or("", |field| field.trim())
}

fn range(first: &str, last: &str) -> Result<(IpAddr, IpAddr), String> {
    let read = |text: &str| address(text).ok_or_else(|| format!("`{}` is no address", short(text)));
    match (read(first)?, read(last)?) {
        // As a number, the first addresses of IPv6 look like IPv4.
        (IpAddr::V4(low), high @ IpAddr::V6(_)) if !first.contains('.') => {
            Ok((Ipv6Addr::from(u128::from(u32::from(low))).into(), high))
        }
        both => Ok(both),
    }
}

/// The first and last address of a network; an address alone is one too.
fn network(text: &str) -> Result<(IpAddr, IpAddr), String> {
    let net = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    let net = net.ok_or_else(|| format!("`{}` is no network", short(text)))?;
    Ok((net.network(), net.broadcast()))
}

/// An address, or one as a number: of IPv4 if it is small enough.
fn address(text: &str) -> Option<IpAddr> {
    if let Ok(ip) = text.parse() {
        return Some(ip);
    }
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    if let Ok(number) = text.parse::<u32>() {
        return Some(Ipv4Addr::from(number).into());
    }
    text.parse::<u128>().ok().map(|number| Ipv6Addr::from(number).into())
}

/// `64496` or `AS64496`; the name may follow as in `AS64496 Example`.
pub(crate) fn asn(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("AS").or_else(|| text.strip_prefix("as")).unwrap_or(text);
    digits.split(' ').next()?.parse().ok()
}

/// A code of ISO 3166-1 in upper case; `None` also for those that say "none".
pub(super) fn country(text: &str) -> Option<String> {
    let code = text.to_ascii_uppercase();
    let fits = code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_uppercase());
    (fits && !NO_COUNTRY.contains(&code.as_str())).then_some(code)
}

fn short(text: &str) -> String {
    text.chars().filter(|each| !each.is_control()).take(40).collect()
}

/// What tables say where no country is known.
const NO_COUNTRY: [&str; 8] = ["", "-", "??", "None", "NONE", "ZZ", "XX", "\\N"];

const FIRST: [&str; 7] = ["start_ip", "ip_range_start", "range_start", "network_start_ip", "ip_from", "first", "start"];
const LAST: [&str; 7] = ["end_ip", "ip_range_end", "range_end", "network_last_ip", "ip_to", "last", "end"];
const CIDR: [&str; 4] = ["network", "cidr", "prefix", "ip_range"];
const ASN: [&str; 4] = ["autonomous_system_number", "asn", "as_number", "as"];
const NAME: [&str; 8] = [
    "autonomous_system_organization",
    "as_name",
    "as_organization",
    "as_description",
    "name",
    "org",
    "organization",
    "description",
];
const COUNTRY: [&str; 5] = ["country_code", "country_iso_code", "cc", "country_iso", "country"];
