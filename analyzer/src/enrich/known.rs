//! What devices call themselves on the network, and what they were given: by the
//! user with a command, by a lease file. As plain rows from the store.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap},
    net::IpAddr,
};

use iotq_proto::{MacAddr, VlanId};

use super::{DeviceKey, about::clean};
use crate::store::{GivenRow, SaidRow};

/// A name, and who says so.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct KnownName<'a> {
    /// Never empty.
    pub name: &'a str,
    /// `user`, `lease`, `dhcp`, `mdns` or `netbios`.
    pub source: &'static str,
    /// When it was last confirmed.
    pub at_ns: i64,
}

/// All rows, by device.
///
/// What a device says belongs to its MAC, wherever its address goes. Only what was
/// said on links without MACs belongs to the address alone.
#[derive(Debug, Default)]
pub struct KnownNames {
    by_mac: HashMap<MacAddr, Vec<Said>>,
    /// Said by whoever had the address; with the MAC, if there was one.
    by_ip: HashMap<IpAddr, Vec<Said>>,
    /// The newest first.
    given: HashMap<GivenKey, Vec<Given>>,
}

#[derive(Clone, Debug)]
struct Said {
    kind: Kind,
    mac: MacAddr,
    vlan: VlanId,
    ip: IpAddr,
    text: String,
    last_at_ns: i64,
}

#[derive(Clone, Debug)]
struct Given {
    source: &'static str,
    name: String,
    groups: Vec<String>,
    set_at_ns: i64,
}

/// What a given name belongs to.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum GivenKey {
    /// A MAC, in one VLAN or in any.
    Mac(MacAddr, Option<u16>),
    Ip(IpAddr),
}

impl GivenKey {
    /// From a device's id.
    fn from_id(id: &str) -> Option<Self> {
        if let Ok(ip) = id.parse::<IpAddr>() {
            return Some(Self::Ip(ip.to_canonical()));
        }
        match id.split_once('@') {
            Some((mac, vlan)) => Some(Self::Mac(mac.parse().ok()?, Some(vlan.parse().ok()?))),
            None => Some(Self::Mac(id.parse().ok()?, None)),
        }
    }
}

/// What a text is. In the order of what names best.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Kind {
    Dhcp,
    Mdns,
    Netbios,
    /// Tells what a device is, not what it is called.
    Trait(&'static str),
}

impl Kind {
    fn from_label(label: &str) -> Option<Self> {
        Some(match label {
            "dhcp_host_name" => Self::Dhcp,
            "mdns_host_name" => Self::Mdns,
            "netbios_name" => Self::Netbios,
            "dhcp_vendor_class" => Self::Trait("dhcp"),
            "mdns_service" => Self::Trait("mdns"),
            "ssdp_server" => Self::Trait("ssdp"),
            // Lease times and addresses are no texts about the device.
            _ => return None,
        })
    }

    const fn source(self) -> &'static str {
        match self {
            Self::Dhcp => "dhcp",
            Self::Mdns => "mdns",
            Self::Netbios => "netbios",
            Self::Trait(source) => source,
        }
    }
}

impl KnownNames {
    /// From what the store has.
    #[must_use]
    pub fn new(said: Vec<SaidRow>, given: Vec<GivenRow>) -> Self {
        let mut known = Self::default();
        for row in said {
            known.add_said(row);
        }
        for row in given {
            let source = match row.source.as_str() {
                "user" => "user",
                "lease" => "lease",
                _ => continue,
            };
            let Some(key) = GivenKey::from_id(&row.device) else { continue };
            let given = Given { source, name: row.name, groups: row.groups, set_at_ns: row.set_at_ns };
            known.given.entry(key).or_default().push(given);
        }
        for given in known.given.values_mut() {
            given.sort_by_key(|given| Reverse(given.set_at_ns));
        }
        known
    }

