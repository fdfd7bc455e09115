//! Frames from an interface as they are, to be written down.

use std::{
    os::fd::AsFd,
    time::{Duration, Instant},
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use pcap::{Active, Capture};

use super::live::{CaptureError, LiveOptions, OpenError, activate, link_type_of};
use crate::decode::LinkType;

/// An open interface.
pub struct RawCapture {
    interface: String,
    capture: Capture<Active>,
    link_type: u16,
    nanos_per_tick: i64,
}

/// A frame, as far as it was kept.
#[derive(Clone, Copy, Debug)]
pub struct RawFrame<'a> {
    /// Nanoseconds since 1970; 0 for what lies before.
    pub captured_at_ns: u64,
    /// On the wire.
    pub wire_bytes: u32,
    /// From the link layer on.
    pub octets: &'a [u8],
}

/// What did not arrive here.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Drops {
    /// No room in the kernel's ring.
    pub kernel: u64,
    /// No room in the interface.
    pub interface: u64,
}

impl RawCapture {
    /// Opens an interface.
    ///
    /// # Errors
    /// If there is none of that name, the right to do so is missing, or the filter is wrong.
    pub fn open(options: &LiveOptions) -> Result<Self, OpenError> {
        let (capture, has_nanos) = activate(options)?;
        let interface = options.interface.clone();
        let link_type = match link_type_of(&capture) {
            // In files it has another number than on this host.
            LinkType::RAW_BSD | LinkType::RAW_OPENBSD => RAW,
            LinkType(number) => number,
        };
        let capture = capture.setnonblock().map_err(|source| OpenError::of(&interface, source))?;
        Ok(Self { interface, capture, link_type, nanos_per_tick: if has_nanos { 1 } else { 1000 } })
    }

    /// `LINKTYPE_…` number.
    #[must_use]
    pub fn link_type(&self) -> u16 {
        self.link_type
    }

    /// Hands over what there is, at most so many frames; waits that long for the first.
    /// How many there were.
    ///
    /// # Errors
    /// If the interface is gone.
    pub fn read(
        &mut self,
        max_frames: usize,
        patience: Duration,
        mut take: impl FnMut(RawFrame<'_>),
    ) -> Result<usize, CaptureError> {
        let until = Instant::now() + patience;
        let nanos_per_tick = self.nanos_per_tick;
        loop {
            let read = self.capture.dispatch(Some(max_frames), |packet| {
                let ts = packet.header.ts;
                // With nanosecond precision the field is named wrongly.
                let nanos = i128::from(ts.tv_sec) * 1_000_000_000 + i128::from(ts.tv_usec * nanos_per_tick);
                let captured_at_ns = u64::try_from(nanos.max(0)).unwrap_or(u64::MAX);
                take(RawFrame { captured_at_ns, wire_bytes: packet.header.len, octets: packet.data });
            });
            let left = until.saturating_duration_since(Instant::now());
            match read {
                Ok(0) if left.is_zero() => return Ok(0),
                Ok(0) => {
                    let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
                    // An error shows itself when reading; a signal ends the waiting early.
                    let _ = poll(&mut [PollFd::new(self.capture.as_fd(), PollFlags::POLLIN)], timeout);
                }
                Ok(count) => return Ok(count),
                Err(source) => {
                    // As `LiveCapture` does after this many: nobody waits for a file that ends.
                    return match CaptureError::of(&self.interface, source, u32::MAX) {
                        Some(error) => Err(error),
                        None => Ok(0),
                    };
                }
            }
        }
    }

    /// What was lost since it was opened; all 0 where the system does not tell.
    pub fn drops(&mut self) -> Drops {
        self.capture.stats().map_or_else(
            |_| Drops::default(),
            |stat| Drops { kernel: stat.dropped.into(), interface: stat.if_dropped.into() },
        )
    }
}

/// `LINKTYPE_RAW`.
const RAW: u16 = 101;
