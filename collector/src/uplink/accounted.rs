//! What a batch from the spool accounts for, without all the rest of it, which would take five times its octets.

use bytes::Bytes;
use iotq_proto::v1;
use prost::Message as _;

use crate::totals::Totals;

/// What an encoded `PushRequest` accounts for, and the file it was read from. Nothing, if it cannot be read: that is for
/// the analyzer to refuse.
pub(super) fn accounted(message: &Bytes) -> (Totals, Option<v1::ReplaySource>) {
    let batch = Request::decode(message.clone()).unwrap_or_default().batch.unwrap_or_default();
    let packets = batch.slices.map_or(0, |slices| slices.from_a.len() as u64);
    let counts = v1::Batch {
        frames: batch.frames,
        no_ip: batch.no_ip,
        undecoded: batch.undecoded,
        lost: batch.lost,
        clamped_times: batch.clamped_times,
        ..v1::Batch::default()
    };
    (Totals { packets, ..Totals::of(&counts) }, batch.source)
}

/// `PushRequest`, `Batch` and `FlowSlices` with the fields that count something, under their tags.
#[derive(prost::Message)]
struct Request {
    #[prost(message, optional, tag = "2")]
    batch: Option<Batch>,
}

#[derive(prost::Message)]
struct Batch {
    #[prost(uint64, tag = "7")]
    frames: u64,
    #[prost(message, optional, tag = "8")]
    slices: Option<Slices>,
    #[prost(message, repeated, tag = "9")]
    no_ip: Vec<v1::NoIpCount>,
    #[prost(message, repeated, tag = "10")]
    undecoded: Vec<v1::UndecodedCount>,
    #[prost(message, repeated, tag = "11")]
    lost: Vec<v1::LossCount>,
    #[prost(uint64, tag = "13")]
    clamped_times: u64,
    #[prost(message, optional, tag = "14")]
    source: Option<v1::ReplaySource>,
}

#[derive(prost::Message)]
struct Slices {
    /// One octet a packet, which stay where they are.
    #[prost(bytes = "bytes", tag = "24")]
    from_a: Bytes,
}

#[cfg(test)]
mod tests {
    use iotq_proto::{LossStage, UndecodedReason};

    use super::*;

    #[test]
    fn it_is_what_the_whole_batch_says() {
        let batch = v1::Batch {
            frames: 12,
            slices: Some(v1::FlowSlices { offset_ns: vec![1, 2], from_a: vec![1, 0], ..Default::default() }),
            no_ip: vec![v1::NoIpCount { link_protocol: 0x0806, mac: 1, frames: 4, wire_bytes: 240 }],
            undecoded: vec![v1::UndecodedCount { reason: UndecodedReason::IpVersion.into(), frames: 1 }],
            lost: vec![v1::LossCount { stage: LossStage::KernelRing.into(), packets: 5 }],
            clamped_times: 1,
            source: Some(v1::ReplaySource { name: "a.pcap".into(), ..Default::default() }),
            ..Default::default()
        };
        let (totals, source) = (Totals::of(&batch), batch.source.clone());
        assert_eq!((totals.frames, totals.packets), (12, 2));
        let request = v1::PushRequest { kind: Some(v1::push_request::Kind::Batch(batch)) };
        let message = Bytes::from(request.encode_to_vec());
        assert_eq!(accounted(&message), (totals, source));
        assert_eq!(accounted(&message.slice(..message.len() - 1)), (Totals::default(), None));
    }
}
