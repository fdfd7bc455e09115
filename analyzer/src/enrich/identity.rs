//! Which endpoints are devices, and which device they are.
//!
//! A device is known by its MAC (and VLAN), so that all its addresses are one
//! device. Behind a router's MAC everybody else's packets come too: there the
//! address has to do. The rules are in ARCHITECTURE.md, "Devices".

use std::{
    collections::{HashMap, HashSet},
    fmt,
    net::{IpAddr, Ipv6Addr},
};

use iotq_proto::{MacAddr, VlanId};
use ipnet::IpNet;

use crate::store::{
    AddressRange, DeviceColumns, IdentityColumns, IdentityRow, MacRow, OnLinkRow, PlacedRow, ReadError, Store,
};

/// What a device is known by.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum DeviceKey {
    /// Its MAC, in a VLAN or (0xffff) none.
    Mac(MacAddr, VlanId),
    /// Its address.
    Ip(IpAddr),
}

impl DeviceKey {
    /// From the three columns; `None` where they say "no device".
    #[must_use]
    pub fn from_columns(mac: u64, vlan_id: u16, ip: Ipv6Addr) -> Option<Self> {
        match MacAddr::from_u64(mac)? {
            MacAddr::NONE if ip.is_unspecified() => None,
            MacAddr::NONE => Some(Self::Ip(ip.to_canonical())),
            mac => Some(Self::Mac(mac, VlanId::from_u32(vlan_id.into()).unwrap_or_default())),
        }
    }

    /// As the three columns.
    #[must_use]
    pub fn columns(self) -> DeviceColumns {
        match self {
            Self::Mac(mac, vlan) => (mac.as_u64(), vlan.as_u16(), Ipv6Addr::UNSPECIFIED),
            Self::Ip(ip) => (0, VlanId::UNTAGGED.as_u16(), mapped(ip)),
        }
    }

    /// The MAC, if that is what it is known by.
    #[must_use]
    pub fn mac(self) -> Option<MacAddr> {
        match self {
            Self::Mac(mac, _) => Some(mac),
            Self::Ip(_) => None,
        }
    }
}

/// The device's id: `00:00:5e:00:53:01`, `00:00:5e:00:53:01@10` in VLAN 10, or an
/// address.
impl fmt::Display for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mac(mac, vlan) => match vlan.id() {
                Some(id) => write!(f, "{mac}@{id}"),
                None => mac.fmt(f),
            },
            Self::Ip(ip) => ip.fmt(f),
        }
    }
}

/// The facts that decide, as they are stored now.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    columns: IdentityColumns,
    /// The same facts by collector: each packet's devices are told with them.
    links: HashMap<String, Link>,
}

/// What is known of the link at a collector.
#[derive(Clone, Debug, Default)]
struct Link {
    routers: HashSet<u64>,
    half_tagged: HashSet<u64>,
    /// MAC (0: any) and addresses.
    on_link: Vec<(u64, AddressRange)>,
    placed: HashMap<Ipv6Addr, (MacAddr, VlanId)>,
}

