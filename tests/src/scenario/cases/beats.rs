//! Keepalives that are not quite regular.

use super::{Peer, device, directed, house};
use crate::scenario::{
    Behaviour, Browse, KeepaliveKind, MINUTE_NS, SECOND_NS, Scenario, Span,
    behaviour::outside::{exchange, resolve},
    talk::Talk,
};

/// A beat each 30 seconds in the first half of the span and each 90 seconds in the
/// second, in one connection. The period over all of it is that of most beats.
#[must_use]
pub fn period_changes(span: Span) -> Scenario {
    directed(house(vec![device("Robot", 20)]), span, |devices, stage, random| {
        let [robot] = devices else { return };
        let peer = Peer::new("robots.example.com", 20, 443);
        let resolved_ns = resolve(robot, stage, span.since_ns + 5 * SECOND_NS, &peer.cloud, random);
        let mut talk = Talk::open(robot, stage, resolved_ns, peer.to(), random);
        let middle_ns = span.since_ns + span.duration_ns() / 2;
        let (mut at_ns, mut beats_ns) = (talk.opened_ns + 30 * SECOND_NS, Vec::new());
        while at_ns + SECOND_NS < span.until_ns {
            talk.beat(stage, at_ns + random.around_zero(SECOND_NS / 4), random);
            beats_ns.push(at_ns);
            at_ns += if at_ns < middle_ns { 30 * SECOND_NS } else { 90 * SECOND_NS };
        }
        peer.note(stage, robot, KeepaliveKind::WithinConnection, 30 * SECOND_NS, beats_ns);
    })
}

/// A beat each minute, one in seven of which does not happen, and reports in between.
#[must_use]
pub fn missed_beats(span: Span) -> Scenario {
    directed(house(vec![device("Robot", 21)]), span, |devices, stage, random| {
        let [robot] = devices else { return };
        let peer = Peer::new("robots.example.com", 21, 443);
        let resolved_ns = resolve(robot, stage, span.since_ns + 5 * SECOND_NS, &peer.cloud, random);
        let mut talk = Talk::open(robot, stage, resolved_ns, peer.to(), random);
        let (mut at_ns, mut beats_ns) = (talk.opened_ns + MINUTE_NS, Vec::new());
        while at_ns + MINUTE_NS < span.until_ns {
            if random.below(7) > 0 {
                talk.beat(stage, at_ns + random.around_zero(SECOND_NS / 2), random);
                beats_ns.push(at_ns);
            }
            if random.below(12) == 0 {
                exchange(&mut talk, stage, at_ns + 15 * SECOND_NS + random.around_zero(5 * SECOND_NS), random);
            }
            at_ns += MINUTE_NS;
        }
        peer.note(stage, robot, KeepaliveKind::WithinConnection, MINUTE_NS, beats_ns);
    })
}

/// A new short connection each five minutes; beside it one that has no rhythm.
#[must_use]
pub fn calls_again(span: Span) -> Scenario {
    let mut camera = device("Camera", 22);
    let caller = Peer::new("status.example.com", 22, 8883);
    camera.behaviours.push(Behaviour::CallAgain {
        peer: caller.cloud,
        port: caller.port,
        every_ns: 5 * MINUTE_NS,
        jitter_ns: 3 * SECOND_NS,
    });
    let mut person = device("Tablet", 23);
    person.behaviours.push(Behaviour::Browse(Browse {
        sites: vec![Peer::new("www.example.com", 23, 443).cloud],
        mean_pause_ns: 5 * MINUTE_NS,
        awake_percent: vec![(0, 100)],
    }));
    house(vec![camera, person]).play(span, super::SEED)
}

/// A beat each 40 seconds, while the clock of the collector's host is put back by seven
/// minutes in the middle of the span: frames are in the order of capture, their times are not.
#[must_use]
pub fn clock_goes_back(span: Span) -> Scenario {
    let mut scenario = directed(house(vec![device("Robot", 24)]), span, |devices, stage, random| {
        let [robot] = devices else { return };
        let peer = Peer::new("robots.example.com", 24, 443);
        let resolved_ns = resolve(robot, stage, span.since_ns + 5 * SECOND_NS, &peer.cloud, random);
        let mut talk = Talk::open(robot, stage, resolved_ns, peer.to(), random);
        let (mut at_ns, mut beats_ns) = (talk.opened_ns + 40 * SECOND_NS, Vec::new());
        while at_ns + SECOND_NS < span.until_ns {
            talk.beat(stage, at_ns + random.around_zero(SECOND_NS / 4), random);
            beats_ns.push(at_ns);
            at_ns += 40 * SECOND_NS;
        }
        peer.note(stage, robot, KeepaliveKind::WithinConnection, 40 * SECOND_NS, beats_ns);
    });
    let middle_ns = span.since_ns + span.duration_ns() / 2;
    for frame in scenario.frames.iter_mut().filter(|frame| frame.at_ns >= middle_ns) {
        frame.at_ns -= 7 * MINUTE_NS;
    }
    scenario
}
