//! Rows of questions about connections and names, as ClickHouse sends them. Field
//! order is column order.

use std::net::Ipv6Addr;

use clickhouse::Row;
use serde::Deserialize;

/// A row of `sql/connections.sql`.
#[derive(Clone, Debug, Deserialize, Row)]
#[expect(missing_docs, reason = "the columns are explained in the SQL")]
pub struct ConnectionRow {
    pub collector: String,
    pub also_seen_by: Vec<String>,
    pub orig_ip: Ipv6Addr,
    pub resp_ip: Ipv6Addr,
    pub ip_version: u8,
    pub protocol: u8,
    pub has_ports: u8,
    pub orig_port: u16,
    pub resp_port: u16,
    pub vlan_id: u16,
    pub orig_mac: u64,
    pub resp_mac: u64,
    pub started_at_ns: i64,
    pub last_at_ns: i64,
    pub orig_packets: u64,
    pub resp_packets: u64,
    pub orig_wire_bytes: u64,
    pub resp_wire_bytes: u64,
    pub orig_payload_bytes: u64,
    pub resp_payload_bytes: u64,
    pub orig_retransmitted: u64,
    pub resp_retransmitted: u64,
    pub state: String,
    pub history: String,
    pub end: String,
    pub service: String,
    pub server_name: String,
    pub server_name_source: String,
    pub tls_version: u16,
    pub handshake_rtt_ns: i64,
    pub is_open: u8,
}

/// A row of `sql/dns.sql`.
#[derive(Clone, Debug, Deserialize, Row)]
#[expect(missing_docs, reason = "the columns are explained in the SQL")]
pub struct DnsRow {
    pub collector: String,
    pub also_seen_by: Vec<String>,
    pub kind: String,
    pub asked_at_ns: i64,
    pub answered_at_ns: Option<i64>,
    pub client_ip: Ipv6Addr,
    pub server_ip: Ipv6Addr,
    pub protocol: u8,
    pub qname: String,
    pub qtype: u16,
    pub rcode: Option<u16>,
    pub answer_names: Vec<String>,
    pub answer_types: Vec<u16>,
    pub answer_ttl_secs: Vec<u32>,
    pub answer_data: Vec<String>,
    pub mac: u64,
    pub vlan_id: u16,
    pub ip: Ipv6Addr,
}

/// A row of `sql/tls.sql`.
#[derive(Clone, Debug, Deserialize, Row)]
#[expect(missing_docs, reason = "the columns are explained in the SQL")]
pub struct TlsRow {
    pub collector: String,
    pub also_seen_by: Vec<String>,
    pub seen_at_ns: i64,
    pub client_ip: Ipv6Addr,
    pub server_ip: Ipv6Addr,
    pub client_port: u16,
    pub server_port: u16,
    pub transport: String,
    pub version: u16,
    pub sni: String,
    pub alpn: Vec<String>,
    pub ja4: String,
    pub ech: u8,
    pub mac: u64,
    pub vlan_id: u16,
    pub ip: Ipv6Addr,
}

/// A row of `sql/time_servers.sql`.
#[derive(Clone, Debug, Deserialize, Row)]
#[expect(missing_docs, reason = "the columns are explained in the SQL")]
pub struct TimeServerRow {
    pub mac: u64,
    pub vlan_id: u16,
    pub ip: Ipv6Addr,
    pub server_ip: Ipv6Addr,
    pub requests: u64,
    pub replies: u64,
    pub requests_at_ns: Vec<i64>,
    pub first_at_ns: i64,
    pub last_at_ns: i64,
}

/// A row of `sql/unanswered.sql`.
#[derive(Clone, Debug, Deserialize, Row)]
#[expect(missing_docs, reason = "the columns are explained in the SQL")]
pub struct UnansweredRow {
    pub collector: String,
    pub vlan_id: u16,
    pub orig_mac: u64,
    pub orig_ip: Ipv6Addr,
    #[serde(rename = "to_ip")]
    pub resp_ip: Ipv6Addr,
    #[serde(rename = "to_port")]
    pub resp_port: u16,
    pub protocol: u8,
    pub attempts: u64,
    pub syns: u64,
    pub refused: u64,
    pub unreachable: u64,
    pub attempts_at_ns: Vec<i64>,
    pub first_at_ns: i64,
    pub last_at_ns: i64,
    pub since_at_ns: i64,
    /// If not 0 this is all that the row says.
    pub one_sided: u64,
}

/// A row of `sql/beats.sql`.
#[derive(Clone, Debug, Deserialize, Row)]
#[expect(missing_docs, reason = "the columns are explained in the SQL")]
pub struct BeatsRow {
    pub collector: String,
    pub a_ip: Ipv6Addr,
    pub b_ip: Ipv6Addr,
    pub protocol: u8,
    pub a_port: u16,
    pub b_port: u16,
    pub vlan_id: u16,
    pub a_mac: u64,
    pub b_mac: u64,
    /// Those with packets, since 1970, in no order.
    pub seconds: Vec<i64>,
    /// Of each its first packet, in nanoseconds; so the others.
    pub first_ns: Vec<u32>,
    pub last_ns: Vec<u32>,
    pub packets: Vec<u32>,
    pub overhead_bytes: Vec<u32>,
    pub wire_bytes: Vec<u32>,
}

/// Lower address and its port, higher address and its port, protocol.
pub type FiveTuple = (Ipv6Addr, u16, Ipv6Addr, u16, u8);

/// A row of `sql/starts.sql`.
#[derive(Clone, Debug, Deserialize, Row)]
#[expect(missing_docs, reason = "the columns are explained in the SQL")]
pub struct StartsRow {
    pub collector: String,
    pub vlan_id: u16,
    pub orig_mac: u64,
    pub orig_ip: Ipv6Addr,
    pub resp_ip: Ipv6Addr,
    pub resp_port: u16,
    pub protocol: u8,
    pub server_name: String,
    pub server_name_source: String,
    pub starts: Vec<(i64, u64)>,
    pub last_at_ns: i64,
}

/// A row of `sql/encrypted.sql`.
#[derive(Clone, Debug, Deserialize, Row)]
#[expect(missing_docs, reason = "the columns are explained in the SQL")]
pub struct EncryptedRow {
    pub mac: u64,
    pub vlan_id: u16,
    pub ip: Ipv6Addr,
    pub peer_ip: Ipv6Addr,
    pub encrypted: u64,
    pub packets: u64,
}

/// A row of `sql/peer_names.sql`.
#[derive(Clone, Debug, Deserialize, Row)]
#[expect(missing_docs, reason = "the columns are explained in the SQL")]
pub struct PeerNameRow {
    pub ip: Ipv6Addr,
    pub name: String,
    pub source: String,
    pub mac: u64,
    pub vlan_id: u16,
    pub client_ip: Ipv6Addr,
    pub first_at_ns: i64,
    pub last_at_ns: i64,
}

/// A row of `sql/said.sql`.
#[derive(Clone, Debug, Deserialize, Row)]
#[expect(missing_docs, reason = "the columns are explained in the SQL")]
pub struct SaidRow {
    pub kind: String,
    pub collector: String,
    pub vlan_id: u16,
    pub mac: u64,
    pub ip: Ipv6Addr,
    pub text: String,
    pub first_at_ns: i64,
    pub last_at_ns: i64,
}
