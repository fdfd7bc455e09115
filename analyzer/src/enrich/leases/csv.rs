//! A table that somebody made: with a header the columns may be in any order;
//! without one a line is as in the names file, `MAC or address, name, groups`.

use std::net::IpAddr;

use iotq_proto::MacAddr;

use super::{Found, Lease, LeasesError};
use crate::enrich::fields::split;

/// Which column is which.
#[derive(Clone, Copy, Debug, Default)]
struct Columns {
    /// MAC or address, as in the names file.
    who: Option<usize>,
    mac: Option<usize>,
    ip: Option<usize>,
    name: Option<usize>,
    groups: Option<usize>,
}

/// Reads all lines.
pub(super) fn parse(content: &str, found: &mut Found) -> Result<(), LeasesError> {
    let mut columns = None;
    for (index, line) in content.lines().enumerate() {
        let line = line.trim_end();
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let separator = if line.contains('\t') { '\t' } else { ',' };
        let fields = split(line, separator);
        let layout = match columns {
            Some(layout) => layout,
            None => {
                let header = header(&fields);
                columns = Some(header.unwrap_or(NAMES_FILE));
                if header.is_some() {
                    continue;
                }
                NAMES_FILE
            }
        };
        match lease(&fields, layout) {
            Ok(lease) => found.take(index + 1, lease)?,
            Err(why) => found.skip(index + 1, &why),
        }
    }
    Ok(())
}

fn lease(fields: &[String], columns: Columns) -> Result<Lease, String> {
    let field = |at: Option<usize>| at.and_then(|at| fields.get(at)).map_or("", |field| field.trim());
    let is_names_file = columns.who.is_some();
    // There a comment may follow.
    let name = field(columns.name);
    let name = if is_names_file { name.split('#').next().unwrap_or_default().trim() } else { name };
    let groups = field(columns.groups);
    let groups = if is_names_file { groups.split('#').next().unwrap_or_default() } else { groups };
    let mut lease = Lease { name: name.to_owned(), ..Lease::default() };
    lease.groups = groups.split(';').map(str::trim).filter(|group| !group.is_empty()).map(super::name).collect();
    lease.groups.truncate(MAX_GROUPS);
    for (at, text) in [(columns.mac, "MAC"), (columns.ip, "address"), (columns.who, "MAC or address")] {
        let value = field(at);
        if value.is_empty() {
            continue;
        }
        let mac = value.parse::<MacAddr>().ok().filter(|_| text != "address");
        let ip = value.parse::<IpAddr>().ok().filter(|_| text != "MAC");
        if mac.is_none() && ip.is_none() {
            let shown: String = value.chars().take(40).collect();
            return Err(format!("`{shown}` is no {text}"));
        }
        lease.mac = lease.mac.or(mac);
        lease.ip = lease.ip.or(ip);
    }
    Ok(lease)
}

/// The columns, if this is a header: it says who and what.
fn header(fields: &[String]) -> Option<Columns> {
    let names: Vec<String> = fields.iter().map(|field| field.trim().to_lowercase().replace([' ', '-'], "_")).collect();
    let find = |known: &[&str]| names.iter().position(|name| known.contains(&name.as_str()));
    let columns = Columns {
        who: None,
        mac: find(&["mac", "mac_address", "macaddr", "hwaddr", "hw_address", "hardware_address"]),
        ip: find(&["ip", "ip_address", "ipaddr", "address", "ipv4", "ipv4_address"]),
        name: find(&["name", "hostname", "host", "host_name", "device", "device_name", "description"]),
        groups: find(&["groups", "group", "tags"]),
    };
    let says_who = columns.mac.is_some() || columns.ip.is_some();
    let says_what = columns.name.is_some() || columns.groups.is_some();
    (says_who && says_what).then_some(columns)
}

const NAMES_FILE: Columns = Columns { who: Some(0), mac: None, ip: None, name: Some(1), groups: Some(2) };
/// More cannot be told apart.
const MAX_GROUPS: usize = 32;
