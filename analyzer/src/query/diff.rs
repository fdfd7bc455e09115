//! `diff`: what is new, gone or changed between two ranges.
//!
//! A device, destination, owner or country is *new* if it has packets in the later
//! range only, *gone* if in the earlier only. Packets a minute of a device or
//! destination *changed* if they differ by [`RATE_CHANGED`] and there were
//! [`LEAST_PACKETS`] in one of the ranges; the period of a keepalive, if it differs
//! by [`PERIOD_CHANGED`]. Of both ranges the newest [`GLANCE_PACKETS`] are searched for keepalives within
//! connections: of one that was not found in a range with more, nothing is said.

use std::collections::{BTreeMap, BTreeSet};

use iotq_proto::v1::{
    self,
    difference::{Change, Kind},
    keepalive,
};

use super::{
    Analyst, AskError, Asked, Out, Pieces,
    keepalives::{GLANCE_PACKETS, Searched},
    peers::{By, Encrypted},
    rate,
};
use crate::{enrich::DeviceKey, store::TimeRange};

pub(super) async fn answer(
    analyst: &Analyst,
    asked: &Asked,
    question: v1::DiffQuestion,
    out: &Out,
) -> Result<(), AskError> {
    let against = TimeRange { since_ns: Some(question.against_since_ns), until_ns: Some(question.against_until_ns) };
    if question.against_since_ns >= question.against_until_ns {
        return Err(AskError::Question("the range to compare with ends before it begins".into()));
    }
    let earlier = asked.over(analyst, against).await?;
    let reporting = async |asked: &Asked| Ok::<_, AskError>(asked.covered().await?.coverage.collectors_reporting);
    let is_all_new = reporting(&earlier).await? == 0 && reporting(asked).await? > 0;
    let note = "no collector reported on the range compared with, so all there is seems new";
    let mut notes = if is_all_new { vec![note.to_owned()] } else { Vec::new() };
    let (searched, searched_earlier) =
        tokio::try_join!(analyst.searched(asked, GLANCE_PACKETS), analyst.searched(&earlier, GLANCE_PACKETS))?;
    notes.extend(searched.note.clone());
    notes.extend(searched_earlier.note.as_ref().map(|note| format!("of the range compared with: {note}")));
    out.header_with(asked, notes).await?;
    let (after, before) =
        tokio::try_join!(analyst.habits(asked, &searched), analyst.habits(&earlier, &searched_earlier))?;
    let mut pieces = Pieces::new(out, asked.scope.limit, |diff| v1::Rows { diff, ..v1::Rows::default() });
    for (what, change, before, after) in differences(&before, &after) {
        let (device, device_name) = analyst.id_and_name(asked, Some(what.device));
        let row = v1::Difference {
            kind: what.kind.into(),
            change: change.into(),
            device,
            device_name,
            what: what.what.clone(),
            before,
            after,
        };
        if !pieces.push(row).await? {
            break;
        }
    }
    pieces.end().await
}

/// Something a device does or does not.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct What {
    kind: Kind,
    device: DeviceKey,
    what: String,
}

/// How much of it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Measure {
    /// Packets a minute, or seconds.
    value: f64,
    /// 0 where packets are not what counts.
    packets: u64,
    /// Of a period: found within a connection.
    is_within: bool,
}

/// What devices did in a range.
#[derive(Debug, Default)]
struct Habits {
    measures: BTreeMap<What, Measure>,
    /// Not all of it was searched for periods within connections.
    is_cut: bool,
}

impl Analyst {
    async fn habits(&self, asked: &Asked, searched: &Searched) -> Result<Habits, AskError> {
        let (sides, keepalives) = tokio::try_join!(self.by_address(asked), self.keepalives(asked, searched))?;
        let mut packets = BTreeMap::<What, u64>::new();
        for found in self.exchanged(asked, By::Name, sides, &Encrypted::new()) {
            let mut add = |kind, what: String| {
                *packets.entry(What { kind, device: found.device, what }).or_default() += found.packets;
            };
            add(Kind::Device, String::new());
            if found.peer.is_local || found.peer.device.is_some() {
                continue;
            }
            add(Kind::Destination, found.destination.clone());
            if !found.peer.owner.is_empty() {
                add(Kind::Owner, found.peer.owner.clone());
            }
            if !found.peer.country.is_empty() {
                add(Kind::Country, found.peer.country.clone());
            }
        }
        let minutes = asked.minutes().await?;
        let measure = |packets| Measure { value: rate(packets, minutes), packets, is_within: false };
        let mut measures: BTreeMap<_, _> =
            packets.into_iter().map(|(what, packets)| (what, measure(packets))).collect();
        for (device, row) in keepalives {
            let is_within = row.kind() == keepalive::Kind::WithinConnection;
            let whom = if row.peer_name.is_empty() { super::text_of(&row.peer_ip) } else { row.peer_name };
            measures.insert(
                What { kind: Kind::Period, device, what: whom },
                Measure { value: row.period_secs, packets: 0, is_within },
            );
        }
        Ok(Habits { measures, is_cut: searched.note.is_some() })
    }
}

