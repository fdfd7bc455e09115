//! Frames from an interface of this host, by libpcap.
//!
//! Runs on a thread of its own: it waits for frames, but never for those who
//! take them. What the kernel or the interface had to drop is read with each
//! chunk and counted as lost.

mod error;
mod interfaces;
#[cfg(test)]
mod tests;

use std::{
    os::fd::AsFd,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use iotq_proto::{LossStage, Timestamp};
use nix::{
    errno::Errno,
    ifaddrs::{InterfaceAddress, getifaddrs},
    net::if_::{InterfaceFlags, if_nametoindex},
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use pcap::{Active, Capture, Precision};

pub use error::{CaptureError, OpenError};
pub use interfaces::{Interface, ListError, interfaces};

use super::{
    intake::{FrameTime, Intake},
    own::OwnConnections,
};
use crate::{
    chunk::{Aims, Chunk, Input},
    decode::{Frame, LinkType},
};

/// How to capture.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LiveOptions {
    /// The interface's name; `any` for all of this host's.
    pub interface: String,
    /// Take frames that are for others: on a mirror port that is all of them.
    pub is_promiscuous: bool,
    /// The most octets of a frame that are kept.
    pub snaplen: u32,
    /// Size of the kernel's ring.
    pub buffer_bytes: u32,
    /// A BPF filter as tcpdump has them; `None`: everything.
    pub filter: Option<String>,
    /// What packets are looked at for.
    pub aims: Aims,
}

impl LiveOptions {
    /// Everything an interface shows, with our defaults.
    #[must_use]
    pub fn new(interface: impl Into<String>) -> Self {
        Self {
            interface: interface.into(),
            is_promiscuous: true,
            snaplen: DEFAULT_SNAPLEN,
            buffer_bytes: DEFAULT_BUFFER_BYTES,
            filter: None,
            aims: Aims::default(),
        }
    }
}

/// An interface that is being captured from.
pub struct LiveCapture {
    interface: String,
    capture: Capture<Active>,
    link_type: LinkType,
    nanos_per_tick: i64,
    intake: Intake,
    own: OwnConnections,
    /// Until when packet time was covered by the chunks so far.
    covered_until: Timestamp,
    /// The newest frame's time.
    last_frame_at: Timestamp,
    drops: Drops,
    has_begun: bool,
    /// Met behind frames that had to be handed over first.
    failed: Option<CaptureError>,
}

impl LiveCapture {
    /// Opens an interface.
    ///
    /// # Errors
    /// If there is none of that name, the right to do so is missing, or the filter is wrong.
    pub fn open(options: &LiveOptions, own: OwnConnections) -> Result<Self, OpenError> {
        let (capture, has_nanos) = activate(options)?;
        let link_type = link_type_of(&capture);
        let interface = options.interface.clone();
        let capture = capture.setnonblock().map_err(|source| OpenError::of(&interface, source))?;
        let opened_at = now();
        Ok(Self {
            interface,
            capture,
            link_type,
            nanos_per_tick: if has_nanos { 1 } else { 1000 },
            intake: Intake::new(options.aims),
            own,
            covered_until: opened_at,
            last_frame_at: opened_at,
            drops: Drops::default(),
            has_begun: false,
            failed: None,
        })
    }

    /// Waits for frames: until there are many, or a tenth of a second brought
    /// some, or a second brought none; or until `stop` says so, which is asked at
    /// least ten times a second.
    ///
    /// The chunk covers the time whose frames the kernel has handed over: up to
    /// [`RING_DELAY`] ago, or to the last frame if there are more behind it.
    ///
    /// # Errors
    /// If the interface is gone or down, or reading fails again and again. Frames
    /// read before were handed over.
    pub fn read_chunk(&mut self, stop: impl Fn() -> bool) -> Result<Chunk, CaptureError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        self.intake.reserve(MAX_FRAMES);
        let began_at = Instant::now();
        let mut failures = 0;
        let mut is_empty = false;
        loop {
            let room = MAX_FRAMES.saturating_sub(self.intake.frames());
            match self.dispatch(room) {
                Ok(0) => is_empty = true,
                Ok(_) if self.intake.has_room(MAX_FRAMES) && began_at.elapsed() < MAX_WAIT && !stop() => continue,
                Ok(_) => break,
                Err(source) => {
                    failures += 1;
                    if let Some(error) = CaptureError::of(&self.interface, source, failures) {
                        if self.intake.frames() == 0 {
                            return Err(error);
                        }
                        self.failed = Some(error);
                        break;
                    }
                    std::thread::sleep(POLL_INTERVAL);
                }
            }
            let waited = began_at.elapsed();
            if stop() || waited >= MAX_WAIT || (self.intake.frames() > 0 && waited >= RING_DELAY) {
                if self.intake.frames() == 0 && self.is_down() {
                    return Err(CaptureError::Down { interface: self.interface.clone() });
                }
                break;
            }
            self.wait(POLL_INTERVAL.min(MAX_WAIT.saturating_sub(waited)));
            is_empty = false;
        }
        self.add_losses();
        self.cover(is_empty);
        let mut chunk = self.intake.take();
        if !std::mem::replace(&mut self.has_begun, true) {
            chunk.begins = Some(Input::Live);
        }
        Ok(chunk)
    }

    /// Whether what came up to then has been read.
    pub(crate) fn is_read_until(&self, at: Timestamp) -> bool {
        self.covered_until >= at
    }

    /// The interface's name.
    #[must_use]
    pub fn interface(&self) -> &str {
        &self.interface
    }

    /// What its frames begin with.
    #[must_use]
    pub fn link_type(&self) -> LinkType {
        self.link_type
    }

    fn dispatch(&mut self, max_frames: usize) -> Result<usize, pcap::Error> {
        let Self { capture, own, link_type, nanos_per_tick, intake, last_frame_at, .. } = self;
        capture.dispatch(Some(max_frames), |packet| {
            let ts = packet.header.ts;
            // With nanosecond precision the field is named wrongly.
            let nanos = i128::from(ts.tv_sec) * 1_000_000_000 + i128::from(ts.tv_usec * *nanos_per_tick);
            let (captured_at, is_clamped) = Timestamp::nearest(nanos);
            let time = if is_clamped { FrameTime::Clamped } else { FrameTime::Captured };
            *last_frame_at = captured_at;
            let frame = Frame { captured_at, wire_bytes: packet.header.len, bytes: packet.data };
            intake.add_unless_own(*link_type, frame, time, Some(own));
        })
    }

    /// Waits until there is something to read, or that long.
    fn wait(&self, timeout: Duration) {
        let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::ZERO);
        // An error shows itself when reading; a signal ends the waiting early.
        let _: Result<i32, Errno> = poll(&mut [PollFd::new(self.capture.as_fd(), PollFlags::POLLIN)], timeout);
    }

    /// libpcap itself would wait for the interface to come back, and say nothing.
    fn is_down(&self) -> bool {
        let Ok(mut interfaces) = getifaddrs() else {
            return false;
        };
        let is_ours = |entry: &InterfaceAddress| entry.interface_name == self.interface;
        // Pseudo-devices are not among them.
        interfaces.find(is_ours).is_some_and(|entry| !entry.flags.contains(InterfaceFlags::IFF_UP))
    }

    fn add_losses(&mut self) {
        // Costs a system call and a file in /sys.
        if self.drops.read_at.is_some_and(|at| at.elapsed() < POLL_INTERVAL) {
            return;
        }
        if let Ok(stat) = self.capture.stats() {
            let Drops { kernel, interface, read_at } = &mut self.drops;
            // Counters of 32 bits, which go round.
            self.intake.add_lost(LossStage::KernelRing, u64::from(stat.dropped.wrapping_sub(*kernel)));
            self.intake.add_lost(LossStage::Interface, u64::from(stat.if_dropped.wrapping_sub(*interface)));
            (*kernel, *interface, *read_at) = (stat.dropped, stat.if_dropped, Some(Instant::now()));
        }
    }

    /// Covers what was read. Of what the kernel still holds nothing was seen: neither of a block that is not
    /// full, nor of those behind the last frame, unless it has no more.
    fn cover(&mut self, is_empty: bool) {
        let now = now();
        let last_at = self.last_frame_at.min(now);
        let handed_over = if is_empty { before(now, HELD).max(last_at) } else { last_at };
        let nanos = now.as_nanos().saturating_sub(self.covered_until.as_nanos());
        let until = if (0..MAX_COVERED_STEP_NANOS).contains(&nanos) {
            self.intake.cover(self.covered_until);
            handed_over.max(self.covered_until)
        } else {
            // The host slept, or its clock was set: what lies between was not watched.
            handed_over
        };
        self.intake.cover(until);
        self.covered_until = until;
    }
}

