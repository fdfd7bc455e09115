use std::collections::BTreeMap;

use super::*;
use crate::doctor::tally::Conversations;

fn good() -> Evidence {
    Evidence {
        interface: "eth1".to_owned(),
        listened: Duration::from_secs(20),
        host: Host {
            mac: None,
            has_link: Some(true),
            speed_mbits: Some(1000),
            duplex: Some("full".to_owned()),
            mtu: Some(1500),
            is_promiscuous: Some(true),
            is_loopback: false,
        },
        drops: Drops { kernel: 0, interface: 0, damaged: Some(0) },
        tallied: Tallied {
            frames: 1000,
            has_macs: true,
            own: 0,
            group: 100,
            foreign: 900,
            foreign_senders: 14,
            conversations: Conversations { both: 40, one_way: 3, ..Conversations::default() },
            untagged: 950,
            longest_bytes: 1514,
            ..Tallied::default()
        },
        clock: Clock { host_secs: 1_790_000_000, offset: Ok(("http://127.0.0.1:50651".to_owned(), 0)) },
    }
}

fn found(evidence: &Evidence, name: &str) -> Check {
    judge(evidence).into_iter().find(|check| check.check == name).unwrap_or_else(|| panic!("no check {name}"))
}

#[test]
fn a_good_mirror_is_good_in_all_and_needs_no_advice() {
    let checks = judge(&good());
    assert_eq!(checks.len(), 10);
    for check in checks {
        assert_eq!((check.verdict, check.advice.as_str()), (Verdict::Ok, ""), "{check:?}");
        assert!(!check.seen.is_empty(), "{check:?}");
    }
}

/// A change to a good mirror, the check that it concerns, its verdict, and a word of what is said.
type Case = (fn(&mut Evidence), &'static str, Verdict, &'static str);

const CASES: &[Case] = &[
    (|e| e.host.has_link = Some(false), "link", Verdict::Fail, "cable"),
    (|e| e.host.duplex = Some("half".into()), "link", Verdict::Warn, "half duplex"),
    (|e| e.host.has_link = None, "link", Verdict::Unknown, "eth1"),
    (|e| e.host.is_loopback = true, "link", Verdict::Fail, "nothing of the network"),
    (|e| e.host.is_promiscuous = Some(false), "promiscuous", Verdict::Fail, "ip link set eth1 promisc on"),
    (|e| e.host.is_promiscuous = None, "promiscuous", Verdict::Unknown, "eth1"),
    (|e| e.tallied = silence(), "traffic", Verdict::Fail, "nothing arrived in 20 s"),
    (|e| e.tallied = silence(), "foreign_unicast", Verdict::Unknown, "nothing"),
    (|e| e.tallied = silence(), "both_directions", Verdict::Unknown, "no conversation"),
    (|e| e.tallied = silence(), "vlans", Verdict::Unknown, "no IP packet"),
    (|e| e.tallied = silence(), "doubles", Verdict::Unknown, "nothing"),
    (|e| e.tallied = silence(), "offloads", Verdict::Unknown, "nothing"),
    (|e| e.tallied.foreign = 0, "foreign_unicast", Verdict::Fail, "none of 1000 frames"),
    (|e| e.tallied.foreign = 9, "foreign_unicast", Verdict::Warn, "only 9"),
    (|e| e.tallied.foreign = 10, "foreign_unicast", Verdict::Ok, "10 unicast"),
    (|e| e.tallied.has_macs = false, "foreign_unicast", Verdict::Unknown, "`any`"),
    (|e| e.tallied.conversations = conversations(0, 4, 1), "both_directions", Verdict::Fail, "0 of 4"),
    (|e| e.tallied.conversations = conversations(0, 4, 0), "both_directions", Verdict::Unknown, "too little"),
    (|e| e.tallied.conversations = conversations(0, 10, 0), "both_directions", Verdict::Warn, "too little"),
    (|e| e.tallied.conversations = conversations(90, 10, 1), "both_directions", Verdict::Warn, "90 of 100"),
    (|e| e.tallied.conversations = conversations(990, 110, 10), "both_directions", Verdict::Ok, "990 of 1100"),
    (|e| e.tallied.conversations = conversations(90, 11, 0), "both_directions", Verdict::Ok, "90 of 101"),
    (|e| e.tallied.tagged = BTreeMap::from([(10, 5), (20, 6)]), "vlans", Verdict::Ok, "VLAN 10, 20: 11 IP packets"),
    (|e| e.tallied.conversations.half_tagged = 2, "vlans", Verdict::Warn, "2 conversations"),
    (|e| e.tallied.doubled = 500, "doubles", Verdict::Fail, "each frame once"),
    (|e| e.tallied.copied = 100, "doubles", Verdict::Fail, "one side of the router"),
    (|e| e.tallied.doubled = 10, "doubles", Verdict::Warn, "10 of 1000"),
    (|e| e.tallied.doubled = 9, "doubles", Verdict::Ok, "9 of 1000"),
    (|e| (e.tallied.frames, e.tallied.doubled) = (8, 4), "doubles", Verdict::Ok, "4 of 8"),
    (|e| e.drops.kernel = 1, "drops", Verdict::Warn, "--buffer-bytes"),
    (|e| e.drops.kernel = 500, "drops", Verdict::Fail, "500 frames lost in the kernel"),
    (|e| e.drops.interface = 1, "drops", Verdict::Warn, "ethtool -G eth1"),
    (|e| e.drops.damaged = Some(1), "drops", Verdict::Warn, "cable"),
    (|e| e.drops.damaged = None, "drops", Verdict::Ok, "? damaged"),
    (|e| (e.tallied.above_mtu, e.tallied.longest_bytes) = (3, 9000), "offloads", Verdict::Warn, "gro off"),
    (|e| e.host.mtu = None, "offloads", Verdict::Unknown, "MTU"),
    (|e| e.clock.offset = Err("refused".into()), "clock", Verdict::Unknown, "(refused)"),
    (|e| e.clock.offset = Ok(("X".into(), 1_000_000_000)), "clock", Verdict::Ok, "1.000 s behind that of X"),
    (|e| e.clock.offset = Ok(("X".into(), -1_500_000_000)), "clock", Verdict::Warn, "1.500 s ahead of that of X"),
    (|e| e.clock.offset = Ok(("X".into(), i64::MIN)), "clock", Verdict::Fail, "chrony"),
    (|e| (e.clock.host_secs, e.clock.offset) = (7, Err(String::new())), "clock", Verdict::Fail, "never set"),
];

fn silence() -> Tallied {
    Tallied { has_macs: true, ..Tallied::default() }
}

fn conversations(both: u64, one_way: u64, one_way_answered: u64) -> Conversations {
    Conversations { both, one_way, one_way_answered, ..Conversations::default() }
}

#[test]
fn each_fault_is_found_with_figures_and_advice() {
    for (index, (change, name, verdict, word)) in CASES.iter().enumerate() {
        let mut evidence = good();
        change(&mut evidence);
        let check = found(&evidence, name);
        assert_eq!(check.verdict, *verdict, "case {index}: {check:?}");
        assert!(check.seen.contains(word) || check.advice.contains(word), "case {index}: {word} is not in {check:?}");
        if matches!(check.verdict, Verdict::Warn | Verdict::Fail) {
            assert!(!check.advice.is_empty(), "case {index}: {check:?}");
        }
    }
}
