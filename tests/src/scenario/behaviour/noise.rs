//! What people's devices do: nothing of it regular, nothing of it worth a warning.

use super::outside::{ask, call_in_vain, open_browser, resolve_both};
use crate::{
    random::Random,
    scenario::{
        Asked, Attempts, Cloud, Device, MILLI_NS, ROUND_TRIP_NS, Refused, SECOND_NS, Span, stage::Stage,
        talk::SEGMENT_BYTES,
    },
    traffic::{
        self, dns,
        tcp::{Side, TcpTalk},
        tls,
    },
};

/// Sites, visited when somebody feels like it.
#[derive(Clone, Debug)]
pub struct Browse {
    /// Where to.
    pub sites: Vec<Cloud>,
    /// From visit to visit, on average.
    pub mean_pause_ns: i64,
    /// When, in hundredths of the span; half-open.
    pub awake_percent: Vec<(i64, i64)>,
}

impl Browse {
    pub(super) fn play(&self, device: &Device, stage: &mut Stage, random: &mut Random) {
        for at_ns in self.times(stage.span, random) {
            let Some(site) = pick(&self.sites, random) else { return };
            let from = if site.ip.is_ipv6() { device.ipv6_at(stage.span, at_ns) } else { Some(device.host()) };
            let Some(from) = from else { continue };
            let resolved_ns = resolve_both(device, stage, at_ns, site, random);
            let mut talk = open_browser((device, from), stage, resolved_ns, site, random);
            let mut at_ns = talk.opened_ns;
            for _ in 0..=random.below(4) {
                at_ns += 200 * MILLI_NS + millis(random, 3_000);
                talk.say(stage, at_ns, Side::Client, &tls::application_data(300, random));
                at_ns += ROUND_TRIP_NS;
                for _ in 0..=random.below(12) {
                    talk.say(stage, at_ns, Side::Server, &random.octets(SEGMENT_BYTES));
                    at_ns += MILLI_NS;
                }
                talk.ack(stage, at_ns, Side::Client);
            }
            // Most say farewell, some are cut off.
            at_ns += SECOND_NS + millis(random, 20_000);
            if random.below(6) == 0 {
                talk.reset(stage, at_ns, Side::Client);
            } else {
                talk.close(stage, at_ns, Side::Client);
            }
        }
    }

    fn times(&self, span: Span, random: &mut Random) -> Vec<i64> {
        let mut times = Vec::new();
        for (from, until) in &self.awake_percent {
            let at = |percent: &i64| span.since_ns + span.duration_ns() / 100 * percent;
            let mut at_ns = at(from) + random_up_to(random, self.mean_pause_ns);
            // Room for the visit itself.
            while at_ns + 60 * SECOND_NS < at(until) {
                times.push(at_ns);
                at_ns += exponential_ns(random, self.mean_pause_ns);
            }
        }
        times
    }
}

/// A film: long bursts from one server, as the player's buffer wants them.
#[derive(Clone, Debug)]
pub struct Stream {
    /// From whom.
    pub server: Cloud,
    /// When it begins, in hundredths of the span.
    pub begins_percent: Vec<i64>,
    /// Bursts in a film.
    pub bursts: u32,
    /// Packets of the server in a burst.
    pub burst_packets: u32,
}

impl Stream {
    pub(super) fn play(&self, device: &Device, stage: &mut Stage, random: &mut Random) {
        for percent in &self.begins_percent {
            let at_ns = stage.span.since_ns + stage.span.duration_ns() / 100 * percent + millis(random, 60_000);
            let resolved_ns = resolve_both(device, stage, at_ns, &self.server, random);
            let mut talk = open_browser((device, device.host()), stage, resolved_ns, &self.server, random);
            let mut at_ns = talk.opened_ns;
            for _ in 0..self.bursts {
                at_ns += exponential_ns(random, 9 * SECOND_NS);
                talk.say(stage, at_ns, Side::Client, &tls::application_data(500, random));
                at_ns += ROUND_TRIP_NS;
                for packet in 0..self.burst_packets {
                    talk.say(stage, at_ns, Side::Server, &random.octets(SEGMENT_BYTES));
                    at_ns += MILLI_NS / 2;
                    if packet % 4 == 3 {
                        talk.ack(stage, at_ns, Side::Client);
                    }
                }
            }
            talk.close(stage, at_ns + 3 * SECOND_NS, Side::Client);
        }
    }
}

