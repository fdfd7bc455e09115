//! Whose packets are, and with how many addresses devices spoke. Whose a packet is, is said once by SQL for what is
//! stored, and once in Rust for what is followed: both have to say the same.

use std::collections::BTreeMap;

use iotq_tests::system::{Analyzer, ClickHouse, Process, Setup, captures, eventually, has_engine, replay};
use serde_json::{Value, json};

/// With routers, VLANs, cooked links without the receiver's MAC, several IPv6 networks.
const FILES: [&str; 5] =
    ["web-tls13-v6.pcap", "sll-home.pcap", "vlan-qinq.pcap", "iot-inspector-appdata.pcap", "pppoe-qinq-v6.pcap"];

#[test]
fn packets_followed_have_the_devices_of_packets_stored() {
    let Some(captures) = captures() else { return };
    if !has_engine() {
        return;
    }
    let analyzer = Analyzer::start(Setup::default());
    for file in FILES {
        let path = captures.join(file);
        // Links are judged per collector; the second time all is known of this one.
        replay(&analyzer.url(), &[&path], &["--name", file]).assert_balanced();
        let mut follow =
            Process::start(&mut analyzer.question(["packets", "--follow", "--collector", file, "--format", "jsonl"]));
        // Until it listens nothing can be seen of it: send again until it has seen one whole replay.
        let stored = eventually("one replay is followed", || {
            replay(&analyzer.url(), &[&path], &["--name", file]).assert_balanced();
            let rows = analyzer.rows(["packets", "--since", "all", "--collector", file]);
            (!follow.stdout().is_empty()).then_some(rows)
        });
        let rows = |text: String| -> Vec<Value> {
            // The last line may be half written.
            text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
        };
        let known = devices(&stored);
        let followed = eventually("the replay is followed to its end", || {
            let followed = rows(follow.stdout());
            (devices(&followed).len() == known.len()).then_some(followed)
        });
        assert_eq!(devices(&followed), known, "{file}");
        follow.kill9();
    }
}

/// More than are kept to be counted; of the last of them there are two packets.
#[test]
fn all_addresses_that_a_scan_met_are_counted() {
    if !has_engine() {
        return;
    }
    let server = ClickHouse::start();
    let analyzer = Analyzer::start(Setup { clickhouse: Some(server.url()), ..Setup::default() });
    let _ = server.query(&format!(
        "INSERT INTO iotq.slices SELECT today() AS arrived_on, 'attic' AS collector, 1 AS epoch, 1 AS seq, \
         1793750400 AS second, 65535 AS vlan_id, toUInt64(0x48e1e9000001) AS a_mac, toUInt64(0x5e005302) AS b_mac, \
         toIPv6('192.168.7.2') AS a_ip, toIPv6(IPv4NumToString(toUInt32(0x34000000 + least(number, {PEERS} - 1)))) AS b_ip, \
         4 AS ip_version, 6 AS protocol, 1 AS has_ports, 50000 AS a_port, 443 AS b_port, 1 AS a_packets, 0 AS b_packets, \
         60 AS a_wire_bytes, 0 AS b_wire_bytes, [toUInt32(7)] AS offset_ns, [toUInt32(60)] AS wire_bytes, \
         [toUInt32(60)] AS overhead_bytes, [toUInt16(2)] AS tcp_flags, [toUInt8(1)] AS from_a FROM numbers({PEERS} + 1)"
    ));
    for range in [&["--since", "all"][..], &["--since", "2026-11-04T00:00:00Z", "--until", "2026-11-04T00:30:00Z"]] {
        let rows = analyzer.rows(["top-talkers"].iter().chain(range).copied());
        let found: Vec<_> = rows.iter().map(|row| [&row["packets"], &row["peers"], &row["wire_bytes"]]).collect();
        assert_eq!(found, [[&json!(PEERS + 1), &json!(PEERS), &json!((PEERS + 1) * 60)]], "{range:?}");
    }
}

/// See `MAX_KEPT_PEERS` of the analyzer.
const PEERS: u64 = (1 << 18) + 1;

/// The device of each packet, told by everything else that is said of it.
fn devices(rows: &[Value]) -> BTreeMap<String, Value> {
    let key = |row: &Value| {
        let fields = ["captured_at", "src_ip", "src_port", "dst_ip", "dst_port", "wire_bytes", "tcp_flags", "vlan_id"];
        fields.map(|field| row[field].to_string()).join(" ")
    };
    rows.iter().map(|row| (key(row), row["device"].clone())).collect()
}
