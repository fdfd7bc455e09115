//! What became of frames: the sums that every report is made of.

use std::collections::BTreeMap;

use iotq_proto::{LinkProtocol, LossStage, UndecodedReason, v1};

/// Frames and what became of them. Always `frames` = `packets` + the sums of
/// `no_ip`, `undecoded` and `lost`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Totals {
    /// All frames.
    pub frames: u64,
    /// Frames in slices.
    pub packets: u64,
    /// Frames without IP, by [`LinkProtocol::as_u32`].
    pub no_ip: BTreeMap<u32, u64>,
    /// Frames that could not be read.
    pub undecoded: BTreeMap<UndecodedReason, u64>,
    /// Packets known to be missing.
    pub lost: BTreeMap<LossStage, u64>,
    /// Packets whose time had to be changed; they are in `packets` too.
    pub clamped_times: u64,
}

impl Totals {
    /// Those of one batch.
    #[must_use]
    pub fn of(batch: &v1::Batch) -> Self {
        let mut totals = Self {
            frames: batch.frames,
            packets: batch.slices.as_ref().map_or(0, |slices| slices.offset_ns.len() as u64),
            clamped_times: batch.clamped_times,
            ..Self::default()
        };
        for count in &batch.no_ip {
            *totals.no_ip.entry(count.link_protocol).or_default() += count.frames;
        }
        for count in &batch.undecoded {
            *totals.undecoded.entry(count.reason()).or_default() += count.frames;
        }
        for count in &batch.lost {
            *totals.lost.entry(count.stage()).or_default() += count.packets;
        }
        totals
    }

    /// Adds others.
    pub fn add(&mut self, other: &Self) {
        self.frames += other.frames;
        self.packets += other.packets;
        self.clamped_times += other.clamped_times;
        merge(&mut self.no_ip, &other.no_ip);
        merge(&mut self.undecoded, &other.undecoded);
        merge(&mut self.lost, &other.lost);
    }

    /// The same frames, had they been lost at `stage`; what was lost before stays
    /// where it was.
    #[must_use]
    pub fn lost_at(&self, stage: LossStage) -> Self {
        let mut lost = self.lost.clone();
        let before: u64 = lost.values().sum();
        let now = self.frames.saturating_sub(before);
        if now > 0 {
            *lost.entry(stage).or_default() += now;
        }
        Self { frames: self.frames, lost, ..Self::default() }
    }

    /// Sum of `no_ip`.
    #[must_use]
    pub fn no_ip_frames(&self) -> u64 {
        self.no_ip.values().sum()
    }

    /// Sum of `undecoded`.
    #[must_use]
    pub fn undecoded_frames(&self) -> u64 {
        self.undecoded.values().sum()
    }

    /// Sum of `lost`.
    #[must_use]
    pub fn lost_packets(&self) -> u64 {
        self.lost.values().sum()
    }

    /// `no_ip` by the protocols' names.
    #[must_use]
    pub fn no_ip_by_name(&self) -> BTreeMap<String, u64> {
        let name = |code: u32| LinkProtocol::from_u32(code).map_or_else(|| code.to_string(), |link| link.to_string());
        self.no_ip.iter().map(|(code, frames)| (name(*code), *frames)).collect()
    }
}

fn merge<K: Copy + Ord>(sums: &mut BTreeMap<K, u64>, counts: &BTreeMap<K, u64>) {
    for (key, count) in counts {
        *sums.entry(*key).or_default() += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_that_are_lost_later_keep_earlier_losses_apart() {
        let totals = Totals {
            frames: 10,
            packets: 7,
            no_ip: BTreeMap::from([(0x0806, 1)]),
            lost: BTreeMap::from([(LossStage::KernelRing, 2)]),
            ..Totals::default()
        };
        let lost = totals.lost_at(LossStage::Unacknowledged);
        assert_eq!(lost.lost, BTreeMap::from([(LossStage::KernelRing, 2), (LossStage::Unacknowledged, 8)]));
        assert_eq!((lost.frames, lost.lost_packets(), lost.packets), (10, 10, 0));
    }
}
