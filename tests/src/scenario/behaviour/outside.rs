//! What goes out to the clouds: DNS questions, time, calls that nobody answers, and
//! connections kept open.

use crate::{
    random::Random,
    scenario::{
        Asked, Attempts, CheckIns, Cloud, Device, Keepalive, KeepaliveKind, MILLI_NS, ROUND_TRIP_NS, SECOND_NS,
        stage::{Stage, ticks},
        talk::{Client, Talk},
    },
    traffic::{
        self, Host,
        dns::{self, Data, Record},
        ntp,
        tcp::{Side, TcpTalk},
        tls,
    },
};

/// A SYN is sent again after 1, 3 and 7 seconds (RFC 6298, section 2), then given up.
const SYNS_AFTER_NS: [i64; 4] = [0, SECOND_NS, 3 * SECOND_NS, 7 * SECOND_NS];

/// How a connection is kept open.
#[derive(Clone, Debug)]
pub struct KeepOpen {
    /// To whom.
    pub peer: Cloud,
    /// On which port.
    pub port: u16,
    /// From beat to beat.
    pub period_ns: i64,
    /// Each beat is early or late by at most this.
    pub jitter_ns: i64,
    /// Something is said between two beats now and then, this often on average.
    pub bursts_every_ns: Option<i64>,
    /// The server resets it so long after it was opened, once, and it is opened again.
    pub reset_after_ns: Option<i64>,
}

pub(super) fn phone_home(
    device: &Device,
    stage: &mut Stage,
    (peer, port): (&Cloud, u16),
    (every_ns, jitter_ns): (i64, i64),
    random: &mut Random,
) {
    let mut started_ns = Vec::new();
    let mut syns = 0;
    for at_ns in ticks(stage.span, every_ns, (jitter_ns, 10 * SECOND_NS), random) {
        // An attempt cut by the end would be half of one.
        if at_ns + 10 * SECOND_NS > stage.span.until_ns {
            continue;
        }
        let resolved_ns = resolve(device, stage, at_ns, peer, random);
        syns += call_in_vain(device, stage, resolved_ns, (peer, port), random);
        started_ns.push(resolved_ns);
    }
    stage.note_attempts(Attempts {
        device: device.name.clone(),
        peer_name: peer.name.clone(),
        peer_ip: peer.ip,
        peer_port: port,
        started_ns,
        syns,
        asked_dns: true,
    });
}

/// SYNs into silence; returns how many.
pub(in crate::scenario) fn call_in_vain(
    device: &Device,
    stage: &mut Stage,
    at_ns: i64,
    (peer, port): (&Cloud, u16),
    random: &mut Random,
) -> u64 {
    let (host, server) = (device.host(), stage.outside(peer.ip));
    let syn = TcpTalk::new(host, server, port, random).syn();
    let sent = SYNS_AFTER_NS.iter().filter(|after_ns| stage.send(at_ns + **after_ns, &host, &server, syn.clone()));
    sent.count() as u64
}

pub(super) fn keep_open(device: &Device, stage: &mut Stage, keep: &KeepOpen, random: &mut Random) {
    // Not at once: who asks for the last hour some seconds after it has ended
    // should still see how it was opened.
    let start_ns = stage.span.since_ns + 40 * SECOND_NS + device_offset_ns(random);
    let mut beats_ns = Vec::new();
    let until_ns = stage.span.until_ns;
    match keep.reset_after_ns {
        Some(after_ns) => {
            let reset_ns = start_ns + after_ns;
            let talk = beat_until(device, stage, (start_ns, reset_ns), keep, &mut beats_ns, random);
            talk.reset(stage, reset_ns + SECOND_NS, Side::Server);
            beat_until(device, stage, (reset_ns + 4 * SECOND_NS, until_ns), keep, &mut beats_ns, random);
        }
        None => {
            beat_until(device, stage, (start_ns, until_ns), keep, &mut beats_ns, random);
        }
    }
    stage.note_keepalive(Keepalive {
        device: device.name.clone(),
        peer_name: keep.peer.name.clone(),
        peer_ip: keep.peer.ip,
        peer_port: keep.port,
        kind: KeepaliveKind::WithinConnection,
        period_ns: keep.period_ns,
        beats_ns,
    });
}

