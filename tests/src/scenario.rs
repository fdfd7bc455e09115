//! A described scenario: devices and what each of them does, played into frames
//! in the order of time, with what a right answer has to say about them.
//!
//! The expectations are noted by those who send, from the description; nothing
//! here reads a frame back. Time is an argument: there is no clock.

mod behaviour;
pub mod cases;
mod day;
mod expected;
mod household;
mod stage;
mod talk;

use std::net::{Ipv4Addr, Ipv6Addr};

use iotq_proto::MacAddr;

pub use behaviour::{Behaviour, Browse, Cloud, KeepOpen, OddEnds, Stream};
pub use day::day;
pub use expected::{
    Asked, Attempts, CheckIns, Expected, ExpectedDevice, Hello, Keepalive, KeepaliveKind, NameSource, PeerName,
    Refused, SelfNamed, Sides,
};
pub use household::household;

use crate::{
    pcap_file::{ByteOrder, ETHERNET, PcapWriter, Precision},
    random::Random,
    scenario::stage::Stage,
    traffic::{Host, link_local},
};

/// One minute.
pub const MINUTE_NS: i64 = 60 * SECOND_NS;
/// One second.
pub const SECOND_NS: i64 = 1_000_000_000;
/// One millisecond.
pub const MILLI_NS: i64 = 1_000_000;
/// From the house to a cloud and back: a usual way over a continent.
const ROUND_TRIP_NS: i64 = 84 * MILLI_NS;

/// A stretch of time, half-open, in nanoseconds since 1970.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Span {
    /// Its first instant.
    pub since_ns: i64,
    /// The first instant after it.
    pub until_ns: i64,
}

impl Span {
    /// Whether an instant lies in it.
    #[must_use]
    pub fn contains(&self, at_ns: i64) -> bool {
        (self.since_ns..self.until_ns).contains(&at_ns)
    }

    /// How long it lasts.
    #[must_use]
    pub fn duration_ns(&self) -> i64 {
        self.until_ns - self.since_ns
    }
}

/// Something in the house that has an address.
#[derive(Clone, Debug)]
pub struct Device {
    /// What its owner calls it; where nobody gave it a name, what it calls itself.
    pub name: String,
    /// Whether its owner did.
    pub named_by_owner: bool,
    /// What it calls itself, in DHCP and mDNS.
    pub host_name: String,
    /// Groups its owner put it in.
    pub groups: Vec<String>,
    /// Its MAC address.
    pub mac: MacAddr,
    /// Its fixed address.
    pub ip: Ipv4Addr,
    /// Its global IPv6 addresses, each used for as long as the others.
    pub ipv6: Vec<Ipv6Addr>,
    /// What it does.
    pub behaviours: Vec<Behaviour>,
}

impl Device {
    /// It, as an end of a packet.
    #[must_use]
    pub fn host(&self) -> Host {
        Host::new(self.mac, self.ip)
    }

    /// It, by the IPv6 address it uses at this time; `None` if it has none.
    #[must_use]
    pub fn ipv6_at(&self, span: Span, at_ns: i64) -> Option<Host> {
        let used = |(index, _): &(usize, &Ipv6Addr)| self.ipv6_from_ns(span, *index) + SECOND_NS * 15 <= at_ns;
        let (_, ip) = self.ipv6.iter().enumerate().rfind(used)?;
        Some(Host::new(self.mac, *ip))
    }

    /// When it takes the IPv6 address of this number.
    fn ipv6_from_ns(&self, span: Span, index: usize) -> i64 {
        let share = span.duration_ns() / i64::try_from(self.ipv6.len().max(1)).unwrap_or(1);
        span.since_ns + share * i64::try_from(index).unwrap_or(0)
    }
}

/// What there is, before anything happens.
#[derive(Clone, Debug)]
pub struct Description {
    /// The network's router: DHCP server, name server, and the MAC in front of
    /// all that lies outside.
    pub router: Device,
    /// What its owner calls the router's link-local address, where it is a device of its
    /// own: the MAC before it stands for the whole Internet.
    pub router_link_name: Option<String>,
    /// The network's broadcast address.
    pub broadcast: Ipv4Addr,
    /// Everything else.
    pub devices: Vec<Device>,
}

/// A frame on the wire, captured whole.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Frame {
    /// When the mirror port showed it; a whole number of microseconds, so that
    /// every capture format can say it.
    pub at_ns: i64,
    /// From the destination MAC on, without the check sequence.
    pub octets: Vec<u8>,
}

/// A capture file that holds these frames.
///
/// # Panics
/// If a time cannot be written: the format ends in 2106.
#[must_use]
pub fn capture_of(frames: &[Frame]) -> Vec<u8> {
    let mut writer =
        PcapWriter::new(Vec::new(), ETHERNET, Precision::Micro, ByteOrder::Little).expect("a vector takes all");
    for frame in frames {
        writer.write(frame.at_ns, &frame.octets).expect("a generated time can be written");
    }
    writer.finish().expect("a vector takes all")
}

/// What happened, and what has to be found in it.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What it was made from.
    pub description: Description,
    /// In the order of time.
    pub frames: Vec<Frame>,
    /// What right answers say.
    pub expected: Expected,
}

impl Description {
    /// Lets everybody do what is described, within `span`.
    #[must_use]
    pub fn play(self, span: Span, seed: u64) -> Scenario {
        self.directed(span, seed, |_, _, _| {})
    }

    /// The same, and then what `direct` makes of the devices.
    fn directed(self, span: Span, seed: u64, direct: impl FnOnce(&[Device], &mut Stage, &mut Random)) -> Scenario {
        let mut stage = Stage::new(&self, span);
        let random = Random::new(seed);
        for device in self.devices.iter().chain([&self.router]) {
            for (index, behaviour) in device.behaviours.iter().enumerate() {
                let mut random = random.fork(&format!("{}/{index}", device.name));
                behaviour.play(device, &mut stage, &mut random);
            }
        }
        direct(&self.devices, &mut stage, &mut random.fork("directed"));
        let (frames, expected) = stage.finish();
        Scenario { description: self, frames, expected }
    }

    /// The names file that goes with it, for `iotq-analyzer serve --names`.
    ///
    /// One device a line: MAC or address, name, and if wanted groups separated by
    /// `;`. Spaces round a field do not count; `#` begins a comment.
    #[must_use]
    pub fn names_file(&self) -> String {
        let mut text = String::from("# mac-or-address, name, group[;group…]\n");
        for device in self.devices.iter().filter(|device| device.named_by_owner) {
            text.push_str(&format!("{}, {}, {}\n", device.mac, device.name, device.groups.join(";")));
        }
        // By address: behind the router's MAC is the whole Internet.
        text.push_str(&format!("{}, {} # in no group\n", self.router.ip, self.router.name));
        if let Some(name) = &self.router_link_name {
            text.push_str(&format!("{}, {name}\n", link_local(self.router.mac)));
        }
        text
    }
}
