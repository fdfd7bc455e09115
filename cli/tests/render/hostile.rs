//! Names are chosen by strangers: whatever they send, a terminal must not obey.

use iotq_proto::v1::{
    CollectorStatus, Connection, Coverage, Destination, Device, Difference, Dns, DnsRecord, FirstSeen, Gap, Group,
    Header, Keepalive, Packet, Rows, Status, StoreStatus, TableStatus, TimeServer, TimelinePoint, Tls, TopTalker,
    Unanswered,
};
use proptest::prelude::*;

use crate::ask::{terminal, written};

/// Text with a liking for what terminals obey.
pub(crate) fn text() -> impl Strategy<Value = String> {
    let char = prop_oneof![
        any::<char>(),
        Just('\x1b'),
        Just('\n'),
        Just('\r'),
        Just('\u{9b}'),
        Just('\u{7f}'),
        Just('\u{202e}'),
        Just('['),
        Just('m'),
        Just('<'),
        Just('>'),
        Just('&'),
        Just('"'),
        Just('\''),
    ];
    proptest::collection::vec(char, 0..12).prop_map(String::from_iter)
}

pub(crate) fn rows(question: &str, texts: &[String], number: u64, octets: &[u8]) -> Rows {
    let t = |index: usize| texts[index % texts.len()].clone();
    let (n32, signed) = (u32::try_from(number & 0xffff_ffff).unwrap_or(0), number.cast_signed());
    let mut rows = Rows::default();
    match question {
        "top-talkers" => rows.top_talkers.push(TopTalker {
            device: t(0),
            name: t(1),
            vendor: t(2),
            groups: vec![t(3), t(4)],
            ips: vec![octets.to_vec()],
            packets: number,
            wire_bytes: number,
            packets_per_minute: f64::from_bits(number),
            awake_packets_per_minute: -f64::from_bits(number),
            peers: number,
            share: f64::from_bits(number),
            usual_packets_per_minute: Some(f64::from_bits(number >> 1)),
            also_seen_by: vec![t(5)],
        }),
        "devices" => rows.devices.push(Device {
            device: t(0),
            mac: number,
            ips: vec![octets.to_vec(), octets.to_vec()],
            name: t(1),
            name_source: t(2),
            vendor: t(3),
            groups: vec![t(4)],
            first_seen_at_ns: signed,
            last_seen_at_ns: signed,
            says: vec![t(5), t(6)],
            ..Device::default()
        }),
        "destinations" => rows.destinations.push(Destination {
            device: t(0),
            device_name: t(1),
            destination: t(2),
            name_source: t(3),
            as_name: t(4),
            country: t(5),
            owner: t(6),
            category: t(7),
            asn: n32,
            encrypted_share: Some(f64::from_bits(number)),
            ..Destination::default()
        }),
        "connections" => rows.connections.push(Connection {
            orig_ip: octets.to_vec(),
            orig_port: Some(n32),
            ip_version: n32 % 8,
            protocol: n32,
            state: t(0),
            started_at_ns: signed,
            ended_at_ns: Some(i64::MIN),
            device: t(1),
            device_name: t(2),
            peer_name: t(3),
            orig_name: t(4),
            resp_name: t(5),
            name_source: t(4),
            history: t(6),
            service: t(7),
            end: t(0),
            tls_version: n32,
            handshake_rtt_ns: Some(number),
            keepalive_period_secs: Some(f64::from_bits(number)),
            collector: t(1),
            also_seen_by: vec![t(2)],
            ..Connection::default()
        }),
        "timeline" => rows.timeline.extend((0..3).map(|index: usize| TimelinePoint {
            at_ns: signed.wrapping_mul(i64::from(index > 0)),
            key: t(index),
            name: t(index + 1),
            packets: number,
            wire_bytes: number,
            step_secs: number >> 32,
        })),
        "unanswered" => rows.unanswered.push(Unanswered {
            device: t(0),
            device_name: t(1),
            peer_name: t(2),
            name_source: t(3),
            peer_ip: octets.to_vec(),
            peer_port: n32,
            protocol: n32,
            attempts: number,
            median_interval_secs: Some(f64::from_bits(number)),
            first_at_ns: signed,
            since_at_ns: signed,
            ..Unanswered::default()
        }),
        "keepalives" => rows.keepalives.push(Keepalive {
            device: t(0),
            device_name: t(1),
            peer_name: t(2),
            name_source: t(3),
            peer_ip: octets.to_vec(),
            peer_port: Some(n32),
            protocol: n32,
            kind: n32.cast_signed(),
            period_secs: f64::from_bits(number),
            jitter_secs: -f64::from_bits(number),
            beats: number,
            bytes_per_beat: f64::from_bits(number),
            last_at_ns: signed,
            ..Keepalive::default()
        }),
        "dns" => rows.dns.push(Dns {
            asked_at_ns: signed,
            kind: t(0),
            device: t(1),
            device_name: t(2),
            client_ip: octets.to_vec(),
            qname: t(3),
            qtype: n32,
            rcode: Some(n32).filter(|_| !number.is_multiple_of(3)),
            answered_at_ns: Some(i64::MIN),
            answers: vec![
                DnsRecord { name: t(4), r#type: n32, ttl_secs: n32, data: t(5) };
                usize::from(!number.is_multiple_of(2))
            ],
            collector: t(6),
            also_seen_by: vec![t(7)],
            ..Dns::default()
        }),
        "tls" => rows.tls.push(Tls {
            seen_at_ns: signed,
            device: t(0),
            device_name: t(1),
            transport: t(2),
            version: n32,
            sni: t(3),
            alpn: vec![t(4), t(5)],
            ja4: t(6),
            collector: t(7),
            server_ip: octets.to_vec(),
            ..Tls::default()
        }),
        "time-servers" => rows.time_servers.push(TimeServer {
            device: t(0),
            device_name: t(1),
            server_name: t(2),
            name_source: t(3),
            server_ip: octets.to_vec(),
            median_interval_secs: Some(f64::from_bits(number)),
            last_at_ns: signed,
            ..TimeServer::default()
        }),
        "first-seen" => rows.first_seen.push(FirstSeen {
            device: t(0),
            device_name: t(1),
            destination: t(2),
            name_source: t(3),
            as_name: t(4),
            country: t(5),
            owner: t(6),
            asn: n32,
            first_seen_at_ns: signed,
            ..FirstSeen::default()
        }),
        "diff" => rows.diff.push(Difference {
            kind: n32.cast_signed() % 7,
            change: n32.cast_signed() % 5,
            device: t(0),
            device_name: t(1),
            what: t(2),
            before: Some(f64::from_bits(number)),
            after: Some(-f64::from_bits(number)),
        }),
        "groups" => rows.groups.push(Group {
            group: t(0),
            devices: vec![t(1), t(2)],
            device_names: vec![t(3)],
            members: vec![t(4), t(5)],
        }),
        "packets" => rows.packets.push(Packet {
            captured_at_ns: signed,
            collector: t(0),
            src_ip: octets.to_vec(),
            src_port: Some(n32),
            protocol: n32,
            tcp_flags: Some(n32),
            vlan_id: Some(n32),
            device: t(1),
            src_name: t(2),
            dst_name: t(3),
            ..Packet::default()
        }),
        _ => rows.status.push(Status {
            collectors: vec![CollectorStatus {
                collector: t(0),
                version: t(1),
                inputs: vec![t(2), t(3)],
                last_batch_at_ns: Some(signed),
                ..CollectorStatus::default()
            }],
            store: Some(StoreStatus {
                tables: vec![
                    TableStatus {
                        table: t(4),
                        bytes: number,
                        rows: number,
                        oldest_at_ns: Some(signed),
                        retention_days: Some(u32::MAX),
                        bytes_per_day: number,
                    };
                    2
                ],
                oldest_at_ns: Some(signed),
                kind: t(5),
                free_bytes: number,
                full: t(0),
                retention_bytes: Some(number),
                bytes_per_day: number,
                days_left: Some(f64::MAX),
            }),
            versions: [(t(6), t(7))].into(),
            certificate_expires_at_ns: Some(signed),
        }),
    }
    rows
}

proptest! {
    #[test]
    fn tables_and_notes_hold_no_control_characters(
        texts in proptest::collection::vec(text(), 8),
        number: u64,
        octets in proptest::collection::vec(any::<u8>(), 14..18),
        width in proptest::option::of(1usize..200),
        question in prop_oneof![
            Just("top-talkers"), Just("devices"), Just("destinations"), Just("connections"), Just("timeline"),
            Just("packets"), Just("status"), Just("unanswered"), Just("keepalives"), Just("dns"), Just("tls"),
            Just("time-servers"), Just("first-seen"), Just("diff"), Just("groups"),
        ],
    ) {
        let header = Header {
            since_ns: None,
            until_ns: Some(number.cast_signed()),
            coverage: Some(Coverage {
                gaps: vec![Gap { collector: texts[0].clone(), from_at_ns: i64::MIN, until_at_ns: i64::MAX, reason: 99, missing_batches: u64::MAX }],
                ..Coverage::default()
            }),
            notes: vec![texts[1].clone()],
            stored_from_ns: Some(i64::MIN),
            stored_until_ns: Some(i64::MAX),
        };
        let rows = [rows(question, &texts, number, &octets)];
        let line = [question];
        let answer = written(&line, terminal(width), &header, &rows, true).expect("any answer can be written");
        for text in [answer.out, answer.notes] {
            prop_assert!(!text.chars().any(|char| char.is_control() && char != '\n'), "{text:?}");
            prop_assert!(!text.contains(['\u{202e}', '\u{2028}']), "{text:?}");
        }
        // The same rows as JSON come back, and hold nothing to obey either.
        let json = written(&[question, "--format", "json"], terminal(width), &header, &rows, true).expect("json");
        prop_assert!(!json.out.chars().any(|char| char.is_control() && char != '\n'));
        prop_assert!(serde_json::from_str::<serde_json::Value>(&json.out).is_ok());
        // A line a row, whatever the row holds.
        let lines = written(&[question, "--format", "jsonl"], terminal(width), &header, &rows, true).expect("jsonl");
        for line in lines.out.lines() {
            prop_assert!(serde_json::from_str::<serde_json::Value>(line).is_ok());
        }
    }
}
