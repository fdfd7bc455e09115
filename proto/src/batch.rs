//! Batches after they were checked.

mod names;

use std::fmt;

use prost::Message as _;

use crate::{CollectorId, InvalidCollectorId, LinkProtocol, MacAddr, Timestamp, VlanId, v1};

/// The longest a batch's message may be.
pub const MAX_BATCH_BYTES: usize = 24 << 20;
/// The most packets a batch may carry. At 15 octets a packet this, the most
/// slices, connections and names stay below [`MAX_BATCH_BYTES`].
pub const MAX_BATCH_PACKETS: usize = 1 << 19;
/// The most slices a batch may carry, at some 75 octets each.
pub const MAX_BATCH_SLICES: usize = 1 << 16;
/// The most connection updates a batch may carry, at up to 500 octets each (with
/// the longest names; 110 without).
pub const MAX_BATCH_CONNECTIONS: usize = 1 << 15;
/// The most DNS transactions, hellos and time requests, each, a batch may carry.
pub const MAX_BATCH_NAMES: usize = 1 << 15;
/// The most octets that the encoded DNS transactions, hellos and sightings of a
/// batch should have together; a collector seals a batch that has more.
pub const MAX_BATCH_NAME_BYTES: usize = 2 << 20;
/// The longest text of a sighting, in octets.
pub const MAX_SIGHTING_TEXT: usize = 255;
/// The longest name in presentation format: 255 octets, each as `\DDD`.
pub const MAX_NAME_TEXT: usize = 1020;
/// The longest RDATA in presentation format.
pub const MAX_RECORD_TEXT: usize = 1024;
/// The most records of an answer.
pub const MAX_DNS_ANSWERS: usize = 64;

/// The name of a batch: the same for each attempt to store it.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct BatchId {
    /// Who sealed it.
    pub collector: CollectorId,
    /// The collector's start.
    pub epoch: u64,
    /// Its number in the epoch, from 1.
    pub seq: u64,
}

/// `collector/epoch/seq`.
impl fmt::Display for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.collector, self.epoch, self.seq)
    }
}

/// A batch whose every column has the right length and every value its range,
/// and whose counts balance: `frames = packets + no_ip + undecoded + lost`.
#[derive(Clone, Debug)]
pub struct CheckedBatch {
    id: BatchId,
    batch: v1::Batch,
    encoded_len: usize,
}

impl CheckedBatch {
    /// The batch's name.
    #[must_use]
    pub fn id(&self) -> &BatchId {
        &self.id
    }

    /// The checked message.
    #[must_use]
    pub fn batch(&self) -> &v1::Batch {
        &self.batch
    }

    /// Octets of the encoded message.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        self.encoded_len
    }

    /// How many packets its slices hold.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.batch.slices.as_ref().map_or(0, |slices| slices.offset_ns.len() as u64)
    }
}

/// Why a batch can never be stored.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidBatch {
    /// The name is none.
    #[error(transparent)]
    Collector(#[from] InvalidCollectorId),
    /// A column is too long or too short.
    #[error("column `{column}` has {found} entries, not {expected}")]
    ColumnLength {
        /// The column's field name.
        column: &'static str,
        /// Entries it has.
        found: usize,
        /// Entries it should have.
        expected: usize,
    },
    /// A value is out of its range.
    #[error("`{column}` holds {value}, which is out of range")]
    Value {
        /// The column's field name.
        column: &'static str,
        /// What was found.
        value: i128,
    },
    /// It is larger than the limits allow.
    #[error("{found} {what} are more than the {limit} that a batch may have")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there may be.
        limit: usize,
    },
    /// Frames are missing or counted twice.
    #[error(
        "{frames} frames do not balance: {packets} packets + {no_ip} without IP + {undecoded} undecoded + {lost} lost"
    )]
    Balance {
        /// Frames it says it accounts for.
        frames: u64,
        /// Packets in its slices.
        packets: u64,
        /// Frames without IP.
        no_ip: u64,
        /// Frames that could not be read.
        undecoded: u64,
        /// Packets lost.
        lost: u64,
    },
}

impl TryFrom<v1::Batch> for CheckedBatch {
    type Error = InvalidBatch;

    fn try_from(batch: v1::Batch) -> Result<Self, Self::Error> {
        let id = BatchId { collector: batch.collector.parse()?, epoch: batch.epoch, seq: batch.seq };
        nonzero("epoch", batch.epoch)?;
        nonzero("seq", batch.seq)?;
        instant("sealed_at_ns", batch.sealed_at_ns)?;
        match (batch.covered_from_at_ns, batch.covered_until_at_ns) {
            (None, None) => {}
            (Some(from), Some(until)) if from <= until => {
                instant("covered_from_at_ns", from)?;
                instant("covered_until_at_ns", until.saturating_sub(1))?;
            }
            (from, until) => {
                let value = i128::from(until.or(from).unwrap_or_default());
                return Err(InvalidBatch::Value { column: "covered_until_at_ns", value });
            }
        }
        let packets = match &batch.slices {
            Some(slices) => check_slices(slices)?,
            None => 0,
        };
        check_counts(&batch)?;
        names::check(&batch)?;
        check_balance(&batch, packets)?;
        let encoded_len = batch.encoded_len();
        Ok(Self { id, batch, encoded_len })
    }
}

