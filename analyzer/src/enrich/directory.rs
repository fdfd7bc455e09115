//! All devices, with everything that names them.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
};

use iotq_proto::MacAddr;

use super::{DeviceKey, Identity, KnownNames, Names, Oui};
use crate::store::{DirectoryRow, ReadError, Store};

/// The devices the store knows of, as of one moment.
#[derive(Debug)]
pub struct Directory {
    identity: Identity,
    known: KnownNames,
    devices: HashMap<DeviceKey, Entry>,
}

/// A device.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its addresses, at most fifty.
    pub ips: Vec<IpAddr>,
    /// First packet or sighting ever.
    pub first_at_ns: i64,
    /// Last packet or sighting ever.
    pub last_at_ns: i64,
}

/// How a device is called, and by whom.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Naming {
    /// Empty: it has no name.
    pub name: String,
    /// `user`, `lease`, `dhcp`, `mdns`, `netbios`, `vendor`, or empty.
    pub source: &'static str,
    /// When the name was given or last said. `None`: it has no time, being in the names
    /// file or the vendor's.
    pub name_at_ns: Option<i64>,
    /// Who made it; empty: not known.
    pub vendor: String,
    /// The user's groups, and those of lease files.
    pub groups: Vec<String>,
}

impl Directory {
    /// Asks the store.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn load(store: &Store, identity: Identity, known: KnownNames) -> Result<Self, ReadError> {
        let rows = store.directory(identity.columns()).await?;
        let devices = rows.iter().filter_map(entry).collect();
        Ok(Self { identity, known, devices })
    }

    /// What tells devices from routers.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// A device by its key.
    #[must_use]
    pub fn entry(&self, key: DeviceKey) -> Option<&Entry> {
        self.devices.get(&key)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (DeviceKey, &Entry)> {
        self.devices.iter().map(|(key, entry)| (*key, entry))
    }

    /// What it is called, by the first of these who says: the user (with a command,
    /// then in the names file), a lease file, the device to a DHCP server, by mDNS, for `NetBIOS`, its
    /// vendor.
    #[must_use]
    pub fn naming(&self, key: DeviceKey, names: &Names, oui: &Oui) -> Naming {
        let ips = self.ips(key);
        let vendor = key.mac().and_then(|mac| oui.vendor(mac)).unwrap_or_default().to_owned();
        let in_file = names.find(key.mac(), &ips).cloned().unwrap_or_default();
        let given = self.known.user_name_of(key, &ips);
        let (name, source, name_at_ns) = match (given, self.known.name_of(key, &ips)) {
            (Some(given), _) => (given.name.to_owned(), given.source, Some(given.at_ns)),
            _ if !in_file.name.is_empty() => (in_file.name, "user", None),
            (None, Some(known)) => (known.name.to_owned(), known.source, Some(known.at_ns)),
            // A vendor alone names many: the end of the MAC tells them apart.
            (None, None) if !vendor.is_empty() => (vendor_name(&vendor, key.mac()), "vendor", None),
            (None, None) => (String::new(), "", None),
        };
        let mut groups = in_file.groups;
        groups.extend(self.known.groups_of(key, &ips));
        groups.extend(names.groups_by_rule(&ips, &name).cloned());
        let mut told = BTreeSet::new();
        groups.retain(|group| told.insert(group.to_lowercase()));
        Naming { name, source, name_at_ns, vendor, groups }
    }

    /// All that it says of itself, as `source: text`.
    #[must_use]
    pub fn says(&self, key: DeviceKey) -> Vec<String> {
        self.known.says_of(key, &self.ips(key))
    }

    /// Its addresses, the one it is known by first.
    fn ips(&self, key: DeviceKey) -> Vec<IpAddr> {
        let own = match key {
            DeviceKey::Ip(ip) => Some(ip),
            DeviceKey::Mac(..) => None,
        };
        let seen = self.devices.get(&key).into_iter().flat_map(|entry| &entry.ips).copied();
        own.into_iter().chain(seen.filter(|ip| Some(*ip) != own)).collect()
    }

    /// The devices that a text given to `--device` means: id, name, MAC or address.
    #[must_use]
    pub fn find(&self, text: &str, names: &Names, oui: &Oui) -> Vec<DeviceKey> {
        let mac = text.parse::<MacAddr>().ok();
        let ip = text.parse::<IpAddr>().ok().map(|ip| ip.to_canonical());
        let lower = text.to_lowercase();
        let fits = |key: DeviceKey, entry: &Entry| {
            key.to_string().eq_ignore_ascii_case(text)
                || (mac.is_some() && key.mac() == mac)
                || ip.is_some_and(|ip| key == DeviceKey::Ip(ip) || entry.ips.contains(&ip))
                || self.naming(key, names, oui).name.to_lowercase() == lower
        };
        let mut found: Vec<_> = self.iter().filter(|(key, entry)| fits(*key, entry)).map(|(key, _)| key).collect();
        found.sort_unstable();
        found
    }

    /// The devices in a group.
    #[must_use]
    pub fn in_group(&self, group: &str, names: &Names, oui: &Oui) -> Vec<DeviceKey> {
        let lower = group.to_lowercase();
        let in_it = |key| self.naming(key, names, oui).groups.iter().any(|own| own.to_lowercase() == lower);
        self.devices.keys().copied().filter(|key| in_it(*key)).collect()
    }

    /// All groups that devices are in.
    #[must_use]
    pub fn groups(&self, names: &Names, oui: &Oui) -> BTreeSet<String> {
        self.devices.keys().flat_map(|key| self.naming(*key, names, oui).groups).collect()
    }
}

