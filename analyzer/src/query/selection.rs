//! What a question's selection means.

use std::{collections::BTreeSet, net::Ipv6Addr, sync::Arc};

use iotq_proto::v1;

use super::{
    Analyst, AskError,
    coverage::{Covered, Covering},
};
use crate::{
    clock::now_ns,
    enrich::{DeviceKey, Directory, Names, PeerNames},
    store::{AddressRange, DaysRow, Scope, TimeRange},
};

/// A question's selection after it was looked up.
pub(super) struct Asked {
    pub(super) scope: Scope,
    pub(super) directory: Arc<Directory>,
    /// The user's, as they were when it was asked.
    pub(super) names: Arc<Names>,
    /// What addresses are called; empty unless it was asked for.
    pub(super) peers: Arc<PeerNames>,
    covering: Covering,
    /// For the asker to read.
    pub(super) notes: Vec<String>,
    selection: v1::Selection,
}

impl Asked {
    pub(super) async fn new(analyst: &Analyst, selection: v1::Selection) -> Result<Self, AskError> {
        let (directory, holdings) = tokio::try_join!(analyst.directory(), analyst.holdings())?;
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
            if !holdings.collectors.contains(collector) {
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
            // What arrives live since that was read was captured until now.
            newest_at_ns: Some(holdings.newest_at_ns.max(now_ns())),
            explained: selection.explain.then(Arc::default),
        };
        let covering = Covering::start(analyst, &scope, &holdings);
        if holdings.collectors.len() > 1 {
            let is_older = holdings.kept.is_older(&scope.range);
            let days = async { if is_older { analyst.store.days(&scope).await } else { Ok(DaysRow::default()) } };
            let (reporting, days) = tokio::try_join!(analyst.store.reporting_collectors(&scope), days)?;
            scope.several_collectors = reporting.max(days.collectors) > 1;
        }
        Ok(Self { scope, directory, names, peers: Arc::default(), covering, notes, selection })
    }

    /// How complete the data of the range are.
    pub(super) async fn covered(&self) -> Result<&Covered, AskError> {
        self.covering.get().await
    }

    /// Minutes of the range for which a collector reported, at least 1.
    #[expect(clippy::cast_precision_loss, reason = "minutes need no more than 52 bits")]
    pub(super) async fn minutes(&self) -> Result<f64, AskError> {
        let covered = self.covered().await?;
        // Days are not read then.
        let only_days_ns = if self.scope.several_collectors { 0 } else { covered.only_days_ns };
        Ok((covered.covered_ns.saturating_add(only_days_ns) as f64 / 60e9).max(1.0))
    }

    /// What an answer begins with.
    pub(super) async fn header(&self) -> Result<v1::Header, AskError> {
        let covered = self.covered().await?;
        let are_days_left_out = self.scope.several_collectors && covered.only_days_ns > 0;
        let notes = self.notes.iter().cloned().chain(are_days_left_out.then(|| OLD_DAYS.to_owned()));
        Ok(v1::Header {
            since_ns: self.scope.range.since_ns,
            until_ns: self.scope.range.until_ns,
            coverage: Some(covered.coverage.clone()),
            notes: notes.collect(),
            stored_from_ns: covered.stored.map(|(from, _)| from),
            stored_until_ns: covered.stored.map(|(_, until)| until),
        })
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

/// Which packets two collectors saw is told by the hour.
const OLD_DAYS: &str = "of some days only sums are kept; where several collectors reported, they are left out";

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
