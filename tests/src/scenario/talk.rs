//! A TLS connection of a device with a service outside, told as packets.

use super::{Cloud, Device, Hello, MILLI_NS, ROUND_TRIP_NS, stage::Stage};
use crate::{
    random::Random,
    traffic::{
        Host,
        tcp::{Side, TcpTalk},
        tls,
    },
};

/// Full segments of an Ethernet path, in octets; IPv6 leaves 20 less.
pub(super) const SEGMENT_BYTES: usize = 1440;

/// Who opens it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Client {
    /// A small thing: TLS 1.2.
    Thing,
    /// A browser or an app: TLS 1.3.
    Browser,
}

/// A TLS connection that is open.
pub(super) struct Talk {
    pub(super) client: Host,
    pub(super) server: Host,
    pub(super) tcp: TcpTalk,
    pub(super) opened_ns: i64,
}

impl Talk {
    /// Opens it from the device's own address, as a small thing does.
    pub(super) fn open(device: &Device, stage: &mut Stage, at_ns: i64, to: (&Cloud, u16), random: &mut Random) -> Self {
        Self::open_as(Client::Thing, (device, device.host()), stage, at_ns, to, random)
    }

    /// Opens it: TCP's three segments, then TLS 1.2's two round trips or TLS 1.3's one.
    pub(super) fn open_as(
        kind: Client,
        (device, client): (&Device, Host),
        stage: &mut Stage,
        at_ns: i64,
        (peer, port): (&Cloud, u16),
        random: &mut Random,
    ) -> Self {
        let server = stage.outside(peer.ip);
        let tcp = TcpTalk::new(client, server, port, random);
        let mut talk = Self { client, server, tcp, opened_ns: at_ns };
        let [syn, syn_ack, ack] = talk.tcp.open();
        stage.send(at_ns, &client, &server, syn);
        stage.send(at_ns + ROUND_TRIP_NS, &server, &client, syn_ack);
        stage.send(at_ns + ROUND_TRIP_NS + MILLI_NS, &client, &server, ack);
        let at_ns = at_ns + ROUND_TRIP_NS + 3 * MILLI_NS;
        talk.say_hello(kind, device, stage, at_ns, (peer, port), random);
        talk.opened_ns = match kind {
            Client::Thing => talk.shake_hands_1_2(stage, at_ns + ROUND_TRIP_NS, random),
            Client::Browser => talk.shake_hands_1_3(stage, at_ns + ROUND_TRIP_NS, random),
        };
        talk
    }

    pub(super) fn say(&mut self, stage: &mut Stage, at_ns: i64, side: Side, payload: &[u8]) -> bool {
        let frame = self.tcp.say(side, payload);
        self.send(stage, at_ns, side, frame)
    }

    pub(super) fn ack(&self, stage: &mut Stage, at_ns: i64, side: Side) {
        self.send(stage, at_ns, side, self.tcp.ack(side));
    }

    pub(super) fn close(&mut self, stage: &mut Stage, at_ns: i64, by: Side) {
        let [fin, fin_back, ack] = self.tcp.close(by);
        self.send(stage, at_ns, by, fin);
        self.send(stage, at_ns + ROUND_TRIP_NS, by.other(), fin_back);
        self.send(stage, at_ns + ROUND_TRIP_NS + MILLI_NS, by, ack);
    }

    pub(super) fn reset(&self, stage: &mut Stage, at_ns: i64, by: Side) {
        self.send(stage, at_ns, by, self.tcp.reset(by));
    }

    /// Data, data back, acknowledgement: two octets of MQTT each way (PINGREQ, PINGRESP), encrypted.
    pub(super) fn beat(&mut self, stage: &mut Stage, at_ns: i64, random: &mut Random) {
        self.say(stage, at_ns, Side::Client, &tls::application_data(2, random));
        self.say(stage, at_ns + ROUND_TRIP_NS, Side::Server, &tls::application_data(2, random));
        self.ack(stage, at_ns + ROUND_TRIP_NS + 2 * MILLI_NS, Side::Client);
    }

    fn say_hello(
        &mut self,
        kind: Client,
        device: &Device,
        stage: &mut Stage,
        at_ns: i64,
        (peer, port): (&Cloud, u16),
        random: &mut Random,
    ) {
        let (octets, version, alpn, ja4) = match kind {
            Client::Thing => (tls::client_hello(&peer.name, None, random), "1.2", NO_ALPN, tls::THING_JA4),
            Client::Browser => {
                (tls::browser_hello(&peer.name, random), "1.3", tls::BROWSER_ALPN.as_slice(), tls::BROWSER_JA4)
            }
        };
        if self.say(stage, at_ns, Side::Client, &octets) {
            stage.note_hello(Hello {
                device: device.name.clone(),
                at_ns,
                server_ip: peer.ip,
                server_port: port,
                sni: peer.name.clone(),
                version,
                alpn,
                ja4,
            });
        }
    }

    /// From the server's first flight on; returns when the first words have been exchanged.
    fn shake_hands_1_2(&mut self, stage: &mut Stage, mut at_ns: i64, random: &mut Random) -> i64 {
        for segment in tls::server_hello(2900, random).chunks(SEGMENT_BYTES) {
            self.say(stage, at_ns, Side::Server, segment);
            at_ns += MILLI_NS / 5;
        }
        self.ack(stage, at_ns + MILLI_NS, Side::Client);
        self.say(stage, at_ns + 30 * MILLI_NS, Side::Client, &tls::client_finish(random));
        at_ns += ROUND_TRIP_NS + 30 * MILLI_NS;
        self.say(stage, at_ns, Side::Server, &tls::server_finish(random));
        self.say(stage, at_ns + 2 * MILLI_NS, Side::Client, &tls::application_data(180, random));
        at_ns += ROUND_TRIP_NS;
        self.say(stage, at_ns, Side::Server, &tls::application_data(60, random));
        self.ack(stage, at_ns + 2 * MILLI_NS, Side::Client);
        at_ns
    }

    fn shake_hands_1_3(&mut self, stage: &mut Stage, mut at_ns: i64, random: &mut Random) -> i64 {
        for segment in tls::server_hello_1_3(2400, random).chunks(SEGMENT_BYTES) {
            self.say(stage, at_ns, Side::Server, segment);
            at_ns += MILLI_NS / 5;
        }
        // Finished and the first request go together.
        self.say(stage, at_ns + 4 * MILLI_NS, Side::Client, &tls::application_data(420, random));
        at_ns += ROUND_TRIP_NS + 4 * MILLI_NS;
        self.say(stage, at_ns, Side::Server, &tls::application_data(900, random));
        self.ack(stage, at_ns + 2 * MILLI_NS, Side::Client);
        at_ns
    }

    fn send(&self, stage: &mut Stage, at_ns: i64, side: Side, frame: Vec<u8>) -> bool {
        let (src, dst) = match side {
            Side::Client => (&self.client, &self.server),
            Side::Server => (&self.server, &self.client),
        };
        stage.send(at_ns, src, dst, frame)
    }
}

const NO_ALPN: &[&str] = &[];
