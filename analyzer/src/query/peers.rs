//! Who the other end of a device's traffic is: name, network, country, owner.

use std::{
    collections::{BTreeSet, HashMap},
    net::Ipv6Addr,
};

use super::{Analyst, AskError, Asked, naming::PeerNaming, sides::Side};
use crate::{
    enrich::{DeviceKey, Directory, registrable_domain},
    store::{Detail, DeviceColumns, PairOrder},
};

/// Everything that is known of a peer.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Peer {
    pub(super) naming: PeerNaming,
    /// Set if it is a device of the house.
    pub(super) device: Option<DeviceKey>,
    /// 0: not known.
    pub(super) asn: u32,
    pub(super) as_name: String,
    pub(super) country: String,
    pub(super) owner: String,
    pub(super) category: String,
    pub(super) is_local: bool,
}

/// What is one destination.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum By {
    Name,
    Domain,
    Asn,
    Country,
    Ip,
}

/// What a device exchanged with a destination.
#[derive(Clone, Debug)]
pub(super) struct Exchanged {
    pub(super) device: DeviceKey,
    pub(super) destination: String,
    pub(super) name_source: &'static str,
    /// Of the address with most packets.
    pub(super) peer: Peer,
    pub(super) ips: BTreeSet<Ipv6Addr>,
    pub(super) packets: u64,
    pub(super) wire_bytes: u64,
    pub(super) first_at_ns: i64,
    pub(super) last_at_ns: i64,
    /// Packets with payload: encrypted ones, and all.
    pub(super) encrypted: (u64, u64),
}

/// Packets with payload of a device and an address: encrypted ones, and all.
pub(super) type Encrypted = HashMap<(DeviceColumns, Ipv6Addr), (u64, u64)>;

impl Analyst {
    /// Who is at this address, as far as `asker` knows.
    pub(super) fn peer(&self, asked: &Asked, asker: DeviceKey, device: Option<DeviceKey>, ip: Ipv6Addr) -> Peer {
        let naming = self.peer_naming(asked, Some(asker), device, ip);
        let lists = self.enrichment();
        let network = lists.networks.lookup(ip.to_canonical());
        // Only names from the wire say whose they are.
        let owner =
            Some(naming.name.as_str()).filter(|_| naming.last_at_ns.is_some()).and_then(|name| lists.owners.find(name));
        let owner = owner.or_else(|| network.as_ref().and_then(|network| lists.owners.of_asn(network.asn)));
        Peer {
            device,
            asn: network.as_ref().map_or(0, |network| network.asn),
            as_name: network.as_ref().map(|network| network.as_name.to_owned()).unwrap_or_default(),
            country: network.as_ref().and_then(|network| network.country).unwrap_or_default().to_owned(),
            owner: owner.as_ref().map(|owner| owner.owner.to_owned()).unwrap_or_default(),
            category: owner.as_ref().map(|owner| owner.category.to_owned()).unwrap_or_default(),
            is_local: asked.directory.identity().is_local(ip.to_canonical()) || is_group(ip),
            naming,
        }
    }

    /// How much of what devices exchanged with addresses was encrypted.
    pub(super) async fn encrypted(&self, asked: &Asked) -> Result<Encrypted, AskError> {
        let rows = self.store.encrypted(&asked.scope).await?;
        let parts = rows
            .into_iter()
            .map(|row| (((row.mac, row.vlan_id, row.ip), row.peer_ip), (row.encrypted, row.packets)))
            .collect();
        Ok(parts)
    }

    /// What devices exchanged with whom, by how many packets.
    pub(super) fn exchanged(&self, asked: &Asked, by: By, sides: Vec<Side>, encrypted: &Encrypted) -> Vec<Exchanged> {
        let mut found = Vec::<Exchanged>::new();
        let mut known = HashMap::<(DeviceKey, String), usize>::new();
        for row in sides {
            let device = row.device;
            let peer = self.peer(asked, device, row.peer_device, row.peer_ip);
            let (key, destination, name_source) = peer.destination(by, row.peer_ip);
            let at = *known.entry((device, key)).or_insert_with(|| {
                found.push(Exchanged {
                    device,
                    destination,
                    name_source,
                    peer,
                    ips: BTreeSet::new(),
                    packets: 0,
                    wire_bytes: 0,
                    first_at_ns: i64::MAX,
                    last_at_ns: i64::MIN,
                    encrypted: (0, 0),
                });
                found.len() - 1
            });
            let Some(sum) = found.get_mut(at) else { continue };
            if sum.ips.len() < MAX_IPS {
                sum.ips.insert(row.peer_ip);
            }
            sum.packets += row.packets;
            sum.wire_bytes += row.wire_bytes;
            sum.first_at_ns = sum.first_at_ns.min(row.first_at_ns);
            sum.last_at_ns = sum.last_at_ns.max(row.last_at_ns);
            let part = encrypted.get(&(device.columns(), row.peer_ip)).copied().unwrap_or_default();
            sum.encrypted = (sum.encrypted.0 + part.0, sum.encrypted.1 + part.1);
        }
        found.sort_by_key(|sum| std::cmp::Reverse(sum.packets));
        found
    }

