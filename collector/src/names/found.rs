//! What was read and is not yet in a batch.

use std::collections::VecDeque;

use iotq_proto::{MAX_BATCH_NAME_BYTES, MAX_BATCH_NAMES, MacAddr, SightingKind, v1};

use super::{
    ja4::Fingerprints,
    seen::Seen,
    sightings::{Identity, Sightings, Times},
};

/// Everything that was found, in the order in which it was complete. Each reader
/// pushes into it; batches take from it.
///
/// Whoever fills it asks [`is_full`](Self::is_full) after each packet and makes
/// room. What comes all the same is kept up to a few batches' worth, then left out.
#[derive(Debug, Default)]
pub(super) struct Found {
    dns: Rows<v1::DnsTransaction>,
    tls_hellos: Rows<v1::TlsHello>,
    time_requests: Rows<v1::TimeRequest>,
    pub(super) sightings: Sightings,
    /// Where the sightings of the packet being read are in them.
    pub(super) shown: Vec<u32>,
    pub(super) fingerprints: Fingerprints,
    /// Of all but the sightings, encoded.
    bytes: usize,
    /// Rows that found no room, since the start.
    left_out_rows: u64,
    /// Rows of DNS that were found so far, with or without room for them.
    dns_total: u64,
}

impl Found {
    pub(super) fn add_dns(&mut self, transaction: v1::DnsTransaction) {
        self.dns_total += 1;
        self.left_out_rows += add(&mut self.dns, &mut self.bytes, transaction);
    }

    pub(super) fn add_tls_hello(&mut self, hello: v1::TlsHello) {
        self.left_out_rows += add(&mut self.tls_hellos, &mut self.bytes, hello);
    }

    pub(super) fn add_time_request(&mut self, request: v1::TimeRequest) {
        self.left_out_rows += add(&mut self.time_requests, &mut self.bytes, request);
    }

    /// Rows and sightings that found no room, since the start.
    pub(super) fn left_out(&self) -> (u64, u64) {
        (self.left_out_rows, self.sightings.left_out())
    }

    pub(super) fn dns_total(&self) -> u64 {
        self.dns_total
    }

    /// A packet showed this text of a device, at an address if that is known.
    pub(super) fn add_sighting(
        &mut self,
        seen: &Seen,
        kind: SightingKind,
        (mac, ip): (MacAddr, Option<[u8; 16]>),
        text: &str,
    ) {
        let identity = Identity { kind, vlan: seen.vlan, mac, ip, prefix_len: 128 };
        let row = self.sightings.add(identity, text, Times::once(seen.at));
        self.shown.push(row);
    }

    #[cfg(test)]
    pub(super) fn take_sightings(&mut self) -> Vec<crate::chunk::Sighting> {
        self.sightings.take()
    }

    /// Puts what there is, but for sightings, into a batch, as much as it may have.
    /// Whether something is left.
    pub(super) fn move_into(&mut self, batch: &mut v1::Batch) -> bool {
        let mut budget = MAX_BATCH_NAME_BYTES;
        move_some(&mut self.dns, &mut batch.dns, &mut budget);
        move_some(&mut self.tls_hellos, &mut batch.tls_hellos, &mut budget);
        move_some(&mut self.time_requests, &mut batch.time_requests, &mut budget);
        self.bytes = self.bytes.saturating_sub(MAX_BATCH_NAME_BYTES - budget);
        // Transactions are found when they are answered; readers think in questions.
        // By index: rows are large, and most lie where they should.
        batch.dns.sort_by_cached_key(|transaction| transaction.asked_at_ns);
        batch.time_requests.sort_by_cached_key(|request| request.requested_at_ns);
        !self.is_empty()
    }

    /// Whether there is as much as a batch takes.
    pub(super) fn is_full(&self) -> bool {
        let most = self.dns.len().max(self.tls_hellos.len()).max(self.time_requests.len());
        most >= MAX_BATCH_NAMES || self.bytes >= MAX_BATCH_NAME_BYTES || self.sightings.is_full()
    }

    /// Whether there is half as much.
    pub(super) fn is_half_full(&self) -> bool {
        let most = self.dns.len().max(self.tls_hellos.len()).max(self.time_requests.len());
        most >= MAX_BATCH_NAMES / 2 || self.bytes >= MAX_BATCH_NAME_BYTES / 2 || self.sightings.is_half_full()
    }

