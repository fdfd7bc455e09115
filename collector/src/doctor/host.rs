//! What this host knows about an interface: `/sys/class/net`, as `ip` and `ethtool` show it.

use std::{fs, path::PathBuf};

use iotq_proto::MacAddr;
use serde::Serialize;

/// An interface's settings; what cannot be read is not known.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Host {
    /// Its own address.
    #[serde(skip)]
    pub mac: Option<MacAddr>,
    /// Whether there is a link.
    pub has_link: Option<bool>,
    /// In megabits a second. `None` for what has no speed, too.
    pub speed_mbits: Option<u32>,
    /// `full` or `half`.
    pub duplex: Option<String>,
    /// The largest packet it takes, without the link header.
    pub mtu: Option<u32>,
    /// Whether it lets frames for others through just now.
    pub is_promiscuous: Option<bool>,
    /// Whether it is this host's own loopback.
    #[serde(skip)]
    pub is_loopback: bool,
}

impl Host {
    /// As it is now.
    #[must_use]
    pub fn of(interface: &str) -> Self {
        let flags =
            read(interface, "flags").and_then(|flags| u32::from_str_radix(flags.trim_start_matches("0x"), 16).ok());
        Self {
            mac: read(interface, "address").and_then(|mac| mac.parse().ok()).filter(|mac: &MacAddr| mac.identifies()),
            has_link: read(interface, "carrier").map(|carrier| carrier == "1"),
            // -1 where it cannot be told.
            speed_mbits: read(interface, "speed").and_then(|speed| speed.parse().ok()),
            duplex: read(interface, "duplex").filter(|duplex| duplex != "unknown"),
            mtu: read(interface, "mtu").and_then(|mtu| mtu.parse().ok()),
            is_promiscuous: flags.map(|flags| flags & IFF_PROMISC != 0),
            is_loopback: flags.is_some_and(|flags| flags & IFF_LOOPBACK != 0),
        }
    }
}

/// Counters of frames that the interface could not take.
#[derive(Clone, Copy, Debug, Default)]
pub struct Statistics {
    damaged: Option<u64>,
}

impl Statistics {
    /// As they are now.
    #[must_use]
    pub fn of(interface: &str) -> Self {
        Self { damaged: read(interface, "statistics/rx_errors").and_then(|count| count.parse().ok()) }
    }

    /// Frames that were damaged, or too long, since then.
    #[must_use]
    pub fn damaged_since(self, before: Self) -> Option<u64> {
        Some(self.damaged?.saturating_sub(before.damaged?))
    }
}

fn read(interface: &str, file: &str) -> Option<String> {
    // Names of interfaces have none; pseudo-devices are not there.
    if interface.contains('/') || interface.starts_with('.') {
        return None;
    }
    let path: PathBuf = ["/sys/class/net", interface, file].iter().collect();
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// `netdevice(7)`. The file shows what is in force, also where `ip link` shows only what was typed.
const IFF_PROMISC: u32 = 0x100;
const IFF_LOOPBACK: u32 = 0x8;