fn check_slices(slices: &v1::FlowSlices) -> Result<u64, InvalidBatch> {
    let count = slices.second.len();
    at_most("slices", count, MAX_BATCH_SLICES)?;
    for (column, found, width) in [
        ("vlan_id", slices.vlan_id.len(), 1),
        ("a_mac", slices.a_mac.len(), 1),
        ("b_mac", slices.b_mac.len(), 1),
        ("a_ip", slices.a_ip.len(), 16),
        ("b_ip", slices.b_ip.len(), 16),
        ("ip_version", slices.ip_version.len(), 1),
        ("protocol", slices.protocol.len(), 1),
        ("has_ports", slices.has_ports.len(), 1),
        ("a_port", slices.a_port.len(), 1),
        ("b_port", slices.b_port.len(), 1),
        ("packets", slices.packets.len(), 1),
    ] {
        same_length(column, found, count * width)?;
    }
    let seconds = Timestamp::MIN.second()..=Timestamp::MAX.second();
    all("second", &slices.second, |second| seconds.contains(second))?;
    all("vlan_id", &slices.vlan_id, |vlan| VlanId::from_u32(*vlan).is_some())?;
    all("a_mac", &slices.a_mac, |mac| MacAddr::from_u64(*mac).is_some())?;
    all("b_mac", &slices.b_mac, |mac| MacAddr::from_u64(*mac).is_some())?;
    all("ip_version", &slices.ip_version, |version| matches!(version, 4 | 6))?;
    all("has_ports", &slices.has_ports, |flag| *flag <= 1)?;
    all("a_port", &slices.a_port, |port| *port <= 0xffff)?;
    all("b_port", &slices.b_port, |port| *port <= 0xffff)?;
    all("packets", &slices.packets, |packets| *packets > 0)?;

    let packets: u64 = slices.packets.iter().map(|packets| u64::from(*packets)).sum();
    let packets = usize::try_from(packets).unwrap_or(usize::MAX);
    at_most("packets", packets, MAX_BATCH_PACKETS)?;
    for (column, found) in [
        ("offset_ns", slices.offset_ns.len()),
        ("wire_bytes", slices.wire_bytes.len()),
        ("payload_bytes", slices.payload_bytes.len()),
        ("tcp_flags", slices.tcp_flags.len()),
        ("from_a", slices.from_a.len()),
    ] {
        same_length(column, found, packets)?;
    }
    all("offset_ns", &slices.offset_ns, |offset| *offset < 1_000_000_000)?;
    all("tcp_flags", &slices.tcp_flags, |flags| matches!(flags, 0..=0x0fff | 0xffff))?;
    all("from_a", &slices.from_a, |flag| *flag <= 1)?;
    Ok(packets as u64)
}

fn check_counts(batch: &v1::Batch) -> Result<(), InvalidBatch> {
    // More kinds than this no honest collector tells apart in one batch.
    at_most("no_ip", batch.no_ip.len(), MAX_BATCH_SLICES)?;
    at_most("undecoded", batch.undecoded.len(), MAX_BATCH_SLICES)?;
    at_most("lost", batch.lost.len(), MAX_BATCH_SLICES)?;
    at_most("sightings", batch.sightings.len(), MAX_BATCH_SLICES)?;
    for count in &batch.no_ip {
        if LinkProtocol::from_u32(count.link_protocol).is_none() {
            return Err(InvalidBatch::Value { column: "link_protocol", value: count.link_protocol.into() });
        }
        mac("no_ip.mac", count.mac)?;
    }
    for sighting in &batch.sightings {
        mac("sightings.mac", sighting.mac)?;
        instant("sightings.first_at_ns", sighting.first_at_ns)?;
        instant("sightings.last_at_ns", sighting.last_at_ns)?;
        if !matches!(sighting.ip.len(), 0 | 16) {
            return Err(InvalidBatch::ColumnLength { column: "sightings.ip", found: sighting.ip.len(), expected: 16 });
        }
        at_most("sightings.text octets", sighting.text.len(), MAX_SIGHTING_TEXT)?;
        if sighting.prefix_len > 128 {
            return Err(InvalidBatch::Value { column: "prefix_len", value: sighting.prefix_len.into() });
        }
        if VlanId::from_u32(sighting.vlan_id).is_none() {
            return Err(InvalidBatch::Value { column: "sightings.vlan_id", value: sighting.vlan_id.into() });
        }
    }
    if let Some(oldest_at_ns) = batch.spool.as_ref().and_then(|spool| spool.oldest_sealed_at_ns) {
        instant("spool.oldest_sealed_at_ns", oldest_at_ns)?;
    }
    if let Some(source) = &batch.source {
        at_most("source.name octets", source.name.len(), 4096)?;
        at_most("source.fingerprint octets", source.fingerprint.len(), 16)?;
    }
    Ok(())
}

