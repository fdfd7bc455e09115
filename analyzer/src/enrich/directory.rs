//! All devices, with everything that names them.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
};

use iotq_proto::MacAddr;

use super::{DeviceKey, Identity, Names, Oui};
use crate::store::{DirectoryRow, ReadError, Store};

/// The devices the store knows of, as of one moment.
#[derive(Debug)]
pub struct Directory {
    identity: Identity,
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
    /// `user`, `vendor`, or empty.
    pub source: &'static str,
    /// Who made it; empty: not known.
    pub vendor: String,
    /// The user's groups.
    pub groups: Vec<String>,
}

impl Directory {
    /// Asks the store.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn load(store: &Store, identity: Identity) -> Result<Self, ReadError> {
        let rows = store.directory(identity.columns()).await?;
        let devices = rows.iter().filter_map(entry).collect();
        Ok(Self { identity, devices })
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

    /// What it is called.
    #[must_use]
    pub fn naming(&self, key: DeviceKey, names: &Names, oui: &Oui) -> Naming {
        let no_ips = Vec::new();
        let own_ip = match key {
            DeviceKey::Ip(ip) => Some(ip),
            DeviceKey::Mac(..) => None,
        };
        let ips = self.devices.get(&key).map_or(&no_ips, |entry| &entry.ips);
        let vendor = key.mac().and_then(|mac| oui.vendor(mac)).unwrap_or_default().to_owned();
        let named = names.find(key.mac(), own_ip.iter().chain(ips)).cloned().unwrap_or_default();
        let (name, source) = match (named.name.is_empty(), vendor.is_empty()) {
            (false, _) => (named.name, "user"),
            // A vendor alone names many: the end of the MAC tells them apart.
            (true, false) => (vendor_name(&vendor, key.mac()), "vendor"),
            (true, true) => (String::new(), ""),
        };
        Naming { name, source, vendor, groups: named.groups }
    }

    /// The devices that a text given to `--device` means: id, name, MAC or address.
    #[must_use]
    pub fn find(&self, text: &str, names: &Names, oui: &Oui) -> Vec<DeviceKey> {
        let mac = text.parse::<MacAddr>().ok();
        let ip = text.parse::<IpAddr>().ok().map(|ip| ip.to_canonical());
        let fits = |key: DeviceKey, entry: &Entry| {
            key.to_string().eq_ignore_ascii_case(text)
                || (mac.is_some() && key.mac() == mac)
                || ip.is_some_and(|ip| key == DeviceKey::Ip(ip) || entry.ips.contains(&ip))
                || self.naming(key, names, oui).name.eq_ignore_ascii_case(text)
        };
        let mut found: Vec<_> = self.iter().filter(|(key, entry)| fits(*key, entry)).map(|(key, _)| key).collect();
        found.sort_unstable();
        found
    }

    /// The devices in a group.
    #[must_use]
    pub fn in_group(&self, group: &str, names: &Names, oui: &Oui) -> Vec<DeviceKey> {
        let in_it = |key| self.naming(key, names, oui).groups.iter().any(|own| own.eq_ignore_ascii_case(group));
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
