//! What devices showed of themselves: each thing once, with how often and when.

use std::hash::{BuildHasher as _, Hasher as _};

use ahash::RandomState;
use hashbrown::HashTable;
use iotq_proto::{MacAddr, SightingKind, Timestamp, VlanId, v1};

use crate::chunk::Sighting;

/// What is in the batch being built. Devices say the same again and again: nothing
/// is allocated for what is there already.
#[derive(Debug, Default)]
pub(super) struct Sightings {
    /// Index into `rows`, under a hash that nobody outside can foresee.
    known: HashTable<u32>,
    hasher: RandomState,
    rows: Vec<Row>,
    /// All texts, one behind the other.
    texts: String,
    /// How often the rows were given away: so often they began anew.
    generation: u64,
    /// That found no room, since the start.
    left_out: u64,
}

/// What sightings that are one have in common, but for the text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Identity {
    pub(super) kind: SightingKind,
    pub(super) vlan: VlanId,
    pub(super) mac: MacAddr,
    pub(super) ip: Option<[u8; 16]>,
    pub(super) prefix_len: u8,
}

/// How often, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    count: u64,
    first_at: Timestamp,
    last_at: Timestamp,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    identity: Identity,
    text_begin: u32,
    text_end: u32,
    times: Times,
}

impl Sightings {
    /// Counts a sighting, and tells in which row. Without room it is forgotten, and
    /// there is no such row: it is no frame, and comes again.
    pub(super) fn add(&mut self, identity: Identity, text: &str, times: Times) -> u32 {
        let hash = hash_of(&self.hasher, &identity, text);
        let (rows, texts) = (&mut self.rows, &mut self.texts);
        let is_it = |row: &Row| row.identity == identity && text_of(texts, row) == text;
        let known = self.known.find(hash, |index| rows.get(*index as usize).is_some_and(is_it)).copied();
        if let Some(index) = known
            && let Some(row) = rows.get_mut(index as usize)
        {
            row.times.add(times);
            return index;
        }
        if rows.len() >= MAX_KEPT {
            self.left_out += 1;
            return NO_ROW;
        }
        let begin = texts.len();
        texts.push_str(text);
        // All texts of so many rows have 2 MiB.
        let (Ok(index), Ok(text_begin), Ok(text_end)) =
            (rows.len().try_into(), begin.try_into(), texts.len().try_into())
        else {
            return NO_ROW;
        };
        rows.push(Row { identity, text_begin, text_end, times });
        let (rows, texts, hasher) = (&self.rows, &self.texts, &self.hasher);
        self.known.insert_unique(hash, index, |index| {
            rows.get(*index as usize).map_or(0, |row| hash_of(hasher, &row.identity, text_of(texts, row)))
        });
        index
    }

    /// Counts rows once more.
    pub(super) fn count_again(&mut self, rows: &[u32], at: Timestamp) {
        for index in rows {
            if let Some(row) = self.rows.get_mut(*index as usize) {
                row.times.add(Times::once(at));
            }
        }
    }

    /// How many found no room, since the start.
    pub(super) fn left_out(&self) -> u64 {
        self.left_out
    }

    /// As long as it is the same, rows are where they were.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// Puts all of them into a batch that has none yet.
    pub(super) fn move_into(&mut self, batch: &mut v1::Batch) {
        batch.sightings.extend(self.rows.iter().map(|row| v1::Sighting {
            kind: row.identity.kind.into(),
            vlan_id: row.identity.vlan.as_u16().into(),
            mac: row.identity.mac.as_u64(),
            ip: row.identity.ip.map_or_else(Vec::new, Into::into),
            prefix_len: row.identity.prefix_len.into(),
            count: row.times.count,
            first_at_ns: row.times.first_at.as_nanos(),
            last_at_ns: row.times.last_at.as_nanos(),
            text: text_of(&self.texts, row).to_owned(),
        }));
        self.known.clear();
        self.rows.clear();
        self.texts.clear();
        self.generation += 1;
        // By what they say, so that chance has no part in it.
        batch.sightings.sort_unstable_by(|one, other| {
            (one.kind, one.vlan_id, one.mac, &one.ip, one.prefix_len, &one.text).cmp(&(
                other.kind,
                other.vlan_id,
                other.mac,
                &other.ip,
                other.prefix_len,
                &other.text,
            ))
        });
    }

    /// Each of them, in the order in which they were seen first.
    #[cfg(test)]
    pub(super) fn take(&mut self) -> Vec<Sighting> {
        let of = |row: &Row| Sighting {
            kind: row.identity.kind,
            vlan: row.identity.vlan,
            mac: row.identity.mac,
            ip: row.identity.ip,
            prefix_len: row.identity.prefix_len,
            seen_at: row.times.first_at,
            text: text_of(&self.texts, row).to_owned(),
        };
        let sightings = self.rows.iter().map(of).collect();
        self.move_into(&mut v1::Batch::default());
        sightings
    }

    /// Takes one back out of a batch.
    pub(super) fn take_back(&mut self, sighting: &v1::Sighting) {
        let (Some(vlan), Some(mac)) = (VlanId::from_u32(sighting.vlan_id), MacAddr::from_u64(sighting.mac)) else {
            return;
        };
        let identity = Identity {
            kind: sighting.kind(),
            vlan,
            mac,
            ip: sighting.ip.as_slice().try_into().ok(),
            prefix_len: u8::try_from(sighting.prefix_len).unwrap_or(128),
        };
        let at = |nanos: i64| Timestamp::nearest(nanos.into()).0;
        let (first_at, last_at) = (at(sighting.first_at_ns), at(sighting.last_at_ns));
        self.add(identity, &sighting.text, Times { count: sighting.count, first_at, last_at });
    }

    /// Whether there are as many as a batch should have.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.rows.len() >= MAX_SIGHTINGS
    }

    /// Whether there are half as many.
    pub(super) fn is_half_full(&self) -> bool {
        self.rows.len() >= MAX_SIGHTINGS / 2
    }
}

impl Times {
    /// Once.
    pub(super) fn once(at: Timestamp) -> Self {
        Self { count: 1, first_at: at, last_at: at }
    }

    fn add(&mut self, other: Self) {
        self.count += other.count;
        self.first_at = self.first_at.min(other.first_at);
        self.last_at = self.last_at.max(other.last_at);
    }
}

impl From<&Sighting> for Identity {
    fn from(sighting: &Sighting) -> Self {
        Self {
            kind: sighting.kind,
            vlan: sighting.vlan,
            mac: sighting.mac,
            ip: sighting.ip,
            prefix_len: sighting.prefix_len,
        }
    }
}

fn text_of<'a>(texts: &'a str, row: &Row) -> &'a str {
    texts.get(row.text_begin as usize..row.text_end as usize).unwrap_or_default()
}

fn hash_of(hasher: &RandomState, identity: &Identity, text: &str) -> u64 {
    let mut state = hasher.build_hasher();
    state.write_u128(identity.ip.map_or(0, u128::from_ne_bytes));
    state.write_u64(identity.mac.as_u64() | u64::from(identity.vlan.as_u16()) << 48);
    state.write_i32(identity.kind.into());
    state.write(text.as_bytes());
    state.finish()
}

/// A house has some dozens; the limit keeps hostile batches below the message's.
const MAX_SIGHTINGS: usize = 4096;

const NO_ROW: u32 = u32::MAX;

/// A packet shows some hundred at most: more comes only if nobody takes any.
const MAX_KEPT: usize = 2 * MAX_SIGHTINGS;