/// Opens an interface as the options say. Whether its clock has nanoseconds.
pub(super) fn activate(options: &LiveOptions) -> Result<(Capture<Active>, bool), OpenError> {
    let interface = options.interface.as_str();
    let is_any = interface == ANY;
    // Pseudo-devices (Bluetooth, USB, D-Bus) keep microseconds without saying so.
    let has_nanos = is_any || if_nametoindex(interface).is_ok();
    let precision = if has_nanos { Precision::Nano } else { Precision::Micro };
    let failed = |source| OpenError::of(interface, source);
    let mut capture = Capture::from_device(interface)
        .map_err(failed)?
        // Together they have no promiscuous mode; asking for it is an error.
        .promisc(options.is_promiscuous && !is_any)
        .snaplen(i32::try_from(options.snaplen).unwrap_or(i32::MAX))
        .buffer_size(i32::try_from(options.buffer_bytes.max(MIN_BUFFER_BYTES)).unwrap_or(i32::MAX))
        .timeout(RING_DELAY_MS)
        .immediate_mode(false)
        .precision(precision)
        .open()
        .map_err(failed)?;
    if let Some(filter) = &options.filter {
        capture.filter(filter, true).map_err(|source| OpenError::Filter { filter: filter.clone(), source })?;
    }
    Ok((capture, has_nanos))
}

