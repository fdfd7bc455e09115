//! DNS transactions, hellos and time requests as rows.

use std::net::{IpAddr, Ipv6Addr};

use clickhouse::native::builder::BlockBuilder;
use iotq_proto::{RecordType, address_octets, v1};

use super::{BoxedError, Member, column, ip, monday, narrow_u8, narrow_u16};

/// Adds what all these tables begin with.
fn fill_origin(block: &mut BlockBuilder, member: &Member<'_>, rows: usize) -> Result<(), BoxedError> {
    column(block, "arrived_on", std::iter::repeat_n(monday(member.arrived_on), rows))?;
    column(block, "collector", std::iter::repeat_n(member.collector(), rows))
}

pub(super) fn fill_dns(block: &mut BlockBuilder, member: &Member<'_>) -> Result<(), BoxedError> {
    let rows = || member.batch.dns.iter();
    fill_origin(block, member, rows().len())?;
    column(block, "kind", rows().map(|row| row.kind().label()))?;
    column(block, "question_seen", rows().map(|row| u8::from(row.question_seen)))?;
    column(block, "asked_at_ns", rows().map(|row| row.asked_at_ns))?;
    column(block, "answered_at_ns", rows().map(|row| row.answered_at_ns))?;
    column(block, "client_ip", rows().map(|row| ip(&row.client_ip)))?;
    column(block, "server_ip", rows().map(|row| ip(&row.server_ip)))?;
    column(block, "client_port", rows().map(|row| narrow_u16(row.client_port)))?;
    column(block, "server_port", rows().map(|row| narrow_u16(row.server_port)))?;
    column(block, "ip_version", rows().map(|row| narrow_u8(row.ip_version)))?;
    column(block, "protocol", rows().map(|row| narrow_u8(row.protocol)))?;
    column(block, "client_mac", rows().map(|row| row.client_mac))?;
    column(block, "vlan_id", rows().map(|row| narrow_u16(row.vlan_id)))?;
    column(block, "qname", rows().map(|row| row.qname.as_str()))?;
    column(block, "qtype", rows().map(|row| narrow_u16(row.qtype)))?;
    column(block, "rcode", rows().map(|row| row.rcode.map(narrow_u16)))?;
    column(block, "answer_names", rows().map(|row| each(row, |record| record.name.as_str())))?;
    column(block, "answer_types", rows().map(|row| each(row, |record| narrow_u16(record.r#type))))?;
    column(block, "answer_ttl_secs", rows().map(|row| each(row, |record| record.ttl_secs)))?;
    column(block, "answer_data", rows().map(|row| each(row, |record| record.data.as_str())))?;
    column(block, "answer_ips", rows().map(|row| addresses(row).collect::<Vec<_>>()))
}

pub(super) fn fill_tls_hellos(block: &mut BlockBuilder, member: &Member<'_>) -> Result<(), BoxedError> {
    let rows = || member.batch.tls_hellos.iter();
    fill_origin(block, member, rows().len())?;
    column(block, "seen_at_ns", rows().map(|row| row.seen_at_ns))?;
    column(block, "client_ip", rows().map(|row| ip(&row.client_ip)))?;
    column(block, "server_ip", rows().map(|row| ip(&row.server_ip)))?;
    column(block, "client_port", rows().map(|row| narrow_u16(row.client_port)))?;
    column(block, "server_port", rows().map(|row| narrow_u16(row.server_port)))?;
    column(block, "ip_version", rows().map(|row| narrow_u8(row.ip_version)))?;
    column(block, "client_mac", rows().map(|row| row.client_mac))?;
    column(block, "vlan_id", rows().map(|row| narrow_u16(row.vlan_id)))?;
    column(block, "transport", rows().map(|row| row.transport().label()))?;
    column(block, "version", rows().map(|row| narrow_u16(row.version)))?;
    column(block, "sni", rows().map(|row| row.sni.as_str()))?;
    column(block, "alpn", rows().map(|row| row.alpn.as_slice()))?;
    column(block, "ja4", rows().map(|row| row.ja4.as_str()))?;
    column(block, "ech", rows().map(|row| u8::from(row.ech)))
}

pub(super) fn fill_time_requests(block: &mut BlockBuilder, member: &Member<'_>) -> Result<(), BoxedError> {
    let rows = || member.batch.time_requests.iter();
    fill_origin(block, member, rows().len())?;
    column(block, "requested_at_ns", rows().map(|row| row.requested_at_ns))?;
    column(block, "replied_at_ns", rows().map(|row| row.replied_at_ns))?;
    column(block, "client_ip", rows().map(|row| ip(&row.client_ip)))?;
    column(block, "server_ip", rows().map(|row| ip(&row.server_ip)))?;
    column(block, "client_port", rows().map(|row| narrow_u16(row.client_port)))?;
    column(block, "ip_version", rows().map(|row| narrow_u8(row.ip_version)))?;
    column(block, "client_mac", rows().map(|row| row.client_mac))?;
    column(block, "vlan_id", rows().map(|row| narrow_u16(row.vlan_id)))?;
    column(block, "version", rows().map(|row| narrow_u8(row.version)))
}

fn each<'a, T>(row: &'a v1::DnsTransaction, pick: impl Fn(&'a v1::DnsRecord) -> T) -> Vec<T> {
    row.answers.iter().map(pick).collect()
}

/// The addresses among the answers.
pub(super) fn addresses(row: &v1::DnsTransaction) -> impl Iterator<Item = Ipv6Addr> {
    row.answers.iter().filter_map(address)
}

/// The address in an A or AAAA record.
fn address(record: &v1::DnsRecord) -> Option<Ipv6Addr> {
    let is_address = matches!(RecordType(narrow_u16(record.r#type)), RecordType::A | RecordType::AAAA);
    let ip: IpAddr = record.data.parse().ok().filter(|_| is_address)?;
    Some(Ipv6Addr::from(address_octets(ip)))
}