fn differences(before: &Habits, after: &Habits) -> Vec<(What, Change, Option<f64>, Option<f64>)> {
    let all: BTreeSet<&What> = before.measures.keys().chain(after.measures.keys()).collect();
    all.into_iter()
        .filter_map(|what| {
            let (was, is) = (before.measures.get(what), after.measures.get(what));
            let change = match (was, is) {
                (None, Some(is)) if !(is.is_within && before.is_cut) => Change::New,
                (Some(was), None) if !(was.is_within && after.is_cut) => Change::Gone,
                (Some(was), Some(is)) if has_changed(what.kind, *was, *is) => Change::Changed,
                _ => return None,
            };
            Some((what.clone(), change, was.map(|was| was.value), is.map(|is| is.value)))
        })
        .collect()
}

fn has_changed(kind: Kind, was: Measure, is: Measure) -> bool {
    let factor = (is.value / was.value).max(was.value / is.value);
    match kind {
        Kind::Device | Kind::Destination => factor >= RATE_CHANGED && was.packets.max(is.packets) >= LEAST_PACKETS,
        Kind::Period => factor >= PERIOD_CHANGED,
        Kind::Unspecified | Kind::Owner | Kind::Country => false,
    }
}

/// A device's rate from one week to the next differs by less than this as a rule.
const RATE_CHANGED: f64 = 3.0;
/// Fewer say nothing about a rate.
const LEAST_PACKETS: u64 = 100;
/// Beyond the jitter of keepalives.
const PERIOD_CHANGED: f64 = 1.25;

#[cfg(test)]
mod tests {
    use super::*;

    fn habit(kind: Kind, what: &str, value: f64, packets: u64) -> (What, Measure) {
        let device = DeviceKey::Ip("192.0.2.1".parse().unwrap());
        (What { kind, device, what: what.into() }, Measure { value, packets, is_within: false })
    }

    fn habits<const N: usize>(measures: [(What, Measure); N]) -> Habits {
        Habits { measures: BTreeMap::from(measures), is_cut: false }
    }

    #[test]
    fn new_gone_and_changed_are_told_and_the_same_is_not() {
        let before = habits([
            habit(Kind::Destination, "gone.example.com", 1.0, 500),
            habit(Kind::Destination, "same.example.com", 1.0, 500),
            habit(Kind::Destination, "more.example.com", 1.0, 500),
            habit(Kind::Destination, "few.example.com", 0.01, 5),
            habit(Kind::Period, "cloud.example.com", 60.0, 0),
            habit(Kind::Owner, "Example", 1.0, 500),
        ]);
        let after = habits([
            habit(Kind::Destination, "new.example.com", 1.0, 500),
            habit(Kind::Destination, "same.example.com", 1.4, 700),
            habit(Kind::Destination, "more.example.com", 4.0, 2000),
            habit(Kind::Destination, "few.example.com", 0.1, 50),
            habit(Kind::Period, "cloud.example.com", 30.0, 0),
            habit(Kind::Owner, "Example", 9.0, 4500),
        ]);
        let found: Vec<_> =
            differences(&before, &after).into_iter().map(|(what, change, ..)| (what.what, change)).collect();
        let expected = [
            ("gone.example.com", Change::Gone),
            ("more.example.com", Change::Changed),
            ("new.example.com", Change::New),
            ("cloud.example.com", Change::Changed),
        ];
        assert_eq!(found, expected.map(|(what, change)| (what.to_owned(), change)));
    }

    #[test]
    fn a_period_that_was_not_searched_for_is_neither_new_nor_gone() {
        let within = |name| {
            let (what, measure) = habit(Kind::Period, name, 60.0, 0);
            (what, Measure { is_within: true, ..measure })
        };
        let both = || (habits([within("before"), habit(Kind::Period, "early", 60.0, 0)]), habits([within("after")]));
        let told = |before: &Habits, after: &Habits| -> Vec<_> {
            differences(before, after).into_iter().map(|(what, change, ..)| (what.what, change)).collect()
        };
        let (before, after) = both();
        let all =
            [("after", Change::New), ("before", Change::Gone), ("early", Change::Gone)].map(|(a, b)| (a.to_owned(), b));
        assert_eq!(told(&before, &after), all);
        let (mut before, after) = both();
        before.is_cut = true;
        assert_eq!(told(&before, &after), all[1..]);
        let (before, mut after) = both();
        after.is_cut = true;
        assert_eq!(told(&before, &after), [all[0].clone(), all[2].clone()]);
    }
}
