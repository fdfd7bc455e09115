//! Fixed answers: a small household.

use std::net::IpAddr;

use iotq_proto::{LinkProtocol, LossStage, MacAddr, UndecodedReason, address_octets, v1::*};

/// 2026-05-01T13:00:00Z.
pub(crate) const SINCE_NS: i64 = 1_777_640_400_000_000_000;
const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;

/// An hour of which nothing is missing.
pub(crate) fn complete() -> Header {
    Header {
        since_ns: Some(SINCE_NS),
        until_ns: Some(SINCE_NS + 60 * MINUTE),
        coverage: Some(Coverage {
            collectors_expected: 1,
            collectors_reporting: 1,
            frames: 2_345,
            ..Coverage::default()
        }),
        notes: Vec::new(),
        ..Header::default()
    }
}

/// An hour of which much is missing.
pub(crate) fn incomplete() -> Header {
    let coverage = Coverage {
        collectors_expected: 3,
        collectors_reporting: 2,
        frames: 123_456,
        lost_packets: 1_234,
        lost_by_stage: vec![
            LossCount { stage: LossStage::KernelRing.into(), packets: 1_200 },
            LossCount { stage: LossStage::WindowQueue.into(), packets: 30 },
            LossCount { stage: 99, packets: 4 },
        ],
        undecoded: 5,
        gaps: vec![Gap {
            collector: "attic".into(),
            from_at_ns: SINCE_NS + 5 * MINUTE,
            until_at_ns: SINCE_NS + 6 * MINUTE,
            reason: gap::Reason::BatchesMissing.into(),
            missing_batches: 6,
        }],
    };
    let notes = vec!["no device is called `Kindel`".to_owned()];
    Header { coverage: Some(coverage), notes, ..complete() }
}

/// The answer to each question, by the question's name.
pub(crate) fn answers() -> Vec<(&'static str, Rows)> {
    vec![
        ("top-talkers", Rows { top_talkers: top_talkers(), ..Rows::default() }),
        ("devices", Rows { devices: devices(), ..Rows::default() }),
        ("destinations", Rows { destinations: destinations(), ..Rows::default() }),
        ("conversations", Rows { conversations: conversations(), ..Rows::default() }),
        ("connections", Rows { connections: connections(), ..Rows::default() }),
        ("timeline", Rows { timeline: timeline(""), ..Rows::default() }),
        ("unanswered", Rows { unanswered: unanswered(), ..Rows::default() }),
        ("keepalives", Rows { keepalives: keepalives(), ..Rows::default() }),
        ("dns", Rows { dns: dns(), ..Rows::default() }),
        ("tls", Rows { tls: tls(), ..Rows::default() }),
        ("time-servers", Rows { time_servers: time_servers(), ..Rows::default() }),
        ("first-seen", Rows { first_seen: first_seen(), ..Rows::default() }),
        ("diff", Rows { diff: diff(), ..Rows::default() }),
        ("groups", Rows { groups: groups(), ..Rows::default() }),
        ("packets", Rows { packets: packets(), ..Rows::default() }),
        ("status", Rows { status: vec![status()], ..Rows::default() }),
    ]
}

fn ip(text: &str) -> Vec<u8> {
    let ip: IpAddr = text.parse().expect("fixtures are addresses");
    address_octets(ip).to_vec()
}

fn mac(text: &str) -> u64 {
    let mac: MacAddr = text.parse().expect("fixtures are MAC addresses");
    mac.as_u64()
}

fn top_talkers() -> Vec<TopTalker> {
    vec![
        TopTalker {
            device: "00:00:5e:00:53:01".into(),
            name: "Kindle".into(),
            vendor: "Example Electronics Ltd.".into(),
            groups: vec!["mobile".into()],
            ips: vec![ip("192.0.2.31"), ip("2001:db8::31"), ip("fe80::200:5eff:fe00:5301")],
            packets: 387,
            wire_bytes: 123_456,
            packets_per_minute: 6.45,
            awake_packets_per_minute: 77.4,
            peers: 9,
            share: 0.5,
            usual_packets_per_minute: Some(1.5),
            also_seen_by: vec!["cellar".into()],
        },
        TopTalker {
            device: "00:00:5e:00:53:02".into(),
            name: "Living room, the lamp beside the old piano".into(),
            groups: vec!["iot".into(), "upstairs".into()],
            ips: vec![ip("192.0.2.32")],
            packets: 1_234_567,
            wire_bytes: 5_368_709_120,
            packets_per_minute: 20_576.1,
            awake_packets_per_minute: 0.024,
            peers: 1,
            share: 0.4999,
            ..TopTalker::default()
        },
        TopTalker { device: "192.0.2.33".into(), packets: 1, wire_bytes: 60, share: 0.0001, ..TopTalker::default() },
    ]
}

