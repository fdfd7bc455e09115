//! A timer wheel: what is due at which tick. Setting and ending a timer costs
//! the same however many there are.

/// Links of a list that goes through an owner's entries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Links {
    next: u32,
    previous: u32,
    /// Where it is; [`NONE`]: in no list.
    slot: u32,
}

impl Default for Links {
    fn default() -> Self {
        Self { next: NONE, previous: NONE, slot: NONE }
    }
}

/// Lists of entries by the tick they are due at.
#[derive(Debug)]
pub(super) struct Wheel {
    heads: Vec<u32>,
    /// The last tick whose entries were taken.
    tick: u32,
}

impl Wheel {
    pub(super) fn new() -> Self {
        Self { heads: vec![NONE; SLOTS as usize], tick: 0 }
    }

    /// The last tick whose entries were taken.
    pub(super) fn tick(&self) -> u32 {
        self.tick
    }

    /// Sets the entry's timer, in that many ticks; it has none yet.
    pub(super) fn set<E: Linked>(&mut self, entries: &mut [E], index: u32, ticks: u32) {
        let slot = self.tick.wrapping_add(ticks.clamp(1, SLOTS - 1)) % SLOTS;
        let Some(head) = self.heads.get_mut(slot as usize) else { return };
        let next = std::mem::replace(head, index);
        if let Some(entry) = entries.get_mut(index as usize) {
            *entry.links() = Links { next, previous: NONE, slot };
        }
        if let Some(next) = entries.get_mut(next as usize) {
            next.links().previous = index;
        }
    }

    /// Ends the entry's timer, if it has one.
    pub(super) fn unset<E: Linked>(&mut self, entries: &mut [E], index: u32) {
        let Some(entry) = entries.get_mut(index as usize) else { return };
        let links = std::mem::take(entry.links());
        if links.slot == NONE {
            return;
        }
        if let Some(previous) = entries.get_mut(links.previous as usize) {
            previous.links().next = links.next;
        } else if let Some(head) = self.heads.get_mut(links.slot as usize) {
            *head = links.next;
        }
        if let Some(next) = entries.get_mut(links.next as usize) {
            next.links().previous = links.previous;
        }
    }

    /// An entry that is due at the current tick, whose timer has ended with this.
    pub(super) fn pop<E: Linked>(&mut self, entries: &mut [E]) -> Option<u32> {
        let index = *self.heads.get((self.tick % SLOTS) as usize)?;
        if index == NONE {
            return None;
        }
        self.unset(entries, index);
        Some(index)
    }

    /// Goes on to the next tick.
    pub(super) fn turn(&mut self) {
        self.tick = self.tick.wrapping_add(1);
    }

    /// In how many ticks the entry is due at most.
    pub(super) fn remaining(&self, links: Links) -> u32 {
        links.slot.wrapping_sub(self.tick) % SLOTS
    }
}

/// An entry that can be in a list.
pub(super) trait Linked {
    fn links(&mut self) -> &mut Links;
}

/// No entry.
const NONE: u32 = u32::MAX;

/// One a second, for longer than the longest time-out (7440 s). Ticks go round
/// with them, because it is a power of two.
const SLOTS: u32 = 1 << 13;
