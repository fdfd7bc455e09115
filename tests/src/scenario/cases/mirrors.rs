//! What the mirror port shows, and to how many.

use super::{Peer, Plain, device, directed, house};
use crate::{
    scenario::{
        Attempts, Frame, KeepaliveKind, MINUTE_NS, SECOND_NS, Scenario, Span,
        behaviour::outside::{call, call_in_vain},
        stage::Mirror,
    },
    traffic::mac_octets,
};

/// Only what devices send is seen. A robot talks to a server that answers, unseen: that is
/// not unanswered, for it goes on talking. A plug's SYNs into silence are.
#[must_use]
pub fn one_way(span: Span) -> Scenario {
    directed(house(vec![device("Robot", 50), device("Plug", 51)]), span, |devices, stage, random| {
        let [robot, plug] = devices else { return };
        stage.mirror = Mirror::FromDevicesOnly;
        let heard = Peer::new("robots.example.com", 50, 443);
        let mut at_ns = span.since_ns + 7 * SECOND_NS;
        for visit in 1..=4 {
            call(robot, stage, at_ns, heard.to(), random);
            at_ns += visit * visit * MINUTE_NS;
        }
        // Nor is anything seen of the answers to its DNS questions: they are not unanswered either.
        let silent = Peer::new("silent.example.com", 51, 443);
        let mut attempts = Attempts {
            device: plug.name.clone(),
            peer_name: silent.cloud.name.clone(),
            peer_ip: silent.cloud.ip,
            peer_port: silent.port,
            started_ns: Vec::new(),
            syns: 0,
            asked_dns: false,
        };
        for minute in [3, 9, 15] {
            let at_ns = span.since_ns + minute * MINUTE_NS;
            attempts.syns += call_in_vain(plug, stage, at_ns, silent.to(), random);
            attempts.started_ns.push(at_ns);
        }
        stage.note_attempts(attempts);
    })
}

/// Two collectors: the first sees all but the television, the second sees the robot and
/// the television. Returns the whole, and the frames of each.
#[must_use]
pub fn two_mirrors(span: Span) -> (Scenario, Vec<Frame>, Vec<Frame>) {
    let scenario =
        directed(house(vec![device("Robot", 52), device("Television", 53)]), span, |devices, stage, random| {
            for (device, period_secs) in devices.iter().zip([45, 55]) {
                let peer = Peer::new("things.example.com", 50 + u8::try_from(period_secs).unwrap_or(0), 8883);
                let mut plain = Plain::new(device.host(), stage, (peer.cloud.ip, peer.port), random);
                plain.open(stage, span.since_ns + SECOND_NS);
                let (mut at_ns, mut beats_ns) = (span.since_ns + 46 * SECOND_NS, Vec::new());
                while at_ns + SECOND_NS < span.until_ns {
                    plain.beat(stage, at_ns + random.around_zero(SECOND_NS / 5));
                    beats_ns.push(at_ns);
                    at_ns += period_secs * SECOND_NS;
                }
                peer.note(stage, device, KeepaliveKind::WithinConnection, period_secs * SECOND_NS, beats_ns);
            }
        });
    let of = |name: &str| {
        let mac = scenario.description.devices.iter().find(|device| device.name == name).map(|it| mac_octets(it.mac));
        move |frame: &Frame| {
            mac.is_some_and(|mac| frame.octets.get(..6) == Some(&mac) || frame.octets.get(6..12) == Some(&mac))
        }
    };
    let (robot, television) = (of("Robot"), of("Television"));
    let first = scenario.frames.iter().filter(|frame| !television(frame)).cloned().collect();
    let second = scenario.frames.iter().filter(|frame| robot(frame) || television(frame)).cloned().collect();
    (scenario, first, second)
}