    fn is_empty(&self) -> bool {
        self.dns.is_empty() && self.tls_hellos.is_empty() && self.time_requests.is_empty()
    }
}

/// With the octets that each has encoded.
type Rows<T> = VecDeque<(usize, T)>;

/// How many were left out: one or none.
fn add<T: prost::Message>(rows: &mut Rows<T>, bytes: &mut usize, row: T) -> u64 {
    if !has_room(rows.len(), *bytes) {
        return 1;
    }
    let row_bytes = row.encoded_len();
    *bytes += row_bytes;
    rows.push_back((row_bytes, row));
    0
}

fn has_room(count: usize, bytes: usize) -> bool {
    count < MAX_BATCHES_KEPT * MAX_BATCH_NAMES && bytes < MAX_BATCHES_KEPT * MAX_BATCH_NAME_BYTES
}

/// As many of the first as a batch may have and the budget allows.
fn move_some<T>(from: &mut Rows<T>, to: &mut Vec<T>, budget: &mut usize) {
    to.reserve(from.len().min(MAX_BATCH_NAMES.saturating_sub(to.len())));
    while to.len() < MAX_BATCH_NAMES {
        if from.front().is_none_or(|(bytes, _)| *bytes > *budget) {
            return;
        }
        let Some((bytes, row)) = from.pop_front() else { return };
        *budget -= bytes;
        to.push(row);
    }
}

/// Giving up all open questions at once, at the end of the input, gives some
/// batches' worth; more comes only if nobody takes anything.
const MAX_BATCHES_KEPT: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn transaction(asked_at_ns: i64, octets: usize) -> v1::DnsTransaction {
        v1::DnsTransaction { asked_at_ns, client_ip: vec![0; octets], ..v1::DnsTransaction::default() }
    }

    fn taken(found: &mut Found) -> Vec<v1::Batch> {
        let mut batches = Vec::new();
        loop {
            let mut batch = v1::Batch::default();
            let is_more_left = found.move_into(&mut batch);
            batches.push(batch);
            if !is_more_left {
                return batches;
            }
        }
    }

    #[test]
    fn batches_take_what_they_may_and_the_rest_waits() {
        let mut found = Found::default();
        for at in 0..MAX_BATCH_NAMES {
            assert!(!found.is_full());
            found.add_dns(transaction(at.try_into().unwrap(), 1));
        }
        assert!(found.is_full());
        found.add_dns(transaction(0, 1));
        let counts: Vec<_> = taken(&mut found).iter().map(|batch| batch.dns.len()).collect();
        assert_eq!(counts, [MAX_BATCH_NAMES, 1]);
        assert_eq!(found.bytes, 0);
    }

    #[test]
    fn batches_have_a_limit_in_octets_too() {
        let mut found = Found::default();
        for _ in 0..20 {
            found.add_dns(transaction(0, MAX_BATCH_NAME_BYTES / 10));
        }
        assert!(found.is_full());
        let counts: Vec<_> = taken(&mut found).iter().map(|batch| batch.dns.len()).collect();
        assert_eq!(counts, [9, 9, 2]);
        assert_eq!(found.bytes, 0);
    }

    #[test]
    fn what_nobody_takes_has_a_limit() {
        let mut found = Found::default();
        for _ in 0..10 * MAX_BATCH_NAMES {
            found.add_dns(transaction(0, 1));
        }
        assert_eq!(found.dns.len(), MAX_BATCHES_KEPT * MAX_BATCH_NAMES);
        let left_out = 10 * MAX_BATCH_NAMES - MAX_BATCHES_KEPT * MAX_BATCH_NAMES;
        assert_eq!(found.left_out(), (left_out as u64, 0));
    }

    #[test]
    fn questions_come_out_in_the_order_they_were_asked() {
        let mut found = Found::default();
        for at in [3, 1, 2] {
            found.add_dns(transaction(at, 1));
        }
        let [batch] = taken(&mut found).try_into().unwrap();
        assert_eq!(batch.dns.iter().map(|dns| dns.asked_at_ns).collect::<Vec<_>>(), [1, 2, 3]);
    }
}
