//! What devices and their peers are called in answers.

use std::net::Ipv6Addr;

use super::{Analyst, Asked};
use crate::enrich::{DeviceKey, Naming};

/// What the other end of a device's traffic is called.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct PeerNaming {
    /// Empty: it has no name.
    pub(super) name: String,
    /// Who says so: `user`, `dhcp`, `sni`, `dns`, …; empty: nobody.
    pub(super) source: &'static str,
    /// When it was last said; `None`: it is not from the wire.
    pub(super) last_at_ns: Option<i64>,
}

impl Analyst {
    pub(super) fn naming(&self, asked: &Asked, key: DeviceKey) -> Naming {
        asked.directory.naming(key, &asked.names, &self.oui)
    }

    /// The device's id and name; both empty for none.
    pub(super) fn id_and_name(&self, asked: &Asked, key: Option<DeviceKey>) -> (String, String) {
        match key {
            Some(key) => (key.to_string(), self.naming(asked, key).name),
            None => (String::new(), String::new()),
        }
    }

    /// What `asker` talks to at this address: a device by its name, anybody else by
    /// the user's name for the address, else by what the wire tells.
    pub(super) fn peer_naming(
        &self,
        asked: &Asked,
        asker: Option<DeviceKey>,
        peer: Option<DeviceKey>,
        ip: Ipv6Addr,
    ) -> PeerNaming {
        if let Some(key) = peer {
            let naming = self.naming(asked, key);
            if !naming.name.is_empty() {
                return PeerNaming { name: naming.name, source: naming.source, last_at_ns: None };
            }
        }
        if let Some(named) = asked.names.of_ip(ip.to_canonical()).filter(|named| !named.name.is_empty()) {
            return PeerNaming { name: named.name.clone(), source: "user", last_at_ns: None };
        }
        match asked.peers.find(asker, ip) {
            Some(found) => {
                let last_at_ns = Some(found.last_at_ns);
                PeerNaming { name: found.name.to_owned(), source: found.source, last_at_ns }
            }
            None => PeerNaming::default(),
        }
    }
}
