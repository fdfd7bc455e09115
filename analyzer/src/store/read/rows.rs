//! Rows as ClickHouse sends them. Field order is column order.

use std::net::Ipv6Addr;

use clickhouse::Row;
use serde::{Deserialize, Deserializer};

/// A row of `sql/exchanged.sql`.
#[derive(Clone, Debug, Deserialize, Row)]
#[expect(missing_docs, reason = "the columns are explained in the SQL")]
pub struct ExchangedRow {
    pub collector: String,
    pub vlan_id: u16,
    pub a_mac: u64,
    pub b_mac: u64,
    #[serde(rename = "a_number", deserialize_with = "address")]
    pub a_ip: Ipv6Addr,
    #[serde(rename = "b_number", deserialize_with = "address")]
    pub b_ip: Ipv6Addr,
    pub a_packets: u64,
    pub b_packets: u64,
    pub a_wire_bytes: u64,
    pub b_wire_bytes: u64,
    pub first_at_ns: i64,
    pub last_at_ns: i64,
    /// If they were asked for: bit n is set if there was a packet in the minute n after that in which the range begins.
    pub awake_minutes: u64,
    /// Which endpoint the row is about: 0 is `a`, 1 is `b`, 2 both.
    pub side: u8,
}

/// An address as a number: of answers of many rows it takes a quarter of the time to take addresses octet by octet.
fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Ipv6Addr, D::Error> {
    u128::deserialize(deserializer).map(Ipv6Addr::from_bits)
}

/// A row of `sql/endpoint_hours.sql` and `sql/endpoint_hours_of_pairs.sql`.
#[derive(Clone, Debug, Deserialize, Row)]
#[expect(missing_docs, reason = "the columns are explained in the SQL")]
pub struct EndpointHoursRow {
    pub collector: String,
    pub vlan_id: u16,
    pub mac: u64,
    pub ip: Ipv6Addr,
    /// Hours since 1970 of which there are parts, in no order, some twice.
    pub hours: Vec<i32>,
    /// Of each of them the minutes with packets, as bits.
    pub awake_minutes: Vec<u64>,
    /// And the packets.
    pub packets: Vec<u64>,
}

/// A row of `sql/conversations.sql`.
#[derive(Clone, Debug, Deserialize, Row)]
#[expect(missing_docs, reason = "the columns are explained in the SQL")]
pub struct ConversationRow {
    pub a_ip: Ipv6Addr,
    pub b_ip: Ipv6Addr,
    pub ip_version: u8,
    pub a_packets: u64,
    pub b_packets: u64,
    pub a_wire_bytes: u64,
    pub b_wire_bytes: u64,
    pub first_at_ns: i64,
    pub last_at_ns: i64,
}

/// A row of `sql/timeline_*.sql`.
#[derive(Clone, Debug, Deserialize, Row)]
#[expect(missing_docs, reason = "the columns are explained in the SQL")]
pub struct PointRow {
    pub mac: u64,
    pub vlan_id: u16,
    pub ip: Ipv6Addr,
    pub step_at: i64,
    pub packets: u64,
    pub wire_bytes: u64,
}

/// A row of `sql/packets.sql`.
#[derive(Clone, Debug, Deserialize, Row)]
#[expect(missing_docs, reason = "the columns are explained in the SQL")]
pub struct PacketRow {
    pub captured_at_ns: i64,
    pub collector: String,
    pub also_seen_by: Vec<String>,
    pub ip_version: u8,
    pub protocol: u8,
    pub has_ports: u8,
    pub vlan_id: u16,
    pub a_ip: Ipv6Addr,
    pub b_ip: Ipv6Addr,
    pub a_port: u16,
    pub b_port: u16,
    pub a_device_mac: u64,
    pub a_device_vlan_id: u16,
    pub a_device_ip: Ipv6Addr,
    pub b_device_mac: u64,
    pub b_device_vlan_id: u16,
    pub b_device_ip: Ipv6Addr,
    pub wire_bytes: u32,
    pub payload_bytes: u32,
    pub tcp_flags: u16,
    pub from_a: u8,
}

/// What is stored, in a few words.
#[derive(Clone, Debug, Deserialize, Row)]
pub struct HoldingsRow {
    /// All collectors that there ever were, with the begin and the end of what they captured live; 0 and 0: nothing.
    pub collectors: Vec<(String, i64, i64)>,
    /// When what the batches that are kept report on begins; 0: there are none.
    pub first_batch_at_ns: i64,
    /// All of whose packets anything is kept.
    pub collectors_of_packets: Vec<String>,
    /// When the first packet was captured; 0: there is none.
    pub first_at_ns: i64,
    /// When the newest packet was captured; 0: there is none.
    pub newest_at_ns: i64,
}

/// A row of `sql/stretches.sql`.
#[derive(Clone, Debug, Default, Deserialize, Row)]
#[expect(missing_docs, reason = "the columns are explained in the SQL")]
pub struct StretchRow {
    pub collector: String,
    pub epoch: u64,
    /// Empty: live.
    pub source_fingerprint: String,
    /// 0: it has a time; 1: it has none; 2: of centuries.
    pub kind: u8,
    pub number: i64,
    pub from_at_ns: i64,
    pub until_at_ns: i64,
    pub first_seq: u64,
    pub last_seq: u64,
    pub batches: u64,
    pub is_whole: u8,
    pub seqs: u64,
    pub frames: u64,
    pub undecoded: u64,
    pub lost: (Vec<String>, Vec<u64>),
}

