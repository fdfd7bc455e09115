//! Under which names clients reached addresses: what a batch's connections and DNS
//! transactions say, a row a name and client.

use std::{collections::HashMap, net::Ipv6Addr};

use ahash::RandomState;
use clickhouse::native::builder::BlockBuilder;
use iotq_proto::v1;

use super::{BoxedError, Member, column, ip, names::addresses, narrow_u16, year};

/// Who reached what by which name.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
struct Key<'a> {
    ip: Ipv6Addr,
    name: &'a str,
    source: &'static str,
    client_mac: u64,
    vlan_id: u16,
    client_ip: Ipv6Addr,
}

/// When, from the first to the last time, in nanoseconds since 1970.
#[derive(Clone, Copy)]
struct Times {
    first: i64,
    last: i64,
}

/// At least one, if there are any.
pub(super) fn rows(batch: &v1::Batch) -> usize {
    let named = batch.connections.iter().any(|row| !row.server_name.is_empty());
    usize::from(named || batch.dns.iter().any(|row| is_for_a_name(row) && addresses(row).next().is_some()))
}

pub(super) fn fill(block: &mut BlockBuilder, member: &Member<'_>) -> Result<(), BoxedError> {
    let told = told(member.batch);
    // Keys and values come in the same order.
    let keys = || told.keys();
    column(block, "arrived_on", keys().map(|_| year(member.arrived_on)))?;
    column(block, "ip", keys().map(|key| key.ip))?;
    column(block, "name", keys().map(|key| key.name))?;
    column(block, "source", keys().map(|key| key.source))?;
    column(block, "client_mac", keys().map(|key| key.client_mac))?;
    column(block, "vlan_id", keys().map(|key| key.vlan_id))?;
    column(block, "client_ip", keys().map(|key| key.client_ip))?;
    column(block, "collector", keys().map(|_| member.collector()))?;
    column(block, "first_at_ns", told.values().map(|times| times.first))?;
    column(block, "last_at_ns", told.values().map(|times| times.last))
}

fn told(batch: &v1::Batch) -> HashMap<Key<'_>, Times, RandomState> {
    let mut told = HashMap::default();
    let mut add = |key, first, last| {
        let times = told.entry(key).or_insert(Times { first, last });
        *times = Times { first: times.first.min(first), last: times.last.max(last) };
    };
    for row in batch.connections.iter().filter(|row| !row.server_name.is_empty()) {
        let key = Key {
            ip: ip(&row.resp_ip),
            name: &row.server_name,
            source: row.server_name_source().label(),
            client_mac: row.orig_mac,
            vlan_id: narrow_u16(row.vlan_id),
            client_ip: ip(&row.orig_ip),
        };
        add(key, row.started_at_ns, row.last_at_ns);
    }
    for row in batch.dns.iter().filter(|row| is_for_a_name(row)) {
        for answer in addresses(row) {
            let key = Key {
                ip: answer,
                name: &row.qname,
                source: row.kind().label(),
                client_mac: row.client_mac,
                vlan_id: narrow_u16(row.vlan_id),
                client_ip: ip(&row.client_ip),
            };
            add(key, row.asked_at_ns, row.asked_at_ns);
        }
    }
    told
}

/// Whether the question is for a name that addresses in its answer have. What is said in mDNS
/// is a sighting.
fn is_for_a_name(row: &v1::DnsTransaction) -> bool {
    row.qname != "." && matches!(row.kind(), v1::DnsKind::Dns | v1::DnsKind::Llmnr)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(name: &str, started_at_ns: i64, last_at_ns: i64) -> v1::ConnectionUpdate {
        let mut row = v1::ConnectionUpdate {
            server_name: name.to_owned(),
            started_at_ns,
            last_at_ns,
            orig_ip: vec![1; 16],
            resp_ip: vec![2; 16],
            ..Default::default()
        };
        row.set_server_name_source(v1::ServerNameSource::Sni);
        row
    }

    #[test]
    fn a_name_is_told_once_a_client_and_batch() {
        let batch = v1::Batch {
            connections: vec![
                connection("a.test", 20, 30),
                connection("", 1, 2),
                connection("a.test", 10, 15),
                connection("b.test", 5, 6),
            ],
            ..Default::default()
        };
        assert_eq!(rows(&batch), 1);
        let mut told: Vec<_> =
            told(&batch).into_iter().map(|(key, times)| (key.name, times.first, times.last)).collect();
        told.sort_unstable();
        assert_eq!(told, [("a.test", 10, 30), ("b.test", 5, 6)]);
        let nameless = v1::Batch { connections: vec![connection("", 1, 2)], ..Default::default() };
        assert_eq!(rows(&nameless), 0);
    }
}