fn entry(row: &DirectoryRow) -> Option<(DeviceKey, Entry)> {
    let key = DeviceKey::from_columns(row.mac, row.vlan_id, row.ip)?;
    let ips = row.ips.iter().map(std::net::Ipv6Addr::to_canonical).collect();
    Some((key, Entry { ips, first_at_ns: row.first_at_ns, last_at_ns: row.last_at_ns }))
}

fn vendor_name(vendor: &str, mac: Option<MacAddr>) -> String {
    let end = mac.map_or_else(String::new, |mac| format!(" {:06x}", mac.as_u64() & 0x00ff_ffff));
    // The company's form says nothing about the device.
    let short = vendor.split([',', '(']).next().unwrap_or(vendor).trim();
    format!("{short}{end}")
}

#[cfg(test)]
mod tests {
    use iotq_proto::VlanId;

    use super::*;
    use crate::store::{GivenRow, SaidRow};

    const LAMP: u64 = 0xd073_d500_0001;

    fn key(mac: u64) -> DeviceKey {
        DeviceKey::Mac(MacAddr::from_u64(mac).unwrap(), VlanId::UNTAGGED)
    }

    fn directory(known: KnownNames) -> Directory {
        let entry = Entry { ips: vec!["192.168.20.9".parse().unwrap()], first_at_ns: 0, last_at_ns: 0 };
        Directory { identity: Identity::default(), known, devices: [(key(LAMP), entry)].into() }
    }

    fn names(text: &str) -> Names {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("names");
        std::fs::write(&path, text).unwrap();
        Names::read(&path).unwrap()
    }

    fn said(text: &str) -> SaidRow {
        let kind = "dhcp_host_name".to_owned();
        SaidRow {
            kind,
            collector: "c".into(),
            vlan_id: 0xffff,
            mac: LAMP,
            ip: std::net::Ipv6Addr::UNSPECIFIED,
            text: text.into(),
            first_at_ns: 0,
            last_at_ns: 7,
        }
    }

    #[test]
    fn each_source_goes_before_the_next() {
        let oui = Oui::load();
        let file = names("d0:73:d5:00:00:01, From file, light\n192.168.20.0/24,,iot\nname:from*,,filed\n");
        let given = GivenRow {
            device: "d0:73:d5:00:00:01".into(),
            source: "user".into(),
            name: "By command".into(),
            groups: vec!["Light".into(), "desk".into()],
            set_at_ns: 9,
        };
        let of = |directory: &Directory, names: &Names| {
            let naming = directory.naming(key(LAMP), names, &oui);
            (naming.name, naming.source, naming.name_at_ns)
        };
        let nothing = directory(KnownNames::default());
        assert_eq!(of(&nothing, &Names::default()), ("Lifi Labs Management Pty Ltd 000001".into(), "vendor", None));
        let hears = directory(KnownNames::new(vec![said("lamp")], vec![]));
        assert_eq!(of(&hears, &Names::default()), ("lamp".into(), "dhcp", Some(7)));
        assert_eq!(of(&hears, &file), ("From file".into(), "user", None));
        let told = directory(KnownNames::new(vec![said("lamp")], vec![given]));
        assert_eq!(of(&told, &file), ("By command".into(), "user", Some(9)));
        // Each group once, however it is written; patterns go by the name that counts.
        assert_eq!(told.naming(key(LAMP), &file, &oui).groups, ["light", "desk", "iot"]);
        assert_eq!(hears.naming(key(LAMP), &file, &oui).groups, ["light", "iot", "filed"]);
        assert_eq!(told.says(key(LAMP)), ["dhcp: lamp"]);
    }

    #[test]
    fn names_and_groups_are_found_in_any_case() {
        let oui = Oui::load();
        let directory = directory(KnownNames::default());
        let file = names("d0:73:d5:00:00:01, K\u{fc}chenger\u{e4}t, B\u{fc}ro\n");
        assert_eq!(directory.find("K\u{dc}CHENGER\u{c4}T", &file, &oui), [key(LAMP)]);
        assert_eq!(directory.in_group("b\u{dc}ro", &file, &oui), [key(LAMP)]);
    }
}