/// Collector, epoch and step of a live stretch.
pub type StepKey = (String, u64, i64);

/// The row of `sql/days.sql`.
#[derive(Clone, Debug, Default, Deserialize, Row)]
pub struct DaysRow {
    /// Their begins, in seconds since 1970, in no order.
    pub days: Vec<i64>,
    /// How many collectors they are of.
    pub collectors: u64,
}

/// A row of `sql/edges.sql`.
#[derive(Clone, Debug, Default, Deserialize, Row)]
#[expect(missing_docs, reason = "the columns are explained in the SQL")]
pub struct EdgeRow {
    pub collector: String,
    pub epoch: u64,
    pub from_at_ns: i64,
    pub until_at_ns: i64,
    pub first_seq: u64,
    pub last_seq: u64,
}

/// The row of `sql/coverage_jumping.sql`.
#[derive(Clone, Debug, Deserialize, Row)]
#[expect(missing_docs, reason = "the columns are explained in the SQL")]
pub struct CoverageJumpingRow {
    pub collectors_reporting: u64,
    pub frames: u64,
    pub lost: Vec<(String, u64)>,
    pub undecoded: u64,
    pub covered_ns: i64,
}

/// A row of `sql/collectors.sql`.
#[derive(Clone, Debug, Deserialize, Row)]
#[expect(missing_docs, reason = "the columns are explained in the SQL")]
pub struct CollectorRow {
    pub collector: String,
    pub batches: u64,
    pub last_batch_at_ns: i64,
    pub frames: u64,
    pub packets: u64,
    pub no_ip: u64,
    pub undecoded: Vec<(String, u64)>,
    pub lost: Vec<(String, u64)>,
    pub clamped_times: u64,
    pub covered_from_at_ns: i64,
    pub covered_until_at_ns: i64,
}

/// A row of `sql/no_ip.sql`.
#[derive(Clone, Debug, Deserialize, Row)]
#[expect(missing_docs, reason = "the columns are explained in the SQL")]
pub struct NoIpRow {
    pub collector: String,
    pub link_protocol: u32,
    pub frames: u64,
    pub wire_bytes: u64,
}

/// A row of `sql/tables.sql`.
#[derive(Clone, Debug, Deserialize, Row)]
#[expect(missing_docs, reason = "the columns are explained in the SQL")]
pub struct TableRow {
    pub table: String,
    pub bytes: u64,
    pub rows: u64,
    pub oldest_day: u16,
    pub bytes_per_day: u64,
}

impl TableRow {
    /// Adds another shard's.
    pub(in crate::store) fn add(&mut self, other: &Self) {
        self.bytes += other.bytes;
        self.rows += other.rows;
        self.oldest_day = self.oldest_day.min(other.oldest_day);
        self.bytes_per_day += other.bytes_per_day;
    }
}

/// A row of `sql/directory.sql`.
#[derive(Clone, Debug, Deserialize, Row)]
#[expect(missing_docs, reason = "the columns are explained in the SQL")]
pub struct DirectoryRow {
    pub mac: u64,
    pub vlan_id: u16,
    pub ip: Ipv6Addr,
    pub ips: Vec<Ipv6Addr>,
    pub first_at_ns: i64,
    pub last_at_ns: i64,
}

/// A row of `sql/identity.sql`.
#[derive(Clone, Debug, Deserialize, Row)]
#[expect(missing_docs, reason = "the columns are explained in the SQL")]
pub struct IdentityRow {
    pub collector: String,
    pub mac: u64,
    pub ipv4_addresses: u64,
    pub ipv6_networks: Vec<Ipv6Addr>,
    pub ipv6_addresses: Vec<Ipv6Addr>,
}

/// A row of `sql/pairs_seen_by.sql`.
#[derive(Clone, Debug, Deserialize, Row)]
#[expect(missing_docs, reason = "the columns are explained in the SQL")]
pub struct SeenByRow {
    pub a_ip: Ipv6Addr,
    pub b_ip: Ipv6Addr,
    pub collectors: Vec<String>,
}

/// A row of `sql/on_link.sql`.
#[derive(Clone, Debug, Deserialize, Row)]
#[expect(missing_docs, reason = "the columns are explained in the SQL")]
pub struct OnLinkRow {
    pub kind: String,
    pub collector: String,
    pub mac: u64,
    pub ip: Ipv6Addr,
    pub prefix_len: u8,
}

/// A row of `sql/half_tagged.sql`.
#[derive(Clone, Debug, Deserialize, Row)]
#[expect(missing_docs, reason = "the columns are explained in the SQL")]
pub struct MacRow {
    pub collector: String,
    pub mac: u64,
}

/// A row of `sql/placed.sql`.
#[derive(Clone, Debug, Deserialize, Row)]
#[expect(missing_docs, reason = "the columns are explained in the SQL")]
pub struct PlacedRow {
    pub collector: String,
    pub ip: Ipv6Addr,
    pub mac: u64,
    pub vlan_id: u16,
}
