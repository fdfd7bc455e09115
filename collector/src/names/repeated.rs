//! Datagrams that say again what their sender said before: devices announce
//! themselves for as long as they live, in the same octets each time. What such a
//! datagram shows is counted once more without being read.

use std::hash::{BuildHasher as _, Hasher as _};

use ahash::RandomState;
use iotq_proto::{Service, VlanId};

use super::{found::Found, seen::Seen};
use crate::packet::Endpoint;

/// The datagrams read last, by a hash that nobody outside can foresee; one
/// displaces the one that was in its place. Empty until the first.
#[derive(Debug, Default)]
pub(super) struct Repeated {
    entries: Vec<Entry>,
    hasher: RandomState,
}

#[derive(Clone, Debug, Default)]
struct Entry {
    /// `None`: there is none yet.
    said: Option<Said>,
    payload: Vec<u8>,
    /// What it showed: rows of the sightings, as long as the generation is theirs.
    rows: Vec<u32>,
    generation: u64,
}

/// All but the payload that what is read in it depends on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Said {
    service: Service,
    src: Endpoint,
    vlan: VlanId,
}

impl Said {
    fn by(seen: &Seen, service: Service) -> Self {
        Self { service, src: seen.src, vlan: seen.vlan }
    }
}

impl Repeated {
    /// Whether its sender said so before; if so, it is counted.
    pub(super) fn count(&self, seen: &Seen, service: Service, payload: &[u8], found: &mut Found) -> bool {
        let Some(entry) = self.entries.get(self.place_of(seen, payload)) else { return false };
        let is_again = entry.generation == found.sightings.generation()
            && entry.said == Some(Said::by(seen, service))
            && entry.payload == payload;
        if is_again {
            found.sightings.count_again(&entry.rows, seen.at);
        }
        is_again
    }

    /// Remembers a datagram that showed what was found in it, and did nothing else.
    pub(super) fn remember(&mut self, seen: &Seen, service: Service, payload: &[u8], found: &Found) {
        let rows = found.shown.as_slice();
        if payload.len() > MAX_PAYLOAD || rows.len() > MAX_ROWS {
            return;
        }
        if self.entries.is_empty() {
            self.entries = vec![Entry::default(); ENTRIES];
        }
        let place = self.place_of(seen, payload);
        let Some(entry) = self.entries.get_mut(place) else { return };
        entry.said = Some(Said::by(seen, service));
        entry.payload.clear();
        entry.payload.extend_from_slice(payload);
        entry.rows.clear();
        entry.rows.extend_from_slice(rows);
        entry.generation = found.sightings.generation();
    }

    fn place_of(&self, seen: &Seen, payload: &[u8]) -> usize {
        let mut state = self.hasher.build_hasher();
        state.write_u64(seen.src.mac.as_u64());
        state.write(payload);
        usize::try_from(state.finish()).unwrap_or(usize::MAX) % ENTRIES
    }
}

/// A house has some dozen devices that announce some things each: 256 with a
/// payload of the longest and all their rows are 300 KiB.
const ENTRIES: usize = 256;
/// Announcements have 100 to 500 octets; longer ones are read each time.
const MAX_PAYLOAD: usize = 1024;
/// Names, addresses and services of one device.
const MAX_ROWS: usize = 32;

#[cfg(test)]
mod tests {
    use iotq_proto::DnsKind;

    use super::*;
    use crate::names::dns::{
        Transactions,
        tests::{Builder, seen_at},
    };

    const DEVICE: (u8, u16) = (20, 5353);
    const ALL: (u8, u16) = (251, 5353);

    fn shown(found: &mut Found) -> Vec<(String, u64, i64, i64)> {
        let mut batch = iotq_proto::v1::Batch::default();
        found.sightings.move_into(&mut batch);
        let secs = |nanos: i64| nanos / 1_000_000_000;
        let sightings = batch.sightings.into_iter();
        sightings.map(|s| (s.text, s.count, secs(s.first_at_ns), secs(s.last_at_ns))).collect()
    }

    fn read(repeated: &mut Repeated, seen: &Seen, payload: &[u8], found: &mut Found) -> bool {
        if repeated.count(seen, Service::Mdns, payload, found) {
            return true;
        }
        found.shown.clear();
        assert!(Transactions::default().observe(DnsKind::Mdns, seen, payload, found));
        repeated.remember(seen, Service::Mdns, payload, found);
        false
    }

    #[test]
    fn what_is_said_again_is_counted_again() {
        let plug = Builder::response(0, 0).record(1, "plug.local", 1, 120, &[192, 0, 2, 20]).build();
        let lamp = Builder::response(0, 0).record(1, "lamp.local", 1, 120, &[192, 0, 2, 20]).build();
        let (mut repeated, mut found) = (Repeated::default(), Found::default());
        let mut again = |secs, from, payload: &[u8], found: &mut Found| {
            read(&mut repeated, &seen_at(secs, from, ALL), payload, found)
        };
        assert!(!again(2, DEVICE, &plug, &mut found));
        assert!(again(3, DEVICE, &plug, &mut found));
        assert!(again(1, DEVICE, &plug, &mut found));
        assert!(!again(4, DEVICE, &lamp, &mut found));
        assert!(!again(5, (21, 5353), &plug, &mut found), "another says it");
        assert_eq!(
            shown(&mut found),
            // Of another's name the address is kept without a MAC.
            [("plug".to_owned(), 1, 5, 5), ("lamp".to_owned(), 1, 4, 4), ("plug".to_owned(), 3, 1, 3)]
        );
        assert!(!again(6, DEVICE, &plug, &mut found), "nothing is left of what it showed");
        assert_eq!(shown(&mut found), [("plug".to_owned(), 1, 6, 6)]);
    }
}
