//! The flow slices of the batch being built: packets go in one by one, columns
//! come out. Knows nothing of time but what packets say.

use ahash::RandomState;
use hashbrown::HashTable;
use iotq_proto::{MAX_BATCH_SLICES, v1};

use crate::{
    flow::Place,
    packet::{FlowKey, Packet},
};

/// Packets in the order they came, and which slice each belongs to.
///
/// Nothing is allocated for a packet: head, log and table keep their memory from
/// one batch to the next, and the table never grows past [`MAX_BATCH_SLICES`].
#[derive(Debug)]
pub(super) struct Slices {
    /// The newest slice of each flow, as an index into `heads`.
    newest: HashTable<u32>,
    hasher: RandomState,
    heads: Vec<Head>,
    log: Vec<Logged>,
    /// The slice the packet before went into: traffic comes in bursts, and half
    /// of a household's packets follow one of their own flow.
    last: u32,
}

/// What the packets of a slice share.
#[derive(Clone, Copy, Debug)]
struct Head {
    key: FlowKey,
    second: i64,
    packets: u32,
    /// Of the connection that the packet before was on.
    place: Place,
}

/// What is a packet's own.
#[derive(Clone, Copy, Debug)]
struct Logged {
    slice: u32,
    offset_ns: u32,
    wire_bytes: u32,
    payload_bytes: u32,
    tcp_flags: u16,
    from_a: bool,
}

impl Slices {
    /// Empty, with a hash that nobody outside can foresee. Room for a full batch of so many packets is had at once: what
    /// is not used takes no memory, while vectors that grow leave holes of their size.
    pub(super) fn with_capacity(packets: usize) -> Self {
        let (heads, log) = (Vec::with_capacity(MAX_BATCH_SLICES), Vec::with_capacity(packets));
        Self { newest: HashTable::new(), hasher: RandomState::new(), heads, log, last: 0 }
    }

    /// Notes a packet, opening a slice where its flow has none for this second.
    #[must_use = "a packet that found no room has to go into the next batch"]
    #[inline]
    pub(super) fn push(&mut self, packet: &Packet) -> bool {
        let second = packet.captured_at.second();
        let slice = match self.heads.get_mut(self.last as usize) {
            Some(head) if head.key == packet.key && head.second == second => {
                head.packets += 1;
                self.last
            }
            _ => match self.slice_of(&packet.key, second) {
                Some(slice) => slice,
                None => return false,
            },
        };
        self.last = slice;
        self.log.push(Logged {
            slice,
            offset_ns: packet.captured_at.subsec_nanos(),
            wire_bytes: packet.wire_bytes,
            payload_bytes: packet.payload_bytes,
            tcp_flags: packet.tcp_flags,
            from_a: packet.from_a,
        });
        true
    }

    /// Where to look for the connection of the packet noted last, and to keep
    /// where it was found.
    #[inline]
    pub(super) fn place(&mut self) -> Option<&mut Place> {
        self.heads.get_mut(self.last as usize).map(|head| &mut head.place)
    }

    /// How many packets were noted.
    pub(super) fn packets(&self) -> usize {
        self.log.len()
    }

    /// How many slices they are in.
    pub(super) fn slices(&self) -> usize {
        self.heads.len()
    }

    /// Sorts the packets by slice into columns, and is empty afterwards.
    ///
    /// Slices stay in the order they were opened: the store sorts what it
    /// inserts anyway, and this order keeps the writes below close together.
    pub(super) fn take_columns(&mut self) -> v1::FlowSlices {
        let mut columns = v1::FlowSlices {
            offset_ns: vec![0; self.log.len()],
            wire_bytes: vec![0; self.log.len()],
            payload_bytes: vec![0; self.log.len()],
            tcp_flags: vec![0; self.log.len()],
            from_a: vec![0; self.log.len()],
            ..reserved(self.heads.len())
        };
        let mut begin = 0;
        for head in &mut self.heads {
            push_head(&mut columns, head);
            // From here on: where the slice's next packet goes.
            begin += std::mem::replace(&mut head.packets, begin);
        }
        for packet in &self.log {
            let Some(head) = self.heads.get_mut(packet.slice as usize) else { continue };
            let at = head.packets as usize;
            head.packets += 1;
            set(&mut columns.offset_ns, at, packet.offset_ns);
            set(&mut columns.wire_bytes, at, packet.wire_bytes);
            set(&mut columns.payload_bytes, at, packet.payload_bytes);
            set(&mut columns.tcp_flags, at, u32::from(packet.tcp_flags));
            set(&mut columns.from_a, at, u8::from(packet.from_a));
        }
        self.newest.clear();
        self.heads.clear();
        self.log.clear();
        self.last = 0;
        columns
    }