fn devices() -> Vec<Device> {
    vec![
        Device {
            device: "00:00:5e:00:53:01".into(),
            mac: mac("00:00:5e:00:53:01"),
            ips: vec![ip("192.0.2.31"), ip("2001:db8::31")],
            name: "Kindle".into(),
            name_source: "user".into(),
            vendor: "Example Electronics Ltd.".into(),
            groups: vec!["mobile".into()],
            first_seen_at_ns: SINCE_NS,
            last_seen_at_ns: SINCE_NS + 5 * MINUTE + 123_456_789,
            packets: 387,
            wire_bytes: 123_456,
            packets_per_minute: 6.45,
            local_only: false,
            name_at_ns: None,
            says: vec!["android-dhcp-9".into(), "_amzn-wplay._tcp".into()],
        },
        Device {
            device: "192.0.2.33".into(),
            ips: vec![ip("192.0.2.33")],
            first_seen_at_ns: -1,
            last_seen_at_ns: SINCE_NS,
            packets: 12,
            wire_bytes: 1_024,
            packets_per_minute: 0.2,
            local_only: true,
            ..Device::default()
        },
    ]
}

fn destinations() -> Vec<Destination> {
    vec![
        Destination {
            device: "00:00:5e:00:53:01".into(),
            device_name: "Kindle".into(),
            destination: "firs-ta-g7g.books.example.com".into(),
            name_source: "sni".into(),
            ips: vec![ip("203.0.113.7"), ip("203.0.113.8")],
            asn: 64_496,
            as_name: "Example Cloud".into(),
            country: "IE".into(),
            packets: 301,
            wire_bytes: 100_000,
            first_seen_at_ns: SINCE_NS,
            last_seen_at_ns: SINCE_NS + 5 * MINUTE,
            encrypted_share: Some(0.875),
            owner: "Example Books".into(),
            category: "cloud".into(),
            name_at_ns: Some(SINCE_NS + MINUTE),
        },
        Destination {
            device: "00:00:5e:00:53:02".into(),
            destination: "198.51.100.9".into(),
            name_source: "address".into(),
            ips: vec![ip("198.51.100.9")],
            packets: 3,
            wire_bytes: 222,
            first_seen_at_ns: SINCE_NS,
            last_seen_at_ns: SINCE_NS,
            ..Destination::default()
        },
    ]
}

fn conversations() -> Vec<Conversation> {
    let row = |a: &str, b: &str, ip_version| Conversation {
        a_ip: ip(a),
        b_ip: ip(b),
        ip_version,
        a_packets: 1_000,
        b_packets: 0,
        a_wire_bytes: 60_000,
        b_wire_bytes: 0,
        first_at_ns: SINCE_NS,
        last_at_ns: SINCE_NS + MINUTE,
    };
    vec![
        row("192.0.2.31", "203.0.113.7", 4),
        row("2001:db8::1", "ff02::fb", 6),
        // A mapped address in an IPv6 header is no IPv4 address.
        row("::ffff:192.0.2.1", "::ffff:192.0.2.2", 6),
    ]
}

fn connections() -> Vec<Connection> {
    vec![
        Connection {
            orig_ip: ip("192.0.2.41"),
            orig_port: Some(49_152),
            resp_ip: ip("203.0.113.7"),
            resp_port: Some(443),
            ip_version: 4,
            protocol: 6,
            state: "S1".into(),
            started_at_ns: SINCE_NS,
            ended_at_ns: None,
            last_at_ns: SINCE_NS + 59 * MINUTE,
            orig_packets: 70,
            resp_packets: 69,
            orig_wire_bytes: 5_000,
            resp_wire_bytes: 4_900,
            device: "00:00:5e:00:53:03".into(),
            device_name: "Roomba".into(),
            peer_name: "robots.example.com".into(),
            orig_name: "Roomba".into(),
            resp_name: "robots.example.com".into(),
            name_source: "sni".into(),
            history: "ShADad".into(),
            service: "tls".into(),
            orig_payload_bytes: 1_220,
            resp_payload_bytes: 1_174,
            orig_retransmitted: 2,
            handshake_rtt_ns: Some(12_345_678),
            tls_version: 0x0303,
            keepalive_period_secs: Some(52.5),
            collector: "attic".into(),
            also_seen_by: vec!["cellar".into()],
            ..Connection::default()
        },
        Connection {
            orig_ip: ip("2001:db8::1"),
            resp_ip: ip("2001:db8::2"),
            ip_version: 6,
            protocol: 58,
            started_at_ns: SINCE_NS,
            ended_at_ns: Some(SINCE_NS + 1_500_000_000),
            last_at_ns: SINCE_NS + 1_500_000_000,
            orig_packets: 1,
            orig_wire_bytes: 86,
            ..Connection::default()
        },
    ]
}

