//! What went into window, spool and uplink comes out: stored, or counted as lost.
//!
//! Without a network: answers are given by hand, in any order.

use std::{fs, sync::Arc};

use iotq_proto::{Timestamp, UndecodedReason, VlanId};
use proptest::prelude::*;
use prost::Message as _;
use tempfile::TempDir;

use super::*;
use crate::{
    chunk::{Aims, Chunk, Covered, Input},
    packet::{Endpoint, FlowKey, Packet, Shared},
    spool::{Spool, SpoolConfig},
    window::Window,
};

/// What happens next.
#[derive(Clone, Debug)]
enum Step {
    /// So many packets and undecodable frames come, and are sealed; there may be no room for the batch.
    Capture { packets: usize, undecoded: u64, has_room: bool },
    /// The analyzer answers for one of those that were sent.
    Answer { which: usize, is_stored: bool },
    /// All that was sent and not answered is sent again.
    Reconnect,
    /// A file in the spool is changed, or cut.
    Damage { which: usize, is_cut: bool },
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..60_usize, 0..9_u64, prop::bool::weighted(0.8))
            .prop_map(|(packets, undecoded, has_room)| Step::Capture { packets, undecoded, has_room }),
        4 => (any::<usize>(), prop::bool::weighted(0.8))
            .prop_map(|(which, is_stored)| Step::Answer { which, is_stored }),
        1 => Just(Step::Reconnect),
        1 => (any::<usize>(), any::<bool>()).prop_map(|(which, is_cut)| Step::Damage { which, is_cut }),
    ]
}

/// The collector's second half, with an analyzer that keeps count.
struct Path {
    window: Window,
    uplink: Uplink,
    dir: TempDir,
    second: i64,
    captured_frames: u64,
    /// Sent and not answered.
    sent: BTreeMap<u64, v1::Batch>,
    stored_frames: u64,
    stored_packets: u64,
}

impl Path {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        // Room for a few batches, so that the oldest are given up.
        let config = SpoolConfig {
            dir: dir.path().to_owned(),
            max_bytes: 4000,
            max_age: Duration::from_secs(3600),
            is_durable: false,
        };
        let spool = SharedSpool::new(Spool::open(config, &"attic".parse().unwrap()).unwrap());
        let config = UplinkConfig {
            collector: "attic".parse().unwrap(),
            epoch: 7,
            inputs: Vec::new(),
            live: false,
            analyzers: Vec::new(),
            tls: TlsFiles::default(),
            give_up_after: None,
            spool: Some(spool),
            is_left_behind: false,
            changes: None,
            metrics: None,
        };
        let mut uplink = Uplink::new(config, mpsc::channel(1).1, Arc::new(|_, _| ()));
        uplink.store = Unacknowledged::new(Limits { encoded_bytes: 1 << 20, batches: 2 });
        let mut window = Window::new(Aims::default());
        window.add(&Chunk { begins: Some(Input::Live), ..Chunk::default() }, &mut Vec::new());
        Self {
            window,
            uplink,
            dir,
            second: 1_800_000_000,
            captured_frames: 0,
            sent: BTreeMap::new(),
            stored_frames: 0,
            stored_packets: 0,
        }
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Capture { packets, undecoded, has_room } => self.capture(packets, undecoded, has_room),
            Step::Answer { which, is_stored } => {
                self.send();
                let seq = self.sent.keys().nth(which % self.sent.len().max(1)).copied();
                if let Some(seq) = seq {
                    self.answer(seq, is_stored);
                }
            }
            Step::Reconnect => {
                self.uplink.store.rewind();
                self.sent.clear();
            }
            Step::Damage { which, is_cut } => self.damage(which, is_cut),
        }
    }

    fn capture(&mut self, packets: usize, undecoded: u64, has_room: bool) {
        self.second += 1;
        let at = Timestamp::from_nanos(self.second * 1_000_000_000).unwrap();
        let shared = Shared { vlan: VlanId::UNTAGGED, protocol: 17, ip_version: 4, has_ports: false };
        let (key, from_a) = FlowKey::between(Endpoint::default(), Endpoint::default(), shared);
        let packet = Packet {
            captured_at: at,
            key,
            from_a,
            wire_bytes: 60,
            payload_bytes: 0,
            tcp_flags: 0xffff,
            tcp_seq: 0,
            tcp_ack: 0,
        };
        let mut chunk = Chunk {
            packets: vec![packet; packets],
            covered: Some(Covered { from_at: at, last_at: at }),
            ..Chunk::default()
        };
        if undecoded > 0 {
            chunk.counts.undecoded.insert(UndecodedReason::IpVersion, undecoded);
        }
        self.captured_frames += chunk.frames();
        let mut sealed = Vec::new();
        self.window.add(&chunk, &mut sealed);
        sealed.extend(self.window.finish());
        for batch in sealed {
            if has_room {
                self.uplink.accept(batch);
            } else {
                self.window.take_back(batch, LossStage::UplinkQueue);
            }
        }
    }

    /// Sends all there is.
    fn send(&mut self) {
        self.uplink.load();
        while let Some((seq, message)) = self.uplink.store.send_next() {
            let request = v1::PushRequest::decode(message).unwrap();
            let Some(v1::push_request::Kind::Batch(batch)) = request.kind else { panic!("no batch") };
            iotq_proto::CheckedBatch::try_from(batch.clone()).unwrap();
            assert!(self.sent.insert(seq, batch).is_none(), "sent twice on one connection");
        }
    }

    fn answer(&mut self, seq: u64, is_stored: bool) {
        let batch = self.sent.remove(&seq).unwrap();
        // If all it has to say are losses, nobody reports them once more.
        let is_refused = !is_stored && batch.slices.is_some();
        let kind = if is_refused {
            v1::push_response::Kind::Reject(v1::Reject { seq, reason: "ugly".into() })
        } else {
            self.stored_frames += batch.frames;
            self.stored_packets += batch.slices.map_or(0, |slices| slices.offset_ns.len() as u64);
            v1::push_response::Kind::Ack(v1::Ack { seq, source_stored_at_ns: None })
        };
        self.uplink.answered(v1::PushResponse { kind: Some(kind) });
    }

    fn damage(&self, which: usize, is_cut: bool) {
        let entries = fs::read_dir(self.dir.path()).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|it| it == "batch")).collect();
        files.sort();
        if files.is_empty() {
            return;
        }
        let path = &files[which % files.len()];
        let mut octets = fs::read(path).unwrap();
        if is_cut {
            octets.truncate(octets.len() / 2);
        } else {
            *octets.last_mut().unwrap() ^= 1;
        }
        fs::write(path, octets).unwrap();
    }

    /// Until nothing is left.
    fn finish(&mut self) {
        self.capture(0, 0, true);
        loop {
            self.send();
            let Some(seq) = self.sent.keys().next().copied() else {
                if self.uplink.push_last_losses() {
                    continue;
                }
                return;
            };
            self.answer(seq, true);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_was_captured_is_stored_or_counted_as_lost(steps in prop::collection::vec(any_step(), 0..60)) {
        // `Instant` of tokio, without a runtime.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _entered = runtime.enter();
        let mut path = Path::new();
        for step in steps {
            path.take(&step);
        }
        path.finish();
        prop_assert_eq!(path.stored_frames, path.captured_frames);
        prop_assert_eq!(path.uplink.outcome.stored.packets, path.stored_packets);
        prop_assert!(path.uplink.is_all_answered());
    }
}