impl Identity {
    /// Asks the store.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn load(store: &Store, local_nets: &[IpNet]) -> Result<Self, ReadError> {
        let local_nets: Vec<AddressRange> = local_nets.iter().map(range_of).collect();
        let (senders, links, half_tagged, placed) = tokio::try_join!(
            store.identity_facts(&local_nets),
            store.on_link_facts(&local_nets),
            store.half_tagged(),
            store.placed()
        )?;
        Ok(Self::from_facts(local_nets, senders, &links, half_tagged, placed))
    }

    fn from_facts(
        local_nets: Vec<AddressRange>,
        senders: Vec<IdentityRow>,
        links: &[OnLinkRow],
        half_tagged: Vec<MacRow>,
        placed: Vec<PlacedRow>,
    ) -> Self {
        let mut prefixes = HashMap::<&str, Vec<AddressRange>>::new();
        let mut clients = HashSet::new();
        let mut on_link = Vec::new();
        for link in links {
            match link.kind.as_str() {
                "ra_prefix" => {
                    let range = prefix_range(link.ip, link.prefix_len);
                    prefixes.entry(&link.collector).or_default().push(range);
                    on_link.push((link.collector.clone(), 0, range.0, range.1));
                }
                "dhcp_client" => {
                    clients.insert((link.collector.as_str(), link.mac));
                    on_link.push((link.collector.clone(), link.mac, Ipv6Addr::UNSPECIFIED, LAST_ADDRESS));
                }
                _ => on_link.push((link.collector.clone(), link.mac, link.ip, link.ip)),
            }
        }
        let mut routers = HashSet::new();
        for sender in senders {
            if clients.contains(&(sender.collector.as_str(), sender.mac)) {
                continue;
            }
            let is_router = sender.ipv4_addresses > 0
                || match prefixes.get(sender.collector.as_str()) {
                    // The link says which prefixes are on it.
                    Some(prefixes) => sender.ipv6_addresses.iter().any(|ip| !is_within(*ip, prefixes)),
                    // It does not: hosts are in one /64 (RFC 4291, section 2.5.4), a router's peers are in many.
                    None => sender.ipv6_networks.len() > 1,
                };
            if is_router {
                routers.insert((sender.collector, sender.mac));
            } else {
                for network in sender.ipv6_networks {
                    let range = prefix_range(network, 64);
                    on_link.push((sender.collector.clone(), sender.mac, range.0, range.1));
                }
            }
        }
        let half_tagged: HashSet<_> = half_tagged.into_iter().map(|row| (row.collector, row.mac)).collect();
        let placed: Vec<_> = placed
            .into_iter()
            .filter(|row| !routers.contains(&(row.collector.clone(), row.mac)))
            .map(|row| (row.collector, row.ip, row.mac, row.vlan_id))
            .collect();
        let columns = IdentityColumns {
            local_nets,
            routers: routers.into_iter().collect(),
            half_tagged: half_tagged.into_iter().collect(),
            on_link,
            placed,
        };
        Self { links: links_of(&columns), columns }
    }

    /// For queries.
    #[must_use]
    pub fn columns(&self) -> &IdentityColumns {
        &self.columns
    }

    /// Whether the address is in a local network.
    #[must_use]
    pub fn is_local(&self, ip: IpAddr) -> bool {
        is_within(mapped(ip), &self.columns.local_nets)
    }

    /// Whose this endpoint is: the same rule as in `sql/parts/device.sql`.
    #[must_use]
    pub fn device_of(&self, collector: &str, vlan: VlanId, mac: MacAddr, ip: IpAddr) -> Option<DeviceKey> {
        let link = self.links.get(collector);
        let place = link.filter(|_| mac == MacAddr::NONE).and_then(|link| link.placed.get(&mapped(ip)));
        let (mac, vlan) = place.copied().unwrap_or((mac, vlan));
        let is_local = self.is_local(ip);
        if mac.identifies()
            && !link.is_some_and(|link| link.routers.contains(&mac.as_u64()))
            && (is_local || ip.is_unspecified() || link.is_some_and(|link| link.has(mac, ip)))
        {
            let is_half_tagged = link.is_some_and(|link| link.half_tagged.contains(&mac.as_u64()));
            let tells_nothing = vlan.id() == Some(0) || is_half_tagged;
            return Some(DeviceKey::Mac(mac, if tells_nothing { VlanId::UNTAGGED } else { vlan }));
        }
        is_local.then_some(DeviceKey::Ip(ip))
    }
}

impl Link {
    fn has(&self, mac: MacAddr, ip: IpAddr) -> bool {
        let ip = mapped(ip);
        let mut on_link = self.on_link.iter().filter(|(of_mac, _)| *of_mac == 0 || *of_mac == mac.as_u64());
        on_link.any(|(_, (first, last))| (*first..=*last).contains(&ip))
    }
}

fn links_of(columns: &IdentityColumns) -> HashMap<String, Link> {
    let mut links = HashMap::<String, Link>::new();
    for (collector, mac) in &columns.routers {
        links.entry(collector.clone()).or_default().routers.insert(*mac);
    }
    for (collector, mac) in &columns.half_tagged {
        links.entry(collector.clone()).or_default().half_tagged.insert(*mac);
    }
    for (collector, mac, first, last) in &columns.on_link {
        links.entry(collector.clone()).or_default().on_link.push((*mac, (*first, *last)));
    }
    for (collector, ip, mac, vlan) in &columns.placed {
        let Some(mac) = MacAddr::from_u64(*mac) else { continue };
        let vlan = VlanId::from_u32((*vlan).into()).unwrap_or_default();
        links.entry(collector.clone()).or_default().placed.insert(*ip, (mac, vlan));
    }
    links
}

/// First and last address, IPv4 as `::ffff:0:0/96`.
#[must_use]
pub fn range_of(net: &IpNet) -> AddressRange {
    (mapped(net.network()), mapped(net.broadcast()))
}

