//! Whose a packet is: said once by SQL for what is stored, and once in Rust for
//! what is followed. Both have to say the same.

use std::collections::BTreeMap;

use iotq_tests::system::{Analyzer, Process, Setup, captures, eventually, has_engine, replay};
use serde_json::Value;

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

/// The device of each packet, told by everything else that is said of it.
fn devices(rows: &[Value]) -> BTreeMap<String, Value> {
    let key = |row: &Value| {
        let fields = ["captured_at", "src_ip", "src_port", "dst_ip", "dst_port", "wire_bytes", "tcp_flags", "vlan_id"];
        fields.map(|field| row[field].to_string()).join(" ")
    };
    rows.iter().map(|row| (key(row), row["device"].clone())).collect()
}