    /// What the user called the device with a command.
    #[must_use]
    pub fn user_name_of(&self, key: DeviceKey, ips: &[IpAddr]) -> Option<KnownName<'_>> {
        self.given_name(key, ips, "user")
    }

    /// What a lease file calls it, else what it calls itself: the host name it gave
    /// the DHCP server, then the one it shows by mDNS, then the one it registers for
    /// `NetBIOS`. Of several the one said last.
    #[must_use]
    pub fn name_of(&self, key: DeviceKey, ips: &[IpAddr]) -> Option<KnownName<'_>> {
        self.given_name(key, ips, "lease").or_else(|| {
            let names = self.said(key, ips).into_iter().filter(|said| !matches!(said.kind, Kind::Trait(_)));
            // A name shown for an address that is not the device's may be another's:
            // a proxy speaks for devices that sleep (mDNS).
            let rank = |said: &&Said| {
                let is_own = said.kind != Kind::Mdns || said.ip.is_unspecified() || ips.contains(&said.ip);
                (said.kind, !is_own, Reverse(said.last_at_ns), said.text.clone())
            };
            names.min_by_key(rank).map(|said| KnownName {
                name: &said.text,
                source: said.kind.source(),
                at_ns: said.last_at_ns,
            })
        })
    }

    /// All that the device said of itself, as `source: text`, in order.
    #[must_use]
    pub fn says_of(&self, key: DeviceKey, ips: &[IpAddr]) -> Vec<String> {
        let said = self.said(key, ips).into_iter().map(|said| format!("{}: {}", said.kind.source(), said.text));
        let said: BTreeSet<_> = said.collect();
        said.into_iter().take(MAX_SAYS).collect()
    }

    /// The groups it was put into with a command, or by a lease file.
    #[must_use]
    pub fn groups_of(&self, key: DeviceKey, ips: &[IpAddr]) -> Vec<String> {
        let groups: BTreeSet<_> = self.given(key, ips).flat_map(|given| given.groups.iter().cloned()).collect();
        groups.into_iter().collect()
    }

    fn add_said(&mut self, row: SaidRow) {
        let SaidRow { kind, vlan_id, mac, ip, text, last_at_ns, .. } = row;
        let Some(kind) = Kind::from_label(&kind) else { return };
        let mac = MacAddr::from_u64(mac).filter(|mac| mac.identifies()).unwrap_or(MacAddr::NONE);
        let vlan = VlanId::from_u32(vlan_id.into()).unwrap_or_default();
        let (ip, text) = (ip.to_canonical(), clean(&text));
        if text.is_empty() {
            return;
        }
        let said = Said { kind, mac, vlan, ip, text, last_at_ns };
        if !ip.is_unspecified() {
            self.by_ip.entry(ip).or_default().push(said.clone());
        }
        if mac != MacAddr::NONE {
            self.by_mac.entry(mac).or_default().push(said);
        }
    }

    /// What was said by the device.
    fn said(&self, key: DeviceKey, ips: &[IpAddr]) -> Vec<&Said> {
        match key {
            DeviceKey::Mac(mac, vlan) => {
                let fits = |said: &&Said| vlan.id().is_none() || said.vlan.id().is_none() || said.vlan == vlan;
                let by_mac: Vec<_> = self.by_mac.get(&mac).into_iter().flatten().filter(fits).collect();
                if !by_mac.is_empty() {
                    return by_mac;
                }
                // What another MAC said at the address is the other's: the address moved.
                let here = ips.iter().filter_map(|ip| self.by_ip.get(ip)).flatten();
                here.filter(|said| said.mac == MacAddr::NONE).collect()
            }
            DeviceKey::Ip(ip) => {
                let here = self.by_ip.get(&ip).into_iter().flatten();
                // Who spoke there last has the address now; what others said there
                // before is theirs.
                let last = here.clone().max_by_key(|said| said.last_at_ns).map(|said| said.mac);
                here.filter(|said| Some(said.mac) == last).collect()
            }
        }
    }

    fn given_name(&self, key: DeviceKey, ips: &[IpAddr], source: &str) -> Option<KnownName<'_>> {
        let mut names = self.given(key, ips).filter(|given| given.source == source && !given.name.is_empty());
        names.next().map(|given| KnownName { name: &given.name, source: given.source, at_ns: given.set_at_ns })
    }

    /// What was given to the device: by its id first, then by its MAC in any VLAN,
    /// then by its addresses; of the same the newest first.
    fn given(&self, key: DeviceKey, ips: &[IpAddr]) -> impl Iterator<Item = &Given> {
        let own = match key {
            DeviceKey::Mac(mac, vlan) => {
                let in_vlan = vlan.id().map(|id| GivenKey::Mac(mac, Some(id)));
                [in_vlan, Some(GivenKey::Mac(mac, None))]
            }
            DeviceKey::Ip(ip) => [Some(GivenKey::Ip(ip)), None],
        };
        let by_ip = ips.iter().filter(move |ip| key != DeviceKey::Ip(**ip)).map(|ip| GivenKey::Ip(*ip));
        own.into_iter().flatten().chain(by_ip).filter_map(|key| self.given.get(&key)).flatten()
    }
}

