//! What was read and is not yet in a batch.

use std::collections::VecDeque;

use iotq_proto::{MAX_BATCH_NAME_BYTES, MAX_BATCH_NAMES, v1};
use prost::Message as _;

use crate::chunk::Sighting;

/// Everything that was found, in the order in which it was complete. Each reader
/// pushes into it; batches take from it.
///
/// Whoever fills it asks [`is_full`](Self::is_full) after each packet and makes
/// room. What comes all the same is kept up to a few batches' worth, then left out.
#[derive(Debug, Default)]
pub(super) struct Found {
    dns: VecDeque<v1::DnsTransaction>,
    tls_hellos: VecDeque<v1::TlsHello>,
    time_requests: VecDeque<v1::TimeRequest>,
    sightings: Vec<Sighting>,
    /// Of all but the sightings, encoded.
    bytes: usize,
}

impl Found {
    pub(super) fn add_dns(&mut self, transaction: v1::DnsTransaction) {
        if has_room(self.dns.len(), self.bytes) {
            self.bytes += transaction.encoded_len();
            self.dns.push_back(transaction);
        }
    }

    pub(super) fn add_tls_hello(&mut self, hello: v1::TlsHello) {
        if has_room(self.tls_hellos.len(), self.bytes) {
            self.bytes += hello.encoded_len();
            self.tls_hellos.push_back(hello);
        }
    }

    pub(super) fn add_time_request(&mut self, request: v1::TimeRequest) {
        if has_room(self.time_requests.len(), self.bytes) {
            self.bytes += request.encoded_len();
            self.time_requests.push_back(request);
        }
    }

    pub(super) fn add_sighting(&mut self, sighting: Sighting) {
        if has_room(self.sightings.len(), 0) {
            self.sightings.push(sighting);
        }
    }

    /// What devices showed of themselves; each packet may show some.
    pub(super) fn take_sightings(&mut self) -> Vec<Sighting> {
        std::mem::take(&mut self.sightings)
    }

    /// Puts what there is into a batch, as much as it may have. Whether something is left.
    pub(super) fn move_into(&mut self, batch: &mut v1::Batch) -> bool {
        let mut budget = MAX_BATCH_NAME_BYTES;
        move_some(&mut self.dns, &mut batch.dns, &mut budget);
        move_some(&mut self.tls_hellos, &mut batch.tls_hellos, &mut budget);
        move_some(&mut self.time_requests, &mut batch.time_requests, &mut budget);
        self.bytes = self.bytes.saturating_sub(MAX_BATCH_NAME_BYTES - budget);
        // Transactions are found when they are answered; readers think in questions.
        batch.dns.sort_by_key(|transaction| transaction.asked_at_ns);
        batch.time_requests.sort_by_key(|request| request.requested_at_ns);
        !self.is_empty()
    }

    /// Whether there is as much as a batch takes.
    pub(super) fn is_full(&self) -> bool {
        let most = self.dns.len().max(self.tls_hellos.len()).max(self.time_requests.len());
        most >= MAX_BATCH_NAMES || self.bytes >= MAX_BATCH_NAME_BYTES
    }

    fn is_empty(&self) -> bool {
        self.dns.is_empty() && self.tls_hellos.is_empty() && self.time_requests.is_empty()
    }
}

fn has_room(count: usize, bytes: usize) -> bool {
    count < MAX_BATCHES_KEPT * MAX_BATCH_NAMES && bytes < MAX_BATCHES_KEPT * MAX_BATCH_NAME_BYTES
}

/// As many of the first as a batch may have and the budget allows.
fn move_some<T: prost::Message>(from: &mut VecDeque<T>, to: &mut Vec<T>, budget: &mut usize) {
    while to.len() < MAX_BATCH_NAMES {
        let Some(bytes) = from.front().map(prost::Message::encoded_len).filter(|bytes| bytes <= budget) else {
            return;
        };
        *budget -= bytes;
        to.extend(from.pop_front());
    }
}

/// Giving up all open questions at once, at the end of the input, gives some
/// batches' worth; more comes only if nobody takes anything.
const MAX_BATCHES_KEPT: usize = 4;