/// IPv4 as `::ffff:0:0/96`.
#[must_use]
pub fn mapped(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

fn prefix_range(ip: Ipv6Addr, prefix_len: u8) -> AddressRange {
    let mask = u128::MAX.checked_shr(prefix_len.into()).unwrap_or(0);
    let bits = u128::from(ip);
    (Ipv6Addr::from(bits & !mask), Ipv6Addr::from(bits | mask))
}

fn is_within(ip: Ipv6Addr, ranges: &[AddressRange]) -> bool {
    ranges.iter().any(|(first, last)| (*first..=*last).contains(&ip))
}

const LAST_ADDRESS: Ipv6Addr = Ipv6Addr::new(0xffff, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff);

#[cfg(test)]
mod tests {
    use super::*;

    fn nets() -> Vec<AddressRange> {
        crate::config::DEFAULT_LOCAL_NETS.iter().map(|net| range_of(&net.parse().unwrap())).collect()
    }

    fn sender(mac: u64, ipv4_addresses: u64, ipv6: &[&str]) -> IdentityRow {
        let ipv6_addresses: Vec<Ipv6Addr> = ipv6.iter().map(|ip| ip.parse().unwrap()).collect();
        let mut ipv6_networks: Vec<_> = ipv6_addresses.iter().map(|ip| prefix_range(*ip, 64).0).collect();
        ipv6_networks.dedup();
        IdentityRow { collector: "c".into(), mac, ipv4_addresses, ipv6_networks, ipv6_addresses }
    }

    fn link(kind: &str, mac: u64, ip: &str, prefix_len: u8) -> OnLinkRow {
        OnLinkRow { kind: kind.into(), collector: "c".into(), mac, ip: ip.parse().unwrap(), prefix_len }
    }

    fn device(identity: &Identity, mac: u64, ip: &str) -> Option<String> {
        let mac = MacAddr::from_u64(mac).unwrap();
        identity.device_of("c", VlanId::UNTAGGED, mac, ip.parse().unwrap()).map(|key| key.to_string())
    }

    #[test]
    fn behind_a_router_the_address_is_the_device() {
        let identity = Identity::from_facts(nets(), vec![sender(1, 3, &[])], &[], vec![], vec![]);
        assert_eq!(device(&identity, 1, "192.168.1.1").as_deref(), Some("192.168.1.1"));
        assert_eq!(device(&identity, 1, "198.51.100.7"), None);
        assert_eq!(device(&identity, 2, "192.168.1.2").as_deref(), Some("00:00:00:00:00:02"));
        // Never sent, so no router by the rule; but the address is not in the house.
        assert_eq!(device(&identity, 3, "198.51.100.7"), None);
    }

    #[test]
    fn without_advertisements_one_network_is_on_link() {
        let host = sender(1, 0, &["2001:db8::1", "2001:db8::2"]);
        let router = sender(2, 0, &["2001:db8:1::1", "2001:db8:2::1"]);
        let identity = Identity::from_facts(nets(), vec![host, router], &[], vec![], vec![]);
        assert_eq!(device(&identity, 1, "2001:db8::1").as_deref(), Some("00:00:00:00:00:01"));
        assert_eq!(device(&identity, 2, "2001:db8:1::1"), None);
    }

    #[test]
    fn advertised_prefixes_are_what_is_on_link() {
        let links = [link("ra_prefix", 9, "2001:db8::", 64)];
        let senders = vec![sender(1, 0, &["2001:db8::1"]), sender(2, 0, &["2001:db8:1::1"])];
        let identity = Identity::from_facts(nets(), senders, &links, vec![], vec![]);
        assert_eq!(device(&identity, 1, "2001:db8::1").as_deref(), Some("00:00:00:00:00:01"));
        assert_eq!(device(&identity, 2, "2001:db8:1::1"), None);
    }

    #[test]
    fn a_dhcp_client_is_a_device_whatever_its_address() {
        let links = [link("dhcp_client", 1, "::", 128)];
        let identity = Identity::from_facts(nets(), vec![sender(1, 1, &[])], &links, vec![], vec![]);
        assert_eq!(device(&identity, 1, "198.51.100.7").as_deref(), Some("00:00:00:00:00:01"));
    }

    #[test]
    fn a_vlan_seen_in_one_direction_only_is_left_out() {
        let half = vec![MacRow { collector: "c".into(), mac: 1 }];
        let identity = Identity::from_facts(nets(), vec![], &[], half, vec![]);
        let ten = VlanId::from_tci(10);
        let ip = "192.168.1.1".parse().unwrap();
        let id = |mac| identity.device_of("c", ten, MacAddr::from_u64(mac).unwrap(), ip).unwrap().to_string();
        assert_eq!((id(1).as_str(), id(2).as_str()), ("00:00:00:00:00:01", "00:00:00:00:00:02@10"));
    }

    #[test]
    fn a_frame_without_mac_is_placed_by_those_with_one() {
        let placed =
            PlacedRow { collector: "c".into(), ip: "::ffff:192.168.1.1".parse().unwrap(), mac: 1, vlan_id: 0xffff };
        let identity = Identity::from_facts(nets(), vec![], &[], vec![], vec![placed]);
        assert_eq!(device(&identity, 0, "192.168.1.1").as_deref(), Some("00:00:00:00:00:01"));
        assert_eq!(device(&identity, 0, "192.168.1.2").as_deref(), Some("192.168.1.2"));
    }

    #[test]
    fn groups_and_missing_macs_leave_the_address() {
        let identity = Identity::from_facts(nets(), vec![], &[], vec![], vec![]);
        assert_eq!(device(&identity, 0, "192.168.1.1").as_deref(), Some("192.168.1.1"));
        assert_eq!(device(&identity, 0xffff_ffff_ffff, "192.168.1.1").as_deref(), Some("192.168.1.1"));
        assert_eq!(device(&identity, 0, "0.0.0.0"), None);
    }
}