    /// The flow's slice of this second, with the packet counted in it.
    fn slice_of(&mut self, key: &FlowKey, second: i64) -> Option<u32> {
        let hash = hash_of(&self.hasher, key);
        let heads = &mut self.heads;
        let known = self.newest.find_mut(hash, |slice| heads.get(*slice as usize).is_some_and(|head| head.key == *key));
        if let Some(slice) = &known
            && let Some(head) = heads.get_mut(**slice as usize)
            && head.second == second
        {
            head.packets += 1;
            return Some(**slice);
        }
        if heads.len() >= MAX_BATCH_SLICES {
            return None;
        }
        let opened = u32::try_from(heads.len()).ok()?;
        let mut place = Place::UNKNOWN;
        match known {
            Some(slice) => {
                let before = std::mem::replace(slice, opened);
                place = heads.get(before as usize).map_or(place, |head| head.place);
            }
            None => {
                let hasher = &self.hasher;
                self.newest.insert_unique(hash, opened, |slice| {
                    heads.get(*slice as usize).map_or(0, |head| hash_of(hasher, &head.key))
                });
            }
        }
        heads.push(Head { key: *key, second, packets: 1, place });
        Some(opened)
    }
}

/// Hashes a key as four 128-bit words. The derived `Hash` feeds ten fields and
/// two length prefixes, octet slices among them: three times the time.
#[inline]
fn hash_of(hasher: &RandomState, key: &FlowKey) -> u64 {
    let small = u64::from(key.a_port)
        | u64::from(key.b_port) << 16
        | u64::from(key.vlan.as_u16()) << 32
        | u64::from(key.protocol) << 48
        | u64::from(key.ip_version) << 56;
    // MACs have 48 bits: `has_ports` finds room above them.
    let a_mac = key.a_mac.as_u64() | u64::from(key.has_ports) << 63;
    hasher.hash_one(Words([
        u128::from_ne_bytes(key.a_ip),
        u128::from_ne_bytes(key.b_ip),
        u128::from(a_mac) | u128::from(key.b_mac.as_u64()) << 64,
        u128::from(small),
    ]))
}

struct Words([u128; 4]);

impl std::hash::Hash for Words {
    #[inline]
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        for word in self.0 {
            state.write_u128(word);
        }
    }
}

fn reserved(slices: usize) -> v1::FlowSlices {
    v1::FlowSlices {
        second: Vec::with_capacity(slices),
        vlan_id: Vec::with_capacity(slices),
        a_mac: Vec::with_capacity(slices),
        b_mac: Vec::with_capacity(slices),
        a_ip: Vec::with_capacity(slices * 16),
        b_ip: Vec::with_capacity(slices * 16),
        ip_version: Vec::with_capacity(slices),
        protocol: Vec::with_capacity(slices),
        has_ports: Vec::with_capacity(slices),
        a_port: Vec::with_capacity(slices),
        b_port: Vec::with_capacity(slices),
        packets: Vec::with_capacity(slices),
        ..Default::default()
    }
}

fn push_head(columns: &mut v1::FlowSlices, head: &Head) {
    columns.second.push(head.second);
    columns.vlan_id.push(u32::from(head.key.vlan.as_u16()));
    columns.a_mac.push(head.key.a_mac.as_u64());
    columns.b_mac.push(head.key.b_mac.as_u64());
    columns.a_ip.extend_from_slice(&head.key.a_ip);
    columns.b_ip.extend_from_slice(&head.key.b_ip);
    columns.ip_version.push(head.key.ip_version);
    columns.protocol.push(head.key.protocol);
    columns.has_ports.push(u8::from(head.key.has_ports));
    columns.a_port.push(u32::from(head.key.a_port));
    columns.b_port.push(u32::from(head.key.b_port));
    columns.packets.push(head.packets);
}

#[inline]
fn set<T>(column: &mut [T], at: usize, value: T) {
    if let Some(place) = column.get_mut(at) {
        *place = value;
    }
}