/// What fails once or twice a day, or happens once.
#[derive(Clone, Debug)]
pub struct OddEnds {
    /// Refuses two attempts with RST.
    pub refuses: (Cloud, u16),
    /// Does not answer one attempt; nobody asked DNS for it.
    pub silent: (Cloud, u16),
    /// Gets one datagram and does not answer.
    pub deaf: (Cloud, u16),
    /// Answers pings.
    pub pinged: Cloud,
    /// A name that nobody has.
    pub no_such_name: String,
}

impl OddEnds {
    pub(super) fn play(&self, device: &Device, stage: &mut Stage, random: &mut Random) {
        let span = stage.span;
        let at = |hundredths: i64| span.since_ns + span.duration_ns() / 100 * hundredths;
        let host = device.host();

        let (refuses, port) = &self.refuses;
        for at_ns in [at(33), at(81)] {
            let asked_ns = resolve_both(device, stage, at_ns, refuses, random);
            let server = stage.outside(refuses.ip);
            let mut talk = TcpTalk::new(host, server, *port, random);
            let (syn, rst) = (talk.syn(), talk.refuse());
            stage.send(asked_ns, &host, &server, syn);
            stage.send(asked_ns + ROUND_TRIP_NS, &server, &host, rst);
        }
        stage.note_refused(Refused { device: device.name.clone(), peer_ip: refuses.ip, peer_port: *port, attempts: 2 });

        let (silent, port) = &self.silent;
        let syns = call_in_vain(device, stage, at(35), (silent, *port), random);
        stage.note_attempts(Attempts {
            device: device.name.clone(),
            peer_name: String::new(),
            peer_ip: silent.ip,
            peer_port: *port,
            started_ns: vec![at(35)],
            syns,
            asked_dns: false,
        });

        let (deaf, port) = &self.deaf;
        let server = stage.outside(deaf.ip);
        let datagram = traffic::udp(&host, &server, (random.port(), *port), &random.octets(20));
        stage.send(at(36), &host, &server, datagram);
        stage.note_lone_datagram(device, deaf.ip, *port);

        let server = stage.outside(self.pinged.ip);
        for seq in 0..4_u16 {
            let at_ns = at(37) + i64::from(seq) * SECOND_NS;
            stage.send(at_ns, &host, &server, traffic::icmp_echo(&host, &server, false, 7, seq));
            stage.send(at_ns + ROUND_TRIP_NS, &server, &host, traffic::icmp_echo(&server, &host, true, 7, seq));
        }
        no_such_name(device, stage, at(38), &self.no_such_name, random);
        // Spelled as resolvers do that hide a secret in it; the same name all the same.
        ask(device, stage, at(39), (&self.pinged, &mixed_case(&self.pinged.name), dns::A), random);
    }
}

fn no_such_name(device: &Device, stage: &mut Stage, at_ns: i64, qname: &str, random: &mut Random) {
    let (host, router) = (device.host(), stage.router);
    let (id, port) = (random.u16(), random.port());
    let question = dns::question(id, qname, dns::A);
    let answer = dns::no_such_name(id, qname, dns::A);
    stage.send(at_ns, &host, &router, traffic::udp(&host, &router, (port, 53), &question));
    stage.send(at_ns + 18 * MILLI_NS, &router, &host, traffic::udp(&router, &host, (53, port), &answer));
    stage.note_question(Asked {
        device: device.name.clone(),
        at_ns,
        qname: qname.to_lowercase(),
        qtype: dns::A,
        answer: Some(Vec::new()),
    });
}

fn mixed_case(name: &str) -> String {
    let upper = |(index, letter): (usize, char)| if index % 2 == 0 { letter.to_ascii_uppercase() } else { letter };
    name.chars().enumerate().map(upper).collect()
}

fn pick<'a, T>(from: &'a [T], random: &mut Random) -> Option<&'a T> {
    from.get(usize::try_from(random.below(from.len() as u64)).unwrap_or(0))
}

fn millis(random: &mut Random, below: u64) -> i64 {
    i64::try_from(random.below(below)).unwrap_or(0) * MILLI_NS
}

fn random_up_to(random: &mut Random, limit_ns: i64) -> i64 {
    i64::try_from(random.below(u64::try_from(limit_ns).unwrap_or(1))).unwrap_or(0)
}

/// A time with this mean, as between visits that know nothing of each other: the number
/// of halvings is geometric, and within each it is even.
fn exponential_ns(random: &mut Random, mean_ns: i64) -> i64 {
    // ln 2 of the mean is the half-life of an exponential distribution.
    let half_life_ns = mean_ns / 1000 * 693;
    let halvings = i64::from(random.u64().trailing_zeros().min(6));
    half_life_ns * halvings + random_up_to(random, half_life_ns.max(1))
}