fn check_balance(batch: &v1::Batch, packets: u64) -> Result<(), InvalidBatch> {
    let sum = |counts: &mut dyn Iterator<Item = u64>| counts.fold(0_u64, u64::saturating_add);
    let no_ip = sum(&mut batch.no_ip.iter().map(|count| count.frames));
    let undecoded = sum(&mut batch.undecoded.iter().map(|count| count.frames));
    let lost = sum(&mut batch.lost.iter().map(|count| count.packets));
    let accounted = packets.saturating_add(no_ip).saturating_add(undecoded).saturating_add(lost);
    if accounted != batch.frames {
        return Err(InvalidBatch::Balance { frames: batch.frames, packets, no_ip, undecoded, lost });
    }
    Ok(())
}

fn all<T: Copy + Into<i128>>(
    column: &'static str,
    values: &[T],
    fits: impl Fn(&T) -> bool,
) -> Result<(), InvalidBatch> {
    match values.iter().find(|value| !fits(value)) {
        Some(value) => Err(InvalidBatch::Value { column, value: (*value).into() }),
        None => Ok(()),
    }
}

fn same_length(column: &'static str, found: usize, expected: usize) -> Result<(), InvalidBatch> {
    if found == expected { Ok(()) } else { Err(InvalidBatch::ColumnLength { column, found, expected }) }
}

fn at_most(what: &'static str, found: usize, limit: usize) -> Result<(), InvalidBatch> {
    if found <= limit { Ok(()) } else { Err(InvalidBatch::TooMany { what, found, limit }) }
}

fn nonzero(column: &'static str, value: u64) -> Result<(), InvalidBatch> {
    if value == 0 { Err(InvalidBatch::Value { column, value: 0 }) } else { Ok(()) }
}

fn instant(column: &'static str, nanos: i64) -> Result<(), InvalidBatch> {
    match Timestamp::from_nanos(nanos) {
        Some(_) => Ok(()),
        None => Err(InvalidBatch::Value { column, value: nanos.into() }),
    }
}

fn mac(column: &'static str, number: u64) -> Result<(), InvalidBatch> {
    match MacAddr::from_u64(number) {
        Some(_) => Ok(()),
        None => Err(InvalidBatch::Value { column, value: number.into() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_packet() -> v1::Batch {
        v1::Batch {
            collector: "attic".into(),
            epoch: 7,
            seq: 1,
            sealed_at_ns: 1,
            frames: 1,
            slices: Some(v1::FlowSlices {
                second: vec![1],
                vlan_id: vec![0xffff],
                a_mac: vec![1],
                b_mac: vec![2],
                a_ip: vec![0; 16],
                b_ip: vec![1; 16],
                ip_version: vec![6],
                protocol: vec![17],
                has_ports: vec![1],
                a_port: vec![53],
                b_port: vec![5353],
                packets: vec![1],
                offset_ns: vec![5],
                wire_bytes: vec![60],
                payload_bytes: vec![8],
                tcp_flags: vec![0xffff],
                from_a: vec![1],
            }),
            ..Default::default()
        }
    }

    #[test]
    fn a_sound_batch_passes() {
        let checked = CheckedBatch::try_from(one_packet()).unwrap();
        assert_eq!(checked.id().to_string(), "attic/7/1");
        assert_eq!(checked.packets(), 1);
    }

    #[test]
    fn frames_that_do_not_balance_are_refused() {
        let batch = v1::Batch { frames: 2, ..one_packet() };
        assert!(matches!(CheckedBatch::try_from(batch), Err(InvalidBatch::Balance { frames: 2, packets: 1, .. })));
    }

    #[test]
    fn a_short_column_is_refused_by_name() {
        let mut batch = one_packet();
        batch.slices.as_mut().unwrap().b_ip.pop();
        let expected = InvalidBatch::ColumnLength { column: "b_ip", found: 15, expected: 16 };
        assert_eq!(CheckedBatch::try_from(batch).unwrap_err(), expected);
    }

    #[test]
    fn packet_counts_whose_sum_overflows_are_refused() {
        let mut batch = one_packet();
        batch.slices.as_mut().unwrap().packets = vec![u32::MAX];
        assert!(matches!(CheckedBatch::try_from(batch), Err(InvalidBatch::TooMany { what: "packets", .. })));
    }

    #[test]
    fn values_out_of_range_are_refused() {
        let spoil: [fn(&mut v1::FlowSlices); 5] = [
            |slices| slices.offset_ns[0] = 1_000_000_000,
            |slices| slices.second[0] = i64::MAX,
            |slices| slices.a_port[0] = 65_536,
            |slices| slices.a_mac[0] = 1 << 48,
            |slices| slices.ip_version[0] = 5,
        ];
        for (index, spoil) in spoil.iter().enumerate() {
            let mut batch = one_packet();
            spoil(batch.slices.as_mut().unwrap());
            assert!(matches!(CheckedBatch::try_from(batch), Err(InvalidBatch::Value { .. })), "case {index}");
        }
    }
}
