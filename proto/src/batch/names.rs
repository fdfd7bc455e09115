//! Checks of what a batch says beside packets: connections, DNS, hellos, time.

use super::{
    InvalidBatch, MAX_BATCH_CONNECTIONS, MAX_BATCH_NAMES, MAX_DNS_ANSWERS, MAX_NAME_TEXT, MAX_RECORD_TEXT, at_most,
    instant, mac, nonzero,
};
use crate::{VlanId, v1};

pub(super) fn check(batch: &v1::Batch) -> Result<(), InvalidBatch> {
    at_most("connections", batch.connections.len(), MAX_BATCH_CONNECTIONS)?;
    at_most("dns", batch.dns.len(), MAX_BATCH_NAMES)?;
    at_most("tls_hellos", batch.tls_hellos.len(), MAX_BATCH_NAMES)?;
    at_most("time_requests", batch.time_requests.len(), MAX_BATCH_NAMES)?;
    batch.connections.iter().try_for_each(check_connection)?;
    batch.dns.iter().try_for_each(check_dns)?;
    batch.tls_hellos.iter().try_for_each(check_hello)?;
    batch.time_requests.iter().try_for_each(check_time_request)
}

fn check_connection(update: &v1::ConnectionUpdate) -> Result<(), InvalidBatch> {
    nonzero("connections.number", update.number)?;
    nonzero("connections.update", update.update.into())?;
    instant("connections.started_at_ns", update.started_at_ns)?;
    instant("connections.last_at_ns", update.last_at_ns)?;
    ends(&update.orig_ip, &update.resp_ip, update.ip_version, &[update.orig_mac, update.resp_mac], update.vlan_id)?;
    below("connections.protocol", update.protocol.into(), 1 << 8)?;
    ports(update.orig_port, update.resp_port)?;
    at_most("connections.history octets", update.history.len(), MAX_HISTORY)?;
    at_most("connections.server_name octets", update.server_name.len(), MAX_NAME_TEXT)?;
    below("connections.tls_version", update.tls_version.into(), 1 << 16)?;
    below("connections.tls_cipher", update.tls_cipher.into(), 1 << 16)?;
    at_most("connections.alpn octets", update.alpn.len(), MAX_ALPN_BYTES)?;
    at_most("connections.client_id_hash octets", update.client_id_hash.len(), 16)
}

fn check_dns(dns: &v1::DnsTransaction) -> Result<(), InvalidBatch> {
    instant("dns.asked_at_ns", dns.asked_at_ns)?;
    dns.answered_at_ns.map_or(Ok(()), |at| instant("dns.answered_at_ns", at))?;
    ends(&dns.client_ip, &dns.server_ip, dns.ip_version, &[dns.client_mac], dns.vlan_id)?;
    ports(dns.client_port, dns.server_port)?;
    below("dns.protocol", dns.protocol.into(), 1 << 8)?;
    at_most("dns.qname octets", dns.qname.len(), MAX_NAME_TEXT)?;
    below("dns.qtype", dns.qtype.into(), 1 << 16)?;
    // Twelve bits with EDNS (RFC 6891, section 6.1.3).
    below("dns.rcode", dns.rcode.unwrap_or_default().into(), 1 << 12)?;
    at_most("dns.answers", dns.answers.len(), MAX_DNS_ANSWERS)?;
    dns.answers.iter().try_for_each(|record| {
        at_most("dns.answers.name octets", record.name.len(), MAX_NAME_TEXT)?;
        below("dns.answers.type", record.r#type.into(), 1 << 16)?;
        at_most("dns.answers.data octets", record.data.len(), MAX_RECORD_TEXT)
    })
}

fn check_hello(hello: &v1::TlsHello) -> Result<(), InvalidBatch> {
    instant("tls_hellos.seen_at_ns", hello.seen_at_ns)?;
    ends(&hello.client_ip, &hello.server_ip, hello.ip_version, &[hello.client_mac], hello.vlan_id)?;
    ports(hello.client_port, hello.server_port)?;
    below("tls_hellos.version", hello.version.into(), 1 << 16)?;
    at_most("tls_hellos.sni octets", hello.sni.len(), MAX_NAME_TEXT)?;
    at_most("tls_hellos.alpn", hello.alpn.len(), MAX_ALPNS)?;
    hello.alpn.iter().try_for_each(|alpn| at_most("tls_hellos.alpn octets", alpn.len(), MAX_ALPN_BYTES))?;
    at_most("tls_hellos.ja4 octets", hello.ja4.len(), MAX_JA4)
}

fn check_time_request(request: &v1::TimeRequest) -> Result<(), InvalidBatch> {
    instant("time_requests.requested_at_ns", request.requested_at_ns)?;
    request.replied_at_ns.map_or(Ok(()), |at| instant("time_requests.replied_at_ns", at))?;
    ends(&request.client_ip, &request.server_ip, request.ip_version, &[request.client_mac], request.vlan_id)?;
    ports(request.client_port, 0)?;
    below("time_requests.version", request.version.into(), 1 << 3)
}

fn ends(one: &[u8], other: &[u8], ip_version: u32, macs: &[u64], vlan_id: u32) -> Result<(), InvalidBatch> {
    for ip in [one, other] {
        if ip.len() != 16 {
            return Err(InvalidBatch::ColumnLength { column: "ip", found: ip.len(), expected: 16 });
        }
    }
    if !matches!(ip_version, 4 | 6) {
        return Err(InvalidBatch::Value { column: "ip_version", value: ip_version.into() });
    }
    if VlanId::from_u32(vlan_id).is_none() {
        return Err(InvalidBatch::Value { column: "vlan_id", value: vlan_id.into() });
    }
    macs.iter().try_for_each(|number| mac("mac", *number))
}

fn ports(one: u32, other: u32) -> Result<(), InvalidBatch> {
    below("port", one.into(), 1 << 16)?;
    below("port", other.into(), 1 << 16)
}

fn below(column: &'static str, value: u64, limit: u64) -> Result<(), InvalidBatch> {
    if value < limit { Ok(()) } else { Err(InvalidBatch::Value { column, value: value.into() }) }
}

/// Zeek repeats letters with a logarithm of their count: a history stays short.
const MAX_HISTORY: usize = 64;
/// RFC 7301, section 3.1: a protocol name has up to 255 octets, each at most
/// `\xHH` in text.
const MAX_ALPN_BYTES: usize = 1020;
/// Clients offer up to some dozen.
const MAX_ALPNS: usize = 64;
/// `t13d1516h2_8daaf6152771_b186095e22b6` has 36 octets.
const MAX_JA4: usize = 48;