/// Five busy minutes from 13:20 on, and a beat every ten minutes.
pub(crate) fn timeline(key: &str) -> Vec<TimelinePoint> {
    let point = |minute: i64, packets| TimelinePoint {
        at_ns: SINCE_NS + minute * MINUTE,
        key: key.to_lowercase(),
        name: key.into(),
        packets,
        wire_bytes: packets * 100,
        step_secs: 60,
    };
    let busy = [(20, 60), (21, 90), (22, 77), (23, 100), (24, 60)];
    let beats = [0, 10, 30, 40, 50].map(|minute| (minute, 3));
    beats.into_iter().chain(busy).map(|(minute, packets)| point(minute, packets)).collect()
}

fn unanswered() -> Vec<Unanswered> {
    vec![
        Unanswered {
            device: "00:00:5e:00:53:04".into(),
            device_name: "Plug beside the fridge".into(),
            peer_name: "iot.plugs.example.com".into(),
            name_source: "dns".into(),
            peer_ip: ip("203.0.113.20"),
            peer_port: 443,
            protocol: 6,
            attempts: 12,
            syns: 48,
            refused: 1,
            unreachable: 2,
            median_interval_secs: Some(300.25),
            first_at_ns: SINCE_NS,
            last_at_ns: SINCE_NS + 55 * MINUTE,
            asked_dns: true,
            orig_ip: ip("192.0.2.51"),
            since_at_ns: SINCE_NS - 3 * 24 * 60 * MINUTE,
        },
        Unanswered {
            peer_ip: ip("2001:db8::99"),
            peer_port: 8_883,
            protocol: 17,
            attempts: 1,
            first_at_ns: SINCE_NS,
            last_at_ns: SINCE_NS,
            orig_ip: ip("2001:db8::1"),
            since_at_ns: SINCE_NS,
            ..Unanswered::default()
        },
    ]
}

fn keepalives() -> Vec<Keepalive> {
    vec![
        Keepalive {
            device: "00:00:5e:00:53:03".into(),
            device_name: "Roomba".into(),
            peer_name: "robots.example.com".into(),
            name_source: "sni".into(),
            peer_ip: ip("203.0.113.7"),
            peer_port: Some(443),
            protocol: 6,
            kind: keepalive::Kind::WithinConnection.into(),
            period_secs: 52.5,
            jitter_secs: 3.25,
            beats: 68,
            bytes_per_beat: 186.0,
            first_at_ns: SINCE_NS,
            last_at_ns: SINCE_NS + 59 * MINUTE,
            beacon_score: 0.97,
            open: true,
        },
        Keepalive {
            device: "192.0.2.33".into(),
            peer_ip: ip("198.51.100.77"),
            protocol: 1,
            kind: keepalive::Kind::AcrossConnections.into(),
            period_secs: 600.0,
            jitter_secs: 0.012,
            beats: 6,
            bytes_per_beat: 98.5,
            first_at_ns: SINCE_NS,
            last_at_ns: SINCE_NS + 50 * MINUTE,
            ..Keepalive::default()
        },
    ]
}

fn dns() -> Vec<Dns> {
    let record =
        |name: &str, r#type, data: &str| DnsRecord { name: name.into(), r#type, ttl_secs: 60, data: data.into() };
    let asked = Dns {
        asked_at_ns: SINCE_NS,
        kind: "dns".into(),
        device: "00:00:5e:00:53:01".into(),
        device_name: "Kindle".into(),
        client_ip: ip("192.0.2.31"),
        server_ip: ip("192.0.2.1"),
        qname: "books.example.com".into(),
        qtype: 1,
        protocol: 17,
        collector: "attic".into(),
        ..Dns::default()
    };
    vec![
        Dns {
            rcode: Some(0),
            answered_at_ns: Some(SINCE_NS + 23_000_000),
            answers: vec![
                record("books.example.com", 5, "books.cdn.example.net"),
                record("books.cdn.example.net", 1, "203.0.113.7"),
            ],
            also_seen_by: vec!["cellar".into()],
            ..asked.clone()
        },
        Dns { qname: ".".into(), qtype: 65_280, rcode: Some(3), answered_at_ns: Some(SINCE_NS), ..asked.clone() },
        Dns { device: String::new(), device_name: String::new(), kind: "mdns".into(), qtype: 28, ..asked },
    ]
}