    /// What devices exchanged with devices and addresses, a side each, by how many packets.
    pub(super) async fn by_address(&self, asked: &Asked) -> Result<Vec<Side>, AskError> {
        let mut sums = Vec::<Side>::new();
        self.each_side(&asked.directory, &asked.scope, Detail::Times, PairOrder::Any, |side, _| sums.push(side))
            .await?;
        let same = |side: &Side| (side.peer_ip, side.device, side.peer_device);
        sums.sort_unstable_by_key(same);
        sums.dedup_by(|side, sum| {
            let is_same = same(side) == same(sum);
            if is_same {
                sum.add(side);
            }
            is_same
        });
        let order = |sum: &Side| (std::cmp::Reverse(sum.packets), sum.device.columns(), sum.peer_ip);
        sums.sort_by_cached_key(order);
        Ok(sums)
    }
}

impl Peer {
    /// What makes it one destination, what that is called, and who says so.
    pub(super) fn destination(&self, by: By, ip: Ipv6Addr) -> (String, String, &'static str) {
        let address = || (ip.to_canonical().to_string(), "address");
        let (text, source) = match by {
            By::Ip => address(),
            By::Asn | By::Country if self.is_local || self.device.is_some() => ("local".to_owned(), "address"),
            By::Asn if self.asn == 0 => ("unknown".to_owned(), ""),
            By::Asn if self.as_name.is_empty() => (format!("AS{}", self.asn), "asn"),
            By::Asn => (self.as_name.clone(), "asn"),
            By::Country if self.country.is_empty() => ("unknown".to_owned(), ""),
            By::Country => (self.country.clone(), "country"),
            By::Name | By::Domain => {
                let naming = &self.naming;
                let domain = (by == By::Domain && naming.last_at_ns.is_some())
                    .then(|| registrable_domain(&naming.name))
                    .flatten();
                match (domain, self.device) {
                    (Some(domain), _) => (domain.to_owned(), naming.source),
                    (None, Some(key)) => {
                        // One device is one destination, whatever it is called.
                        let shown = if naming.name.is_empty() { key.to_string() } else { naming.name.clone() };
                        let source = match (naming.name.is_empty(), key) {
                            (false, _) => naming.source,
                            (true, DeviceKey::Mac(..)) => "mac",
                            (true, DeviceKey::Ip(_)) => "address",
                        };
                        return (key.to_string(), shown, source);
                    }
                    (None, None) if naming.name.is_empty() => address(),
                    (None, None) => (naming.name.clone(), naming.source),
                }
            }
        };
        (text.clone(), text, source)
    }
}

/// Neither in the house nor a group, a broadcast or nobody.
pub(super) fn is_outside(directory: &Directory, ip: Ipv6Addr) -> bool {
    !is_group(ip) && !directory.identity().is_local(ip.to_canonical())
}

/// Broadcast, multicast, loopback, nobody.
fn is_group(ip: Ipv6Addr) -> bool {
    match ip.to_canonical() {
        std::net::IpAddr::V4(ip) => ip.is_multicast() || ip.is_broadcast() || ip.is_unspecified() || ip.is_loopback(),
        std::net::IpAddr::V6(ip) => ip.is_multicast() || ip.is_unspecified() || ip.is_loopback(),
    }
}

/// Adds an address of a device, if it is one: of more than are told the lowest are kept.
pub(super) fn add_ip(ips: &mut BTreeSet<Ipv6Addr>, ip: Ipv6Addr) {
    if !ip.to_canonical().is_unspecified() && ips.insert(ip) && ips.len() > MAX_IPS {
        ips.pop_last();
    }
}

/// Of one device's or destination's addresses so many are told.
const MAX_IPS: usize = 50;
