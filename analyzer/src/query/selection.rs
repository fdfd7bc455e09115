//! What a question's selection means.

use std::{collections::BTreeSet, net::Ipv6Addr, sync::Arc};

use iotq_proto::v1;

use super::{Analyst, AskError, coverage::Covered};
use crate::{
    enrich::{DeviceKey, Directory, Names, PeerNames},
    store::{AddressRange, Scope, TimeRange},
};

/// A question's selection after it was looked up.
pub(super) struct Asked {
    pub(super) scope: Scope,
    pub(super) directory: Arc<Directory>,
    /// The user's, as they were when it was asked.
    pub(super) names: Arc<Names>,
    /// What addresses are called; empty unless it was asked for.
    pub(super) peers: Arc<PeerNames>,
    pub(super) covered: Covered,
    /// For the asker to read.
    pub(super) notes: Vec<String>,
    selection: v1::Selection,
}

impl Asked {
    pub(super) async fn new(analyst: &Analyst, selection: v1::Selection) -> Result<Self, AskError> {
        let directory = analyst.directory().await?;
        let names = analyst.names();
        let range = TimeRange { since_ns: selection.since_ns, until_ns: selection.until_ns };
        if let (Some(since), Some(until)) = (range.since_ns, range.until_ns)
            && since > until
        {
            return Err(AskError::Question("the range ends before it begins".into()));
        }
        let mut notes = Vec::new();
        let devices = devices(analyst, &directory, &names, &selection, &mut notes);
        for collector in &selection.collectors {
            if analyst.store.known_collectors(std::slice::from_ref(collector)).await? == 0 {
                notes.push(format!("no collector is called `{collector}` (`iotq status` lists them)"));
            }
        }
        let mut scope = Scope {
            range,
            collectors: selection.collectors.clone(),
            devices: devices.map(|keys| keys.into_iter().map(DeviceKey::columns).collect()),
            nets: selection.nets.iter().map(net).collect::<Result<_, _>>()?,
            identity: directory.identity().columns().clone(),
            limit: selection.limit,
            several_collectors: false,
            explained: selection.explain.then(Arc::default),
        };
        let covered = analyst.covered(&scope).await?;
        scope.several_collectors = covered.coverage.collectors_reporting > 1;
        Ok(Self { scope, directory, names, peers: Arc::default(), covered, notes, selection })
    }

    /// What an answer begins with.
    pub(super) fn header(&self) -> v1::Header {
        v1::Header {
            since_ns: self.scope.range.since_ns,
            until_ns: self.scope.range.until_ns,
            coverage: Some(self.covered.coverage.clone()),
            notes: self.notes.clone(),
            stored_from_ns: self.covered.stored.map(|(from, _)| from),
            stored_until_ns: self.covered.stored.map(|(_, until)| until),
        }
    }

    /// The same selection with what is known now.
    pub(super) async fn again(&self, analyst: &Analyst) -> Result<Self, AskError> {
        Self::new(analyst, self.selection.clone()).await?.with_peers(analyst).await
    }

    /// The same devices and networks in another range.
    pub(super) async fn over(&self, analyst: &Analyst, range: TimeRange) -> Result<Self, AskError> {
        let selection = v1::Selection { since_ns: range.since_ns, until_ns: range.until_ns, ..self.selection.clone() };
        let mut asked = Self::new(analyst, selection).await?;
        asked.scope.explained.clone_from(&self.scope.explained);
        asked.with_peers(analyst).await
    }

    /// The one device that is known at this address.
    pub(super) fn device_at(&self, ip: Ipv6Addr) -> Option<DeviceKey> {
        let ip = ip.to_canonical();
        let mut at_it = self.directory.iter().filter(|(_, entry)| entry.ips.contains(&ip)).map(|(key, _)| key);
        at_it.next().filter(|_| at_it.next().is_none())
    }

    /// The same, with the names of those that devices talk to.
    pub(super) async fn with_peers(mut self, analyst: &Analyst) -> Result<Self, AskError> {
        self.peers = analyst.peers(&self.scope).await?;
        Ok(self)
    }
}

/// The devices that fit both lists; `None` if neither has elements.
fn devices(
    analyst: &Analyst,
    directory: &Directory,
    names: &Names,
    selection: &v1::Selection,
    notes: &mut Vec<String>,
) -> Option<BTreeSet<DeviceKey>> {
    let mut wanted: Option<BTreeSet<DeviceKey>> = None;
    let mut narrow = |keys: BTreeSet<DeviceKey>| {
        wanted = Some(match wanted.take() {
            Some(before) => before.intersection(&keys).copied().collect(),
            None => keys,
        });
    };
    if !selection.devices.is_empty() {
        let mut keys = BTreeSet::new();
        for text in &selection.devices {
            let found = directory.find(text, names, &analyst.oui);
            if found.is_empty() {
                notes.push(format!("no device is known as `{text}` (`iotq devices --since all` lists them)"));
            }
            keys.extend(found);
        }
        narrow(keys);
    }
    if !selection.groups.is_empty() {
        let mut keys = BTreeSet::new();
        for group in &selection.groups {
            let found = directory.in_group(group, names, &analyst.oui);
            if found.is_empty() {
                let known: Vec<_> = directory.groups(names, &analyst.oui).into_iter().collect();
                let known = if known.is_empty() { "there are none".to_owned() } else { known.join(", ") };
                notes.push(format!("no device is in a group `{group}` (groups: {known})"));
            }
            keys.extend(found);
        }
        narrow(keys);
    }
    wanted
}

fn net(net: &v1::Net) -> Result<AddressRange, AskError> {
    let octets = <[u8; 16]>::try_from(net.ip.as_slice())
        .map_err(|_| AskError::Question("a network's address has 16 octets".into()))?;
    if net.prefix_len > 128 {
        return Err(AskError::Question(format!("a prefix of {} bits is too long", net.prefix_len)));
    }
    let bits = u128::from_be_bytes(octets);
    let rest = u128::MAX.checked_shr(net.prefix_len).unwrap_or(0);
    Ok((Ipv6Addr::from(bits & !rest), Ipv6Addr::from(bits | rest)))
}