fn tls() -> Vec<Tls> {
    vec![
        Tls {
            seen_at_ns: SINCE_NS,
            device: "00:00:5e:00:53:01".into(),
            device_name: "Kindle".into(),
            client_ip: ip("192.0.2.31"),
            server_ip: ip("203.0.113.7"),
            server_port: 443,
            transport: "tcp".into(),
            version: 0x0304,
            sni: "firs-ta-g7g.books.example.com".into(),
            alpn: vec!["h2".into(), "http/1.1".into()],
            ja4: "t13d1516h2_8daaf6152771_02713d6af862".into(),
            ech: true,
            client_port: 49_152,
            collector: "attic".into(),
            also_seen_by: vec!["cellar".into()],
        },
        Tls {
            seen_at_ns: SINCE_NS + SECOND,
            client_ip: ip("192.0.2.32"),
            server_ip: ip("198.51.100.9"),
            server_port: 8_443,
            transport: "tcp".into(),
            version: 0x0002,
            client_port: 50_000,
            collector: "attic".into(),
            ..Tls::default()
        },
    ]
}

fn time_servers() -> Vec<TimeServer> {
    vec![
        TimeServer {
            device: "00:00:5e:00:53:04".into(),
            device_name: "Plug beside the fridge".into(),
            server_ip: ip("198.51.100.1"),
            server_name: "time.example.com".into(),
            name_source: "dns".into(),
            requests: 4,
            replies: 3,
            median_interval_secs: Some(1_024.5),
            first_at_ns: SINCE_NS,
            last_at_ns: SINCE_NS + 51 * MINUTE,
        },
        TimeServer {
            device: "192.0.2.33".into(),
            server_ip: ip("2001:db8::123"),
            requests: 1,
            first_at_ns: SINCE_NS,
            last_at_ns: SINCE_NS,
            ..TimeServer::default()
        },
    ]
}

fn first_seen() -> Vec<FirstSeen> {
    vec![
        FirstSeen {
            device: "00:00:5e:00:53:01".into(),
            device_name: "Kindle".into(),
            destination: "ads.example.net".into(),
            name_source: "dns".into(),
            asn: 64_497,
            as_name: "Example Networks".into(),
            country: "US".into(),
            owner: "Example Ads".into(),
            first_seen_at_ns: SINCE_NS + 7 * MINUTE,
            last_seen_at_ns: SINCE_NS + 8 * MINUTE,
        },
        FirstSeen {
            device: "192.0.2.33".into(),
            destination: "198.51.100.9".into(),
            name_source: "address".into(),
            first_seen_at_ns: SINCE_NS,
            last_seen_at_ns: SINCE_NS,
            ..FirstSeen::default()
        },
    ]
}

fn diff() -> Vec<Difference> {
    use difference::{Change, Kind};

    let row = |kind: Kind, change: Change, what: &str, before, after| Difference {
        kind: kind.into(),
        change: change.into(),
        device: "00:00:5e:00:53:03".into(),
        device_name: "Roomba".into(),
        what: what.into(),
        before,
        after,
    };
    vec![
        row(Kind::Device, Change::Changed, "", Some(2.4), Some(9.75)),
        row(Kind::Destination, Change::New, "ads.example.net", None, Some(0.02)),
        row(Kind::Country, Change::Gone, "IE", Some(1.0), None),
        row(Kind::Period, Change::Changed, "robots.example.com", Some(52.5), Some(600.0)),
        Difference {
            device: "192.0.2.33".into(),
            device_name: String::new(),
            ..row(Kind::Device, Change::New, "", None, Some(1.0))
        },
    ]
}

fn groups() -> Vec<Group> {
    vec![
        Group {
            group: "iot".into(),
            devices: vec!["00:00:5e:00:53:03".into(), "192.0.2.33".into()],
            device_names: vec!["Roomba".into(), String::new()],
            members: vec!["192.0.2.32/27".into(), "Roomba".into()],
        },
        Group { group: "mobile".into(), ..Group::default() },
    ]
}

