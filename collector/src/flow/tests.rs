//! Connections written down segment by segment.

mod properties;
mod states;
mod time;

use iotq_proto::{ConnState, MacAddr, Service, VlanId};

use super::*;
use crate::packet::{Endpoint, FlowKey, Shared};

const CLIENT: [u8; 16] = [1; 16];
const SERVER: [u8; 16] = [2; 16];

/// A packet between client and server: `SECONDS > FLAGS SEQ ACK PAYLOAD`, `<` from
/// the server, numbers behind the flags if need be. Without flags (`-`) it is UDP.
fn packet(line: &str) -> Packet {
    let mut words = line.split_whitespace();
    let nanos: f64 = words.next().unwrap().parse::<f64>().unwrap() * 1e9;
    let is_reply = words.next() == Some("<");
    let letters = words.next().unwrap();
    let flags = letters.bytes().fold(0, |flags, letter| {
        flags
            | match letter {
                b'F' => 0x001,
                b'S' => 0x002,
                b'R' => 0x004,
                b'P' => 0x008,
                b'A' => 0x010,
                _ => 0,
            }
    });
    let mut number = || words.next().map_or(0, |word| word.parse::<u32>().unwrap());
    let is_udp = letters == "-";
    let (seq, ack) = if is_udp { (0, 0) } else { (number(), number()) };
    let payload_bytes = number();
    let client = Endpoint { ip: CLIENT, port: 50_000, mac: MacAddr::from_u64(0xc).unwrap() };
    let server = Endpoint { ip: SERVER, port: 443, mac: MacAddr::from_u64(0x5).unwrap() };
    let (src, dst) = if is_reply { (server, client) } else { (client, server) };
    let protocol = if is_udp { 17 } else { 6 };
    let shared = Shared { vlan: VlanId::UNTAGGED, protocol, ip_version: 6, has_ports: true };
    let (key, from_a) = FlowKey::between(src, dst, shared);
    #[expect(clippy::cast_possible_truncation, reason = "tests have short times")]
    let captured_at = Timestamp::from_nanos(nanos as i64).unwrap();
    Packet {
        captured_at,
        key,
        from_a,
        wire_bytes: 60 + payload_bytes,
        payload_bytes,
        tcp_flags: if is_udp { Packet::NO_TCP_FLAGS } else { flags },
        tcp_seq: seq,
        tcp_ack: ack,
    }
}

fn observe(flows: &mut Flows, lines: &[&str]) {
    for line in lines {
        flows.observe(&packet(line), &mut Place::UNKNOWN.clone());
    }
}

fn updates(flows: &mut Flows) -> Vec<v1::ConnectionUpdate> {
    let mut updates = Vec::new();
    loop {
        let mut batch = v1::Batch::default();
        let is_more_left = flows.move_into(&mut batch, MAX_BATCH_CONNECTIONS);
        assert!(batch.connections.len() <= MAX_BATCH_CONNECTIONS);
        updates.append(&mut batch.connections);
        if !is_more_left {
            return updates;
        }
    }
}

/// All connections of an input, each with one update.
fn finished(lines: &[&str]) -> Vec<v1::ConnectionUpdate> {
    let mut flows = Flows::new();
    observe(&mut flows, lines);
    flows.finish();
    updates(&mut flows)
}

/// `STATE HISTORY END` of each.
fn told(lines: &[&str]) -> Vec<String> {
    finished(lines).iter().map(text).collect()
}

fn text(update: &v1::ConnectionUpdate) -> String {
    let state = update.state().as_str_name().trim_start_matches("CONN_STATE_");
    let end = update.end().as_str_name().trim_start_matches("CONNECTION_END_");
    format!("{state} {} {end}", update.history)
}