/// Opens a connection and keeps it open with beats, until a second before `until_ns`.
fn beat_until(
    device: &Device,
    stage: &mut Stage,
    (start_ns, until_ns): (i64, i64),
    keep: &KeepOpen,
    beats_ns: &mut Vec<i64>,
    random: &mut Random,
) -> Talk {
    let resolved_ns = resolve(device, stage, start_ns, &keep.peer, random);
    let mut talk = Talk::open(device, stage, resolved_ns, (&keep.peer, keep.port), random);
    let one_in = keep.bursts_every_ns.map(|every_ns| u64::try_from(every_ns / keep.period_ns).unwrap_or(1).max(1));
    for beat in 1.. {
        let at_ns = talk.opened_ns + beat * keep.period_ns + random.around_zero(keep.jitter_ns);
        if at_ns + SECOND_NS > until_ns {
            break;
        }
        beats_ns.push(at_ns);
        talk.beat(stage, at_ns, random);
        let between_ns = at_ns + keep.period_ns / 2;
        if one_in.is_some_and(|one_in| random.below(one_in) == 0) && between_ns + 2 * SECOND_NS < until_ns {
            exchange(&mut talk, stage, between_ns, random);
        }
    }
    talk
}

/// A report, its acknowledgements, and an answer: eight packets.
pub(in crate::scenario) fn exchange(talk: &mut Talk, stage: &mut Stage, at_ns: i64, random: &mut Random) {
    for step in 0..3 {
        let at_ns = at_ns + step * 2 * ROUND_TRIP_NS;
        talk.say(stage, at_ns, Side::Client, &tls::application_data(600, random));
        talk.ack(stage, at_ns + ROUND_TRIP_NS, Side::Server);
    }
    let at_ns = at_ns + 7 * ROUND_TRIP_NS;
    talk.say(stage, at_ns, Side::Server, &tls::application_data(240, random));
    talk.ack(stage, at_ns + MILLI_NS, Side::Client);
}

/// A short connection, opened, used and closed; returns when its SYN was sent.
pub(in crate::scenario) fn call(
    device: &Device,
    stage: &mut Stage,
    at_ns: i64,
    (peer, port): (&Cloud, u16),
    random: &mut Random,
) -> i64 {
    let resolved_ns = resolve(device, stage, at_ns, peer, random);
    let mut talk = Talk::open(device, stage, resolved_ns, (peer, port), random);
    let said_ns = talk.opened_ns + 20 * MILLI_NS;
    exchange(&mut talk, stage, said_ns, random);
    talk.close(stage, said_ns + SECOND_NS, Side::Client);
    resolved_ns
}

pub(super) fn call_again(
    device: &Device,
    stage: &mut Stage,
    (peer, port): (&Cloud, u16),
    (every_ns, jitter_ns): (i64, i64),
    random: &mut Random,
) {
    let mut beats_ns = Vec::new();
    for at_ns in ticks(stage.span, every_ns, (jitter_ns, 5 * SECOND_NS), random) {
        if at_ns + 5 * SECOND_NS < stage.span.until_ns {
            beats_ns.push(call(device, stage, at_ns, (peer, port), random));
        }
    }
    stage.note_keepalive(Keepalive {
        device: device.name.clone(),
        peer_name: peer.name.clone(),
        peer_ip: peer.ip,
        peer_port: port,
        kind: KeepaliveKind::AcrossConnections,
        period_ns: every_ns,
        beats_ns,
    });
}

/// Asks the router for an address; returns when the answer has been read.
pub(in crate::scenario) fn resolve(
    device: &Device,
    stage: &mut Stage,
    at_ns: i64,
    peer: &Cloud,
    random: &mut Random,
) -> i64 {
    let qtype = if peer.ip.is_ipv4() { dns::A } else { dns::AAAA };
    ask(device, stage, at_ns, (peer, &peer.name, qtype), random)
}