pub(super) fn link_type_of(capture: &Capture<Active>) -> LinkType {
    LinkType::from_number(u32::try_from(capture.get_datalink().0).unwrap_or(u32::MAX))
}

/// The counters of drops as they were read last.
#[derive(Debug, Default)]
struct Drops {
    kernel: u32,
    interface: u32,
    read_at: Option<Instant>,
}

pub(crate) fn now() -> Timestamp {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    Timestamp::nearest(i128::try_from(nanos).unwrap_or(i128::MAX)).0
}

fn before(at: Timestamp, by: Duration) -> Timestamp {
    Timestamp::nearest(i128::from(at.as_nanos()).saturating_sub_unsigned(by.as_nanos())).0
}

/// The longest IP packet there is, as TSO and GRO make them. Whatever names a
/// device or a peer lies within; the kernel copies no more than a frame has.
pub const DEFAULT_SNAPLEN: u32 = 65_535;
/// A fifth of a second of gigabit Ethernet with smallest frames (1.488 M frames
/// of some 200 octets each in the ring).
pub const DEFAULT_BUFFER_BYTES: u32 = 64 << 20;
/// libpcap's own default of 2 MiB loses frames at the first hiccup.
const MIN_BUFFER_BYTES: u32 = 32 << 20;
/// How long the kernel may keep a block of frames that is not full.
pub const RING_DELAY: Duration = Duration::from_millis(100);
const RING_DELAY_MS: i32 = 100;
/// What is older was handed over: the kernel's timer may come some jiffies late.
pub(crate) const HELD: Duration = Duration::from_millis(125);
/// How often a request to stop is looked for.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// A chunk is due at least that often: a packet waits so long, then up to a second in its batch, then for the insert,
/// and is to be seen within three seconds.
const MAX_WAIT: Duration = Duration::from_millis(250);
/// A few milliseconds of a busy port; what the window's queue counts in.
const MAX_FRAMES: usize = 1024;
/// Chunks come every quarter of a second; ten seconds are no pause that was waited through.
const MAX_COVERED_STEP_NANOS: i64 = 10_000_000_000;
const ANY: &str = "any";