/// More than anybody reads of one device.
const MAX_SAYS: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;

    const LAMP: u64 = 0x0000_5e00_5301;
    const PLUG: u64 = 0x0000_5e00_5302;

    fn said(kind: &str, mac: u64, ip: &str, text: &str, last_at_ns: i64) -> SaidRow {
        let ip: IpAddr = ip.parse().unwrap();
        let ip = match ip {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        SaidRow {
            kind: kind.into(),
            collector: "c".into(),
            vlan_id: 0xffff,
            mac,
            ip,
            text: text.into(),
            first_at_ns: 0,
            last_at_ns,
        }
    }

    fn given(key: &str, source: &str, name: &str, set_at_ns: i64) -> GivenRow {
        let groups = vec![format!("of {name}")];
        GivenRow { device: key.into(), source: source.into(), name: name.into(), groups, set_at_ns }
    }

    fn key(mac: u64) -> DeviceKey {
        DeviceKey::Mac(MacAddr::from_u64(mac).unwrap(), VlanId::UNTAGGED)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn name(known: &KnownNames, key: DeviceKey, ips: &[&str]) -> (String, &'static str, i64) {
        let ips: Vec<_> = ips.iter().map(|text| ip(text)).collect();
        known
            .name_of(key, &ips)
            .map_or((String::new(), "", 0), |known| (known.name.to_owned(), known.source, known.at_ns))
    }

    #[test]
    fn better_sources_go_first_and_later_ones_of_the_same() {
        let mut rows = vec![said("netbios_name", LAMP, "192.0.2.1", "LAMP-NB", 9)];
        let known = |rows: &[SaidRow]| KnownNames::new(rows.to_vec(), vec![]);
        assert_eq!(name(&known(&rows), key(LAMP), &["192.0.2.1"]), ("LAMP-NB".into(), "netbios", 9));
        rows.push(said("mdns_host_name", LAMP, "192.0.2.1", "lamp", 3));
        assert_eq!(name(&known(&rows), key(LAMP), &["192.0.2.1"]), ("lamp".into(), "mdns", 3));
        rows.push(said("dhcp_host_name", LAMP, "::", "old-lamp", 1));
        rows.push(said("dhcp_host_name", LAMP, "::", "lamp-1", 2));
        assert_eq!(name(&known(&rows), key(LAMP), &["192.0.2.1"]), ("lamp-1".into(), "dhcp", 2));
        let known = KnownNames::new(rows, vec![given("00:00:5E:00:53:01", "lease", "Desk lamp", 5)]);
        assert_eq!(name(&known, key(LAMP), &["192.0.2.1"]), ("Desk lamp".into(), "lease", 5));
        assert_eq!(known.user_name_of(key(LAMP), &[]), None);
        assert_eq!(known.groups_of(key(LAMP), &[]), ["of Desk lamp"]);
    }

    #[test]
    fn a_name_stays_with_its_mac_when_the_address_moves() {
        let rows = vec![
            said("mdns_host_name", LAMP, "192.0.2.1", "lamp", 1),
            said("dhcp_host_name", LAMP, "192.0.2.1", "lamp", 1),
        ];
        let known = KnownNames::new(rows, vec![]);
        // The plug has the lamp's old address now, and says nothing.
        assert_eq!(name(&known, key(PLUG), &["192.0.2.1"]).0, "");
        assert_eq!(name(&known, key(LAMP), &["192.0.2.9"]).0, "lamp");
    }

    #[test]
    fn without_macs_the_address_has_the_name() {
        let known = KnownNames::new(vec![said("mdns_host_name", 0, "192.0.2.1", "lamp", 1)], vec![]);
        assert_eq!(name(&known, key(PLUG), &["192.0.2.1"]).0, "lamp");
        assert_eq!(name(&known, DeviceKey::Ip(ip("192.0.2.1")), &[]).0, "lamp");
        // Two had the address: the later one counts.
        let rows = vec![
            said("dhcp_host_name", LAMP, "192.0.2.1", "lamp", 1),
            said("mdns_host_name", PLUG, "192.0.2.1", "plug", 2),
        ];
        let known = KnownNames::new(rows, vec![]);
        assert_eq!(name(&known, DeviceKey::Ip(ip("192.0.2.1")), &[]).0, "plug");
    }

    #[test]
    fn who_speaks_for_others_keeps_its_own_name() {
        let rows = vec![
            said("mdns_host_name", LAMP, "192.0.2.1", "apple-tv", 1),
            said("mdns_host_name", LAMP, "192.0.2.7", "sleeping-mac", 2),
        ];
        let known = KnownNames::new(rows, vec![]);
        assert_eq!(name(&known, key(LAMP), &["192.0.2.1"]).0, "apple-tv");
        // Which addresses it has is not always known.
        assert_eq!(name(&known, key(LAMP), &[]).0, "sleeping-mac");
    }

    #[test]
    fn the_same_mac_in_two_vlans_is_two_devices() {
        let row = |vlan_id, text: &str| SaidRow { vlan_id, ..said("dhcp_host_name", LAMP, "::", text, 1) };
        let rows = vec![row(10, "ten"), row(20, "twenty")];
        let in_vlan = |id| DeviceKey::Mac(MacAddr::from_u64(LAMP).unwrap(), VlanId::from_tci(id));
        let user = given("00:00:5e:00:53:01@20", "user", "Twenty", 1);
        let known = KnownNames::new(rows, vec![user, given("00:00:5e:00:53:01", "lease", "either", 1)]);
        assert_eq!(known.said(in_vlan(10), &[]).len(), 1);
        assert_eq!(known.user_name_of(in_vlan(10), &[]), None);
        assert_eq!(known.user_name_of(in_vlan(20), &[]).unwrap().name, "Twenty");
        assert_eq!(name(&known, in_vlan(20), &[]).0, "either");
    }

    #[test]
    fn what_a_device_says_is_told_once() {
        let rows = vec![
            said("ssdp_server", LAMP, "192.0.2.1", "Linux UPnP/1.0", 1),
            said("mdns_service", LAMP, "192.0.2.1", "Lamp._hue._tcp", 1),
            said("mdns_service", LAMP, "2001:db8::1", "Lamp._hue._tcp", 1),
            said("dhcp_lease", LAMP, "192.0.2.1", "3600", 1),
        ];
        let known = KnownNames::new(rows, vec![]);
        assert_eq!(known.says_of(key(LAMP), &[]), ["mdns: Lamp._hue._tcp", "ssdp: Linux UPnP/1.0"]);
        assert_eq!(name(&known, key(LAMP), &[]).0, "");
    }
}
