//! What the addresses that devices talk to are called.

use std::{collections::HashMap, net::Ipv6Addr};

use super::DeviceKey;
use crate::store::PeerNameRow;

/// Names of addresses, by who used them, as of one moment.
#[derive(Debug, Default)]
pub struct PeerNames {
    names: Vec<String>,
    by_ip: HashMap<Ipv6Addr, Vec<Known>>,
}

/// What an address is called.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PeerName<'a> {
    /// A full name.
    pub name: &'a str,
    /// `sni`, `quic_sni`, `http_host`, `dns`, and the same with `_by_other` where
    /// another device than the one asked about learned it.
    pub source: &'static str,
    /// When it was last used or told.
    pub last_at_ns: i64,
}

/// A client used or was told this name for the address.
#[derive(Clone, Copy, Debug)]
struct Known {
    client: Option<DeviceKey>,
    source: Source,
    name: u32,
    first_at_ns: i64,
    last_at_ns: i64,
}

/// The less, the better (DESIGN.md, section 6).
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Source {
    Sni,
    QuicSni,
    HttpHost,
    Dns,
    Llmnr,
}

impl PeerNames {
    /// From what the store knows.
    #[must_use]
    pub fn new(rows: Vec<PeerNameRow>) -> Self {
        let mut names = Self::default();
        let mut known_names = HashMap::<String, u32>::new();
        for row in rows {
            let Some(source) = Source::of(&row.source) else { continue };
            let next = u32::try_from(names.names.len()).unwrap_or(u32::MAX);
            let name = *known_names.entry(row.name).or_insert_with_key(|name| {
                names.names.push(name.clone());
                next
            });
            names.by_ip.entry(row.ip).or_default().push(Known {
                client: DeviceKey::from_columns(row.mac, row.vlan_id, row.client_ip),
                source,
                name,
                first_at_ns: row.first_at_ns,
                last_at_ns: row.last_at_ns,
            });
        }
        names
    }

    /// What the address is called by this device; if it has no name for it, by
    /// another: first by what was said on connections, then by DNS, the newest first.
    #[must_use]
    pub fn find(&self, client: Option<DeviceKey>, ip: Ipv6Addr) -> Option<PeerName<'_>> {
        let known = self.by_ip.get(&ip)?;
        let order = |known: &&Known| {
            let by_other = client.is_none() || known.client != client;
            (by_other, known.source, std::cmp::Reverse(known.last_at_ns), known.name)
        };
        let best = known.iter().min_by_key(order)?;
        let by_other = client.is_some() && best.client != client;
        Some(PeerName {
            name: self.names.get(usize::try_from(best.name).ok()?)?,
            source: best.source.label(by_other),
            last_at_ns: best.last_at_ns,
        })
    }

    /// Whether a DNS answer had told the device this address before then.
    #[must_use]
    pub fn was_told(&self, client: DeviceKey, ip: Ipv6Addr, before_ns: i64) -> bool {
        self.by_ip.get(&ip).into_iter().flatten().any(|known| {
            known.client == Some(client)
                && matches!(known.source, Source::Dns | Source::Llmnr)
                && known.first_at_ns <= before_ns
        })
    }
}

impl Source {
    /// From the column.
    fn of(label: &str) -> Option<Self> {
        match label {
            "sni" => Some(Self::Sni),
            "quic_sni" => Some(Self::QuicSni),
            "http_host" => Some(Self::HttpHost),
            "dns" => Some(Self::Dns),
            "llmnr" => Some(Self::Llmnr),
            _ => None,
        }
    }

    fn label(self, by_other: bool) -> &'static str {
        match (self, by_other) {
            (Self::Sni, false) => "sni",
            (Self::Sni, true) => "sni_by_other",
            (Self::QuicSni, false) => "quic_sni",
            (Self::QuicSni, true) => "quic_sni_by_other",
            (Self::HttpHost, false) => "http_host",
            (Self::HttpHost, true) => "http_host_by_other",
            (Self::Dns, false) => "dns",
            (Self::Dns, true) => "dns_by_other",
            (Self::Llmnr, false) => "llmnr",
            (Self::Llmnr, true) => "llmnr_by_other",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, source: &str, mac: u64, last_at_ns: i64) -> PeerNameRow {
        PeerNameRow {
            ip: "::ffff:203.0.113.7".parse().unwrap(),
            name: name.into(),
            source: source.into(),
            mac,
            vlan_id: 0xffff,
            client_ip: Ipv6Addr::UNSPECIFIED,
            first_at_ns: last_at_ns - 1,
            last_at_ns,
        }
    }

    fn device(mac: u64) -> DeviceKey {
        DeviceKey::from_columns(mac, 0xffff, Ipv6Addr::UNSPECIFIED).unwrap()
    }

    #[test]
    fn what_the_device_itself_said_counts_most() {
        let ip = "::ffff:203.0.113.7".parse().unwrap();
        let rows = vec![
            row("a.example.com", "dns", 1, 100),
            row("b.example.com", "sni", 1, 50),
            row("c.example.com", "sni", 2, 200),
            row("d.example.com", "dns", 3, 300),
        ];
        let names = PeerNames::new(rows);
        let found = |mac| names.find(Some(device(mac)), ip).map(|found| (found.name, found.source));
        assert_eq!(found(1), Some(("b.example.com", "sni")));
        assert_eq!(found(3), Some(("d.example.com", "dns")));
        assert_eq!(found(9), Some(("c.example.com", "sni_by_other")));
        assert_eq!(names.find(None, ip).map(|found| found.source), Some("sni"));
        assert_eq!(names.find(Some(device(1)), "::1".parse().unwrap()), None);
    }

    #[test]
    fn who_was_told_before() {
        let names = PeerNames::new(vec![row("a.example.com", "dns", 1, 100), row("a.example.com", "sni", 2, 1)]);
        let ip = "::ffff:203.0.113.7".parse().unwrap();
        assert!(names.was_told(device(1), ip, 99));
        assert!(!names.was_told(device(1), ip, 98));
        assert!(!names.was_told(device(2), ip, 100));
    }
}