fn packets() -> Vec<Packet> {
    vec![
        Packet {
            captured_at_ns: SINCE_NS + 123_456_789,
            collector: "attic".into(),
            src_ip: ip("192.0.2.31"),
            src_port: Some(49_152),
            dst_ip: ip("203.0.113.7"),
            dst_port: Some(443),
            ip_version: 4,
            protocol: 6,
            wire_bytes: 74,
            payload_bytes: 0,
            tcp_flags: Some(0x002),
            vlan_id: None,
            device: "00:00:5e:00:53:01".into(),
            device_name: "Kindle".into(),
            peer_name: String::new(),
            src_name: "Kindle".into(),
            dst_name: String::new(),
            also_seen_by: vec!["cellar".into()],
        },
        Packet {
            captured_at_ns: SINCE_NS + SECOND,
            collector: "attic".into(),
            src_ip: ip("fe80::1"),
            dst_ip: ip("ff02::1"),
            ip_version: 6,
            protocol: 58,
            wire_bytes: 118,
            payload_bytes: 56,
            vlan_id: Some(7),
            ..Packet::default()
        },
        Packet {
            captured_at_ns: SINCE_NS + 2 * SECOND,
            collector: "attic".into(),
            src_ip: ip("192.0.2.31"),
            src_port: Some(123),
            dst_ip: ip("198.51.100.1"),
            dst_port: Some(123),
            ip_version: 4,
            protocol: 17,
            wire_bytes: 90,
            payload_bytes: 48,
            peer_name: "time.example.com".into(),
            dst_name: "time.example.com".into(),
            ..Packet::default()
        },
        Packet {
            captured_at_ns: SINCE_NS + 3 * SECOND,
            src_ip: ip("192.0.2.1"),
            dst_ip: ip("192.0.2.2"),
            ip_version: 4,
            protocol: 253,
            wire_bytes: 60,
            ..Packet::default()
        },
    ]
}

fn status() -> Status {
    let no_ip = |link_protocol: LinkProtocol, mac, frames| NoIpCount {
        link_protocol: link_protocol.as_u32(),
        mac,
        frames,
        wire_bytes: frames * 60,
    };
    let busy = CollectorStatus {
        collector: "attic".into(),
        connected: true,
        version: "0.1.0".into(),
        inputs: vec!["eth1".into(), "eth2".into()],
        last_batch_at_ns: Some(SINCE_NS),
        batches: 3_600,
        frames: 100_012,
        stored_packets: 100_000,
        no_ip: 6,
        undecoded: 2,
        gaps: vec![Gap {
            collector: "attic".into(),
            from_at_ns: SINCE_NS - 20 * MINUTE,
            until_at_ns: SINCE_NS - 10 * MINUTE,
            reason: gap::Reason::NotRunning.into(),
            missing_batches: 0,
        }],
        lost_by_stage: vec![LossCount { stage: LossStage::KernelRing.into(), packets: 4 }],
        undecoded_by_reason: vec![UndecodedCount { reason: UndecodedReason::IpVersion.into(), frames: 2 }],
        no_ip_by_protocol: vec![
            no_ip(LinkProtocol::ether_type(0x0806), 1, 3),
            no_ip(LinkProtocol::ether_type(0x0806), 2, 2),
            no_ip(LinkProtocol::llc(0x42), 3, 1),
        ],
        clamped_times: 1,
        covered_from_at_ns: Some(SINCE_NS - 60 * MINUTE),
        covered_until_at_ns: Some(SINCE_NS),
        spool: Some(SpoolState {
            batches: 12,
            bytes: 1_200_000,
            oldest_sealed_at_ns: Some(SINCE_NS - 2 * MINUTE),
            degraded: true,
            given_up_frames: 7,
            damaged_files: 1,
        }),
        certificate_expires_at_ns: Some(SINCE_NS + 90 * 24 * 60 * MINUTE),
    };
    let idle = CollectorStatus { collector: "cellar".into(), ..CollectorStatus::default() };
    let table = |name: &str, bytes, rows, retention_days: Option<u32>| TableStatus {
        table: name.into(),
        bytes,
        rows,
        oldest_at_ns: retention_days.map(|_| SINCE_NS / (24 * 60 * MINUTE) * (24 * 60 * MINUTE)),
        retention_days,
        bytes_per_day: bytes / 10,
    };
    Status {
        collectors: vec![busy, idle],
        store: Some(StoreStatus {
            tables: vec![table("slices", 360_000, 16_393, Some(30)), table("endpoints", 4_096, 3_600, None)],
            oldest_at_ns: Some(SINCE_NS - 24 * 60 * MINUTE),
            kind: "embedded".into(),
            free_bytes: 12 << 20,
            full: "the disk of /srv/iotq is full: 12 MiB are free, 24 MiB are needed".into(),
            retention_bytes: Some(20 << 30),
            bytes_per_day: 36_409,
            days_left: Some(345.6),
        }),
        certificate_expires_at_ns: Some(SINCE_NS + 800 * 24 * 60 * MINUTE),
        versions: [("analyzer", "0.1.0"), ("clickhouse", "26.7.2.1"), ("schema", "3")]
            .map(|(name, version)| (name.to_owned(), version.to_owned()))
            .into(),
    }
}
