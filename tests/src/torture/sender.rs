//! Frames on the wire, all the time, and what they were.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use pcap::{Active, Capture};

use super::episodes::{Episode, Episodes, Ledger};
use crate::random::Random;

/// A thread that sends until it is stopped.
#[derive(Debug)]
pub(super) struct Sender {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Ledger>>,
}

impl Sender {
    /// Sends on this interface.
    pub(super) fn start(interface: &str, mut random: Random) -> Result<Self, pcap::Error> {
        let mut wire = Capture::from_device(interface)?.snaplen(64).open()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut episodes = Episodes::new(random.fork("live"), LIVE_NET);
            let mut ledger = Ledger::new();
            while !stopped.load(Ordering::Relaxed) {
                let is_storm = random.below(STORM_EACH) == 0;
                let episode = if is_storm { episodes.storm(STORM_PACKETS) } else { episodes.another() };
                let from_ns = now_ns();
                send(&mut wire, &episode);
                ledger.insert(episode.flow, episode.sent(from_ns, now_ns()));
                thread::sleep(Duration::from_millis(10 + random.below(50)));
            }
            ledger
        });
        Ok(Self { stop, thread: Some(thread) })
    }

    /// Ends it. What was sent.
    pub(super) fn stop(mut self) -> Ledger {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().map(|thread| thread.join().expect("the sender does not panic")).unwrap_or_default()
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn send(wire: &mut Capture<Active>, episode: &Episode) {
    for (index, frame) in episode.frames.iter().enumerate() {
        // The kernel's queue between both ends holds a thousand frames, and says nothing of those it drops.
        if index % 100 == 99 {
            thread::sleep(Duration::from_millis(2));
        }
        while let Err(error) = wire.sendpacket(frame.as_slice()) {
            assert!(error.to_string().contains("buffer"), "{error}");
            thread::sleep(Duration::from_millis(1));
        }
    }
}

pub(super) fn now_ns() -> i64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_1970.as_nanos()).unwrap_or(i64::MAX)
}

const LIVE_NET: u8 = 64;
/// Of so many episodes one is a storm.
const STORM_EACH: u64 = 100;
const STORM_PACKETS: u64 = 3000;