/// As a browser does: both types at once, and one of them has no answer.
pub(in crate::scenario) fn resolve_both(
    device: &Device,
    stage: &mut Stage,
    at_ns: i64,
    peer: &Cloud,
    random: &mut Random,
) -> i64 {
    ask(device, stage, at_ns, (peer, &peer.name, dns::AAAA), random);
    ask(device, stage, at_ns + MILLI_NS / 2, (peer, &peer.name, dns::A), random)
}

/// Asks with this spelling of the name, for this type.
pub(in crate::scenario) fn ask(
    device: &Device,
    stage: &mut Stage,
    at_ns: i64,
    (peer, qname, qtype): (&Cloud, &str, u16),
    random: &mut Random,
) -> i64 {
    let (host, router) = (device.host(), stage.router);
    let (id, port) = (random.u16(), random.port());
    let question = dns::question(id, qname, qtype);
    let asked = stage.send(at_ns, &host, &router, traffic::udp(&host, &router, (port, 53), &question));
    let mut records = Vec::new();
    if let Some(real) = &peer.alias_of {
        records.push(Record { name: qname.to_owned(), ttl: 300, data: Data::Cname(real.clone()) });
    }
    let has_address = (qtype == dns::A) == peer.ip.is_ipv4();
    if has_address {
        let owner = peer.alias_of.as_deref().unwrap_or(qname);
        records.push(Record { name: owner.to_owned(), ttl: 60, data: Data::address(peer.ip) });
    }
    let answer = dns::answer(id, qname, qtype, &records);
    let answered_ns = at_ns + 18 * MILLI_NS;
    let answered = stage.send(answered_ns, &router, &host, traffic::udp(&router, &host, (53, port), &answer));
    if asked {
        stage.note_question(Asked {
            device: device.name.clone(),
            at_ns,
            qname: qname.to_lowercase(),
            qtype,
            answer: answered.then(|| has_address.then_some(peer.ip).into_iter().collect()),
        });
    }
    answered_ns + 2 * MILLI_NS
}

/// Returns when the time server was asked, if there was time for all of it.
pub(super) fn check_time(
    device: &Device,
    stage: &mut Stage,
    at_ns: i64,
    server: &Cloud,
    random: &mut Random,
) -> Option<i64> {
    if at_ns + SECOND_NS > stage.span.until_ns {
        return None;
    }
    let asked_ns = resolve(device, stage, at_ns, server, random);
    let (host, outside) = (device.host(), stage.outside(server.ip));
    let port = random.port();
    stage.send(asked_ns, &host, &outside, traffic::udp(&host, &outside, (port, 123), &ntp::request(asked_ns)));
    let replied_ns = asked_ns + ROUND_TRIP_NS;
    let reply = ntp::reply(asked_ns, replied_ns - ROUND_TRIP_NS / 2);
    stage.send(replied_ns, &outside, &host, traffic::udp(&outside, &host, (123, port), &reply));
    Some(asked_ns)
}

pub(super) fn note_check_ins(device: &Device, stage: &mut Stage, server: &Cloud, asked_ns: Vec<i64>) {
    stage.note_check_ins(CheckIns {
        device: device.name.clone(),
        server_name: server.name.clone(),
        server_ip: server.ip,
        asked_ns,
    });
}

/// A connection of a browser or an app from this address.
pub(in crate::scenario) fn open_browser(
    from: (&Device, Host),
    stage: &mut Stage,
    at_ns: i64,
    peer: &Cloud,
    random: &mut Random,
) -> Talk {
    Talk::open_as(Client::Browser, from, stage, at_ns, (peer, 443), random)
}

/// Devices that all begin "at the start" do not begin in the same instant.
fn device_offset_ns(random: &mut Random) -> i64 {
    i64::try_from(random.below(2_500)).unwrap_or(0) * MILLI_NS
}
