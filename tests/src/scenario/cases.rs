//! Small scenarios, each with one thing in it that is easily got wrong.

mod addresses;
mod beats;
mod mirrors;
mod names;

use std::net::{IpAddr, Ipv4Addr};

use iotq_proto::MacAddr;

pub use addresses::{address_changes, behind_a_repeater, privacy_addresses};
pub use beats::{calls_again, clock_goes_back, missed_beats, period_changes};
pub use mirrors::{one_way, two_mirrors};
pub use names::{answered_to_another, encrypted_dns, named_late};

use super::{
    Cloud, Description, Device, Keepalive, KeepaliveKind, ROUND_TRIP_NS, Scenario, Span, household::router,
    stage::Stage,
};
use crate::{
    random::Random,
    traffic::{
        Host,
        tcp::{Side, TcpTalk},
    },
};

/// The house of the small scenarios: a router that only answers, and some devices that
/// all have names.
fn house(devices: Vec<Device>) -> Description {
    let router = Device { behaviours: Vec::new(), ..router() };
    Description { router, router_link_name: None, broadcast: Ipv4Addr::new(192, 168, 7, 255), devices }
}

/// A device that does nothing by itself.
fn device(name: &str, last: u8) -> Device {
    Device {
        name: name.into(),
        named_by_owner: true,
        host_name: name.to_lowercase().replace(' ', "-"),
        groups: Vec::new(),
        mac: MacAddr::from_octets([0, 0, 0x5e, 0, 0x53, last]),
        ip: Ipv4Addr::new(192, 168, 7, last),
        ipv6: Vec::new(),
        behaviours: Vec::new(),
    }
}

/// What each device does by itself, and what `direct` says.
fn directed(house: Description, span: Span, direct: impl FnOnce(&[Device], &mut Stage, &mut Random)) -> Scenario {
    house.directed(span, SEED, direct)
}

/// A device whose peers are called through this.
struct Peer {
    cloud: Cloud,
    port: u16,
}

impl Peer {
    fn new(name: &str, last: u8, port: u16) -> Self {
        Self { cloud: Cloud::new(name, Ipv4Addr::new(203, 0, 113, last)), port }
    }

    fn to(&self) -> (&Cloud, u16) {
        (&self.cloud, self.port)
    }

    /// Notes a keepalive of a device with it.
    fn note(&self, stage: &mut Stage, device: &Device, kind: KeepaliveKind, period_ns: i64, beats_ns: Vec<i64>) {
        stage.note_keepalive(Keepalive {
            device: device.name.clone(),
            peer_name: self.cloud.name.clone(),
            peer_ip: self.cloud.ip,
            peer_port: self.port,
            kind,
            period_ns,
            beats_ns,
        });
    }
}

/// A connection with nothing in it that has a name: no TLS, just octets.
struct Plain {
    client: Host,
    server: Host,
    tcp: TcpTalk,
}

impl Plain {
    fn new(client: Host, stage: &Stage, (ip, port): (IpAddr, u16), random: &mut Random) -> Self {
        let server = stage.outside(ip);
        Self { client, server, tcp: TcpTalk::new(client, server, port, random) }
    }

    fn open(&mut self, stage: &mut Stage, at_ns: i64) {
        let [syn, syn_ack, ack] = self.tcp.open();
        stage.send(at_ns, &self.client, &self.server, syn);
        stage.send(at_ns + ROUND_TRIP_NS, &self.server, &self.client, syn_ack);
        stage.send(at_ns + ROUND_TRIP_NS + 1_000_000, &self.client, &self.server, ack);
    }

    /// Ten octets there and back, and an acknowledgement.
    fn beat(&mut self, stage: &mut Stage, at_ns: i64) {
        let said = self.tcp.say(Side::Client, b"are you up");
        stage.send(at_ns, &self.client, &self.server, said);
        let said = self.tcp.say(Side::Server, b"yes I am..");
        stage.send(at_ns + ROUND_TRIP_NS, &self.server, &self.client, said);
        let ack = self.tcp.ack(Side::Client);
        stage.send(at_ns + ROUND_TRIP_NS + 2_000_000, &self.client, &self.server, ack);
    }
}

/// All of them are of one seed: what they test is not a matter of chance.
const SEED: u64 = 7;

#[cfg(test)]
mod tests;
