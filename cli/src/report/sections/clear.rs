//! What somebody on the way can read.

use std::collections::BTreeMap;

use iotq_proto::v1::{Destination, Tls};

use super::outside;
use crate::{
    questions::wording::{name_or_address, name_or_id, owner_or_network, tls_version},
    render::{Cell, Column},
    report::{
        findings::Findings,
        page::{Section, Tables},
    },
};

pub(super) fn clear(findings: &Findings, tables: &Tables<'_>) -> Section {
    type TlsCol = Column<OldTls>;
    type Col = Column<Destination>;
    let columns = vec![
        Col::drawn("Device", |it| name_or_id(&it.device_name, &it.device)),
        Col::drawn("Destination", |it| Cell::text(&it.destination)),
        Col::drawn("Whose", |it| owner_or_network(&it.owner, &it.as_name)),
        Col::drawn("Can be read on the way", |it| Cell::Share(clear_share(it))).on_the_right(),
        Col::drawn("Packets", |it| Cell::Count(it.packets)).on_the_right(),
    ];
    let tls_columns = vec![
        TlsCol::drawn("Device", |it| name_or_id(&it.device_name, &it.device)),
        TlsCol::drawn("Server", |it| Cell::text(&it.server)),
        TlsCol::drawn("Version", |it| Cell::text(&it.version)),
        TlsCol::drawn("Connections", |it| Cell::Count(it.hellos)).on_the_right(),
    ];
    let mut readable = outside(&findings.destinations.rows);
    readable.retain(|it| clear_share(it) >= CLEAR);
    #[expect(clippy::cast_precision_loss, reason = "an order")]
    let packets = |it: &Destination| clear_share(it) * it.packets as f64;
    readable.sort_by(|a, b| packets(b).total_cmp(&packets(a)));
    let hellos: &[Tls] = &findings.tls.rows;
    let old = old_tls(hellos);
    let mut section = Section::new("clear", "What is sent in the clear").table_or(
        tables.table("Destinations by what can be read", columns, &readable, findings.destinations.truncated),
        "Nothing left the house that somebody on the way could read, as far as this can be told.",
    );
    if !old.is_empty() {
        let caption = "Encryption that is out of date (older than TLS 1.2, RFC 8996)";
        section.tables.push(tables.table(caption, tls_columns, &old, findings.tls.truncated));
    }
    section
}

/// 0..1 of its packets with payload; 0 where it is not known.
fn clear_share(it: &Destination) -> f64 {
    it.encrypted_share.filter(|share| share.is_finite()).map_or(0.0, |share| (1.0 - share).clamp(0.0, 1.0))
}

/// Connections of a device to a server that begin with old encryption.
#[derive(Clone, Debug, Eq, PartialEq)]
struct OldTls {
    device: String,
    device_name: String,
    server: String,
    version: String,
    hellos: u64,
}

/// What offers nothing newer than TLS 1.1, most connections first.
fn old_tls(rows: &[Tls]) -> Vec<OldTls> {
    let mut found = BTreeMap::<(&str, String, u32), OldTls>::new();
    for row in rows.iter().filter(|row| OLD.contains(&row.version)) {
        let server = match name_or_address(&row.sni, &row.server_ip) {
            Cell::Text(name) => name,
            Cell::Address(ip) => ip.to_string(),
            _ => String::new(),
        };
        let version = match tls_version(row.version) {
            Cell::Text(version) if version.starts_with("ssl") => version.to_uppercase(),
            Cell::Text(version) => format!("TLS {version}"),
            _ => continue,
        };
        let entry = found.entry((&row.device, server.clone(), row.version)).or_insert_with(|| OldTls {
            device: row.device.clone(),
            device_name: row.device_name.clone(),
            server,
            version,
            hellos: 0,
        });
        entry.hellos += 1;
    }
    let mut found: Vec<_> = found.into_values().collect();
    found.sort_by_key(|it| std::cmp::Reverse(it.hellos));
    found
}

/// Below this, what is clear is the beginning of what is encrypted.
const CLEAR: f64 = 0.05;
/// SSL 2.0, SSL 3.0, TLS 1.0, TLS 1.1: RFC 6176, RFC 7568 and RFC 8996 forbid them.
const OLD: [u32; 4] = [0x0002, 0x0300, 0x0301, 0x0302];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_old_encryption_is_listed() {
        let hello = |version| Tls { device: "a".into(), sni: "x.example.com".into(), version, ..Tls::default() };
        let old = old_tls(&[hello(0x0301), hello(0x0303), hello(0x0304), hello(0x0301), hello(0x0002)]);
        let versions: Vec<_> = old.iter().map(|it| (it.version.as_str(), it.hellos)).collect();
        assert_eq!(versions, [("TLS 1.0", 2), ("SSL2", 1)]);
    }
}
