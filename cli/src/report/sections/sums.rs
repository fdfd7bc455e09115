//! Answers added up for a page.

use std::collections::{BTreeMap, BTreeSet};

use iotq_proto::v1::Destination;

use crate::{questions::wording::owner_or_network, render::Cell};

/// All destinations of one owner.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Whose {
    pub(super) name: String,
    pub(super) countries: Vec<String>,
    /// Different devices that talk to it.
    pub(super) devices: u64,
    pub(super) packets: u64,
    pub(super) wire_bytes: u64,
    /// 0..1 of all packets here.
    pub(super) share: f64,
}

/// Owners by packets, the largest first.
pub(super) fn by_owner(rows: &[Destination]) -> Vec<Whose> {
    #[derive(Default)]
    struct Sum<'a> {
        countries: BTreeSet<&'a str>,
        devices: BTreeSet<&'a str>,
        packets: u64,
        wire_bytes: u64,
    }
    let mut sums = BTreeMap::<String, Sum<'_>>::new();
    for row in rows {
        let owner = match owner_or_network(&row.owner, &row.as_name) {
            Cell::Text(owner) => owner,
            _ => "not known".to_owned(),
        };
        let sum = sums.entry(owner).or_default();
        sum.countries.extend(Some(row.country.as_str()).filter(|country| !country.is_empty()));
        sum.devices.insert(&row.device);
        sum.packets = sum.packets.saturating_add(row.packets);
        sum.wire_bytes = sum.wire_bytes.saturating_add(row.wire_bytes);
    }
    let total = sums.values().fold(0_u64, |total, sum| total.saturating_add(sum.packets)).max(1);
    #[expect(clippy::cast_precision_loss, reason = "a share is shown with one decimal")]
    let whose = |(name, sum): (String, Sum<'_>)| Whose {
        name,
        countries: sum.countries.into_iter().map(str::to_owned).collect(),
        devices: u64::try_from(sum.devices.len()).unwrap_or(u64::MAX),
        packets: sum.packets,
        wire_bytes: sum.wire_bytes,
        share: sum.packets as f64 / total as f64,
    };
    let mut owners: Vec<_> = sums.into_iter().map(whose).collect();
    owners.sort_by(|a, b| b.packets.cmp(&a.packets).then_with(|| a.name.cmp(&b.name)));
    owners
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_added_up_over_devices() {
        let row = |device: &str, owner: &str, country: &str, packets| Destination {
            device: device.into(),
            owner: owner.into(),
            country: country.into(),
            packets,
            wire_bytes: packets * 10,
            ..Destination::default()
        };
        let rows = [row("a", "X", "IE", 1), row("b", "X", "US", 2), row("a", "X", "US", 3), row("a", "", "", 2)];
        let owners = by_owner(&rows);
        assert_eq!(owners.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["X", "not known"]);
        let [first, ..] = owners.as_slice() else { panic!("{owners:?}") };
        assert_eq!((first.devices, first.packets, first.wire_bytes, first.share), (2, 6, 60, 0.75));
        assert_eq!(first.countries, ["IE", "US"]);
    }
}
