use super::*;

const OPEN: [&str; 3] = ["0 > S 100", "0.1 < SA 500 101", "0.2 > A 101 501"];

/// After the handshake.
fn opened(lines: &[&str]) -> Vec<String> {
    told(&[&OPEN, lines].concat())
}

#[test]
fn every_state_of_zeeks_vocabulary() {
    for (lines, expected) in [
        (&["0 > S 100"][..], "S0 S INPUT"),
        (&["0 > S 100", "1 > S 100", "3 > S 100"], "S0 S INPUT"),
        (&["0 > S 100", "1 < RA 0 101"], "REJ Sr RST"),
        (&["0 > S 100", "1 < RA 0 101", "1.5 > S 100", "1.6 < RA 0 101"], "REJ Sr RST"),
        (&OPEN, "S1 ShA INPUT"),
        (&["0 > S 100", "0.1 < SA 500 101"], "S1 Sh INPUT"),
        (&["0 > S 100", "1 > R 101"], "RSTOS0 SR RST"),
        (&["0 > S 100", "1 > FA 101"], "SH SF INPUT"),
        (&["0 < SA 500 101", "1 < FA 501 101"], "SHR ^hf INPUT"),
        (&["0 < SA 500 101", "1 < R 501"], "RSTRH ^hr RST"),
        (&["0 > A 101 501", "1 < A 501 101"], "OTH Aa INPUT"),
        (&["0 > PA 101 501 5", "1 > R 106"], "OTH DR RST"),
        // Half of a mirror: only what the originator sent.
        (&["0 > S 100", "0.1 > A 101 501", "0.2 > PA 101 501 9"], "S0 SAD INPUT"),
        // The other half.
        (&["0 < SA 500 101", "0.2 < PA 501 110 9"], "OTH ^hd INPUT"),
        // Flags that do not go together.
        (&["0 > SF 100"], "SH Q INPUT"),
        (&["0 > FR 100"], "OTH I RST"),
    ] {
        assert_eq!(told(lines), [expected], "{lines:?}");
    }
    for (lines, expected) in [
        (&["1 > FA 101 501", "1.1 < FA 501 102", "1.2 > A 102 502"][..], "SF ShAFf FIN"),
        (&["1 < FA 501 101", "1.1 > FA 101 502", "1.2 < A 502 102"], "SF ShAfFa FIN"),
        (&["1 > FA 101 501"], "S2 ShAF INPUT"),
        (&["1 < FA 501 101"], "S3 ShAf INPUT"),
        (&["1 > RA 101 501"], "RSTO ShAR RST"),
        (&["1 < RA 501 101"], "RSTR ShAr RST"),
        // A RST behind both FINs changes nothing, nor one between them.
        (&["1 > FA 101 501", "1.1 < FA 501 102", "1.2 > R 102"], "SF ShAFfR FIN"),
        (&["1 < FA 501 101", "1.1 < R 502", "1.2 > FA 101 502"], "SF ShAfrF FIN"),
        (&["1 > PA 101 501 9", "1.1 < A 501 110", "1.2 < PA 501 110 5"], "S1 ShADad INPUT"),
    ] {
        assert_eq!(opened(lines), [expected], "{lines:?}");
    }
}

#[test]
fn datagrams_are_answered_or_not() {
    assert_eq!(told(&["0 > - 40", "1 > - 40"]), ["S0 D INPUT"]);
    assert_eq!(told(&["0 > - 40", "1 < - 90"]), ["SF Dd INPUT"]);
    let mut flows = Flows::new();
    let mut ping = packet("0 > - 40");
    (ping.key.protocol, ping.key.has_ports) = (58, false);
    flows.observe(&ping, &mut Place::UNKNOWN.clone());
    flows.finish();
    assert_eq!(text(&updates(&mut flows)[0]), "OTH  INPUT");
}

#[test]
fn the_sender_of_the_first_syn_is_the_originator_whatever_came_first() {
    for (lines, state) in [
        (&["0 > S 100", "0.1 < SA 500 101"][..], ConnState::S1),
        (&["0 < SA 500 101", "0.1 > S 100", "0.2 > A 101 501"], ConnState::S1),
        (&["0 < A 501 101", "0.1 > S 100", "0.2 < SA 500 101"], ConnState::Oth),
    ] {
        let [update] = finished(lines).try_into().expect("one connection");
        assert_eq!((&update.orig_ip, update.resp_port), (&CLIENT.to_vec(), 443), "{lines:?}");
        assert_eq!((update.orig_mac, update.resp_mac), (0xc, 0x5));
        assert_eq!((update.orig_syns, update.state()), (1, state), "{lines:?}");
    }
    let [update] = finished(&["0 < PA 501 101 7"]).try_into().expect("one connection");
    assert_eq!(update.orig_ip, SERVER.to_vec());
}

#[test]
fn an_attempt_is_a_sequence_number() {
    let lines = ["0 > S 100", "1 > S 100", "3 > S 100", "60 > S 100", "124 > S 100", "125 > S 777", "126 > S 777"];
    let updates = finished(&lines);
    let syns: Vec<u64> = updates.iter().map(|update| update.orig_syns).collect();
    assert_eq!(syns, [5, 2]);
    assert!(updates.iter().all(|update| update.only_syns && update.state() == ConnState::S0));
    assert_eq!(updates[0].end(), ConnectionEnd::Timeout);
}

#[test]
fn only_syns_means_syns_and_resets() {
    let only_syns = |lines: &[&str]| finished(lines)[0].only_syns;
    assert!(only_syns(&["0 > S 100", "1 > R 101"]));
    assert!(!only_syns(&["0 > S 100", "1 > A 101 501"]));
    assert!(!only_syns(&["0 > - 40"]));
    assert!(!only_syns(&["0 < SA 500 101"]), "nothing was seen of the originator");
}

#[test]
fn a_syn_after_the_end_begins_another_connection_and_trailing_packets_do_not() {
    let end = ["1 > FA 101 501", "1.1 < FA 501 102"];
    let trailing = [&OPEN[..], &end, &["1.2 > A 102 502", "2 < FA 501 102"]].concat();
    assert_eq!(told(&trailing), ["SF ShAFf FIN"]);
    let again = [&trailing[..], &["2.1 > S 9000", "2.2 < SA 7000 9001"]].concat();
    assert_eq!(told(&again), ["SF ShAFf FIN", "S1 Sh INPUT"]);
    let refused = ["0 > S 100", "0.1 < RA 0 101", "1 > S 200", "1.1 < RA 0 201"];
    assert_eq!(told(&refused), ["REJ Sr RST", "REJ Sr RST"]);
    let answered_later = ["0 > S 100", "0.1 < RA 0 101", "1 > S 100", "1.1 < SA 500 101"];
    assert_eq!(told(&answered_later), ["S1 Srh INPUT"]);
}

#[test]
fn two_ends_that_open_at_once_are_one_connection() {
    assert_eq!(told(&["0 > S 100", "0.01 < S 500", "0.1 > SA 100 501", "0.1 < SA 500 101"]), ["S1 Ss INPUT"]);
}

#[test]
fn octets_sent_again_count_and_probes_and_late_ones_do_not() {
    let count = |lines: &[&str]| {
        let [update] = finished(&[&OPEN, lines].concat()).try_into().expect("one connection");
        (update.orig_retransmitted, update.resp_retransmitted, update.history)
    };
    let first = "1 > PA 101 501 10";
    assert_eq!(count(&[first, "2 > PA 101 501 10"]), (1, 0, "ShADT".into()));
    assert_eq!(count(&[first, "2 > PA 101 501 20"]), (1, 0, "ShAD".into()), "with some that are new");
    assert_eq!(count(&[first, "46 > A 110 501 1", "46.1 < A 501 111"]).0, 0, "a keepalive with an octet");
    assert_eq!(count(&[first, "46 > A 110 501", "46.1 < A 501 111"]).0, 0, "a keepalive without");
    assert_eq!(count(&["1 > PA 111 501 10", "1.1 > PA 101 501 10", "1.2 > PA 121 501 5"]).0, 0, "out of order");
    assert_eq!(count(&["1 > PA 111 501 10", "1.1 > PA 101 501 10", "1.2 > PA 101 501 10"]).0, 1);
    assert_eq!(count(&["1 < PA 501 101 9", "2 < PA 501 101 9", "4 < PA 501 101 9"]), (0, 2, "ShAdt".into()));
    assert_eq!(count(&[&["1 > PA 101 501 9"; 11][..]].concat()), (10, 0, "ShADTT".into()));
}

#[test]
fn sequence_numbers_go_round() {
    let top = u32::MAX;
    let lines = [format!("0 > S {}", top - 3), format!("1 < SA 500 {}", top - 2), format!("2 > PA {} 501 10", top - 2)];
    let lines: Vec<&str> = lines.iter().map(String::as_str).chain(["3 > PA 7 501 10", "4 > PA 7 501 10"]).collect();
    let [update] = finished(&lines).try_into().expect("one connection");
    assert_eq!((update.orig_retransmitted, update.history.as_str()), (1, "ShDT"));
}

#[test]
fn the_handshake_takes_from_the_first_syn_to_the_ack() {
    let rtt = |lines: &[&str]| finished(lines)[0].handshake_rtt_ns;
    assert_eq!(rtt(&OPEN), Some(200_000_000));
    assert_eq!(rtt(&["0 > S 100", "1 > S 100", "1.25 < SA 500 101", "1.5 > A 101 501"]), Some(1_500_000_000));
    assert_eq!(rtt(&["0 > S 100", "0.1 < SA 500 101"]), None);
    assert_eq!(rtt(&["0 < SA 500 101", "0.1 > A 101 501"]), None);
    assert_eq!(rtt(&["0 > S 100", "0.1 > A 101 501"]), None, "half of a mirror");
}

#[test]
fn icmp_errors_are_told_to_the_connection_they_quote() {
    let hex = |text: &str| -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    };
    let quoted = [hex("60000000 0014 06 40"), CLIENT.to_vec(), SERVER.to_vec(), hex("c350 01bb 00000064")].concat();
    let mut icmp = packet("1 < - 60");
    (icmp.key.protocol, icmp.key.has_ports) = (58, false);
    let told = |message: &[u8]| {
        let mut flows = Flows::new();
        observe(&mut flows, &["0 > S 100"]);
        flows.observe_icmp(&icmp, message);
        flows.finish();
        updates(&mut flows)[0].unreachable
    };
    let unreachable = [hex("01 04 0000 00000000"), quoted.clone()].concat();
    assert_eq!(told(&unreachable), 1);
    assert_eq!(told(&[hex("03 00 0000 00000000"), quoted.clone()].concat()), 1);
    assert_eq!(told(&[hex("80 00 0000 00000000"), quoted].concat()), 0, "no error");
    for cut in 0..unreachable.len() - 4 {
        assert_eq!(told(&unreachable[..cut]), 0);
    }

    let ip = |last: u8| [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, last];
    let mut asked = packet("0 > - 40");
    (asked.key.a_ip, asked.key.b_ip) = (ip(1), ip(2));
    let mut icmp = packet("1 < - 60");
    (icmp.key.protocol, icmp.key.has_ports) = (1, false);
    let message = hex("03 03 0000 00000000 4500 0044 0000 0000 40 11 0000 c0000201 c0000202 c350 01bb");
    let mut flows = Flows::new();
    flows.observe(&asked, &mut Place::UNKNOWN.clone());
    flows.observe_icmp(&icmp, &message);
    flows.finish();
    let [update] = updates(&mut flows).try_into().expect("one connection");
    assert_eq!((update.unreachable, update.state()), (1, ConnState::S0));
}

#[test]
fn what_is_learned_first_stays_and_gaps_are_filled() {
    let mut flows = Flows::new();
    let mut place = Place::UNKNOWN;
    flows.observe(&packet("0 > S 100"), &mut place);
    let name = |name: &str| Learned { server_name: name.into(), ..Learned::default() };
    flows.learn(place, Learned { service: Service::Tls, ..name("example.com") });
    flows.learn(place, Learned { service: Service::Http, tls_version: 0x0304, ..name("example.net") });
    flows.finish();
    let [update] = updates(&mut flows).try_into().expect("one connection");
    assert_eq!((update.service(), update.server_name.as_str()), (Service::Tls, "example.com"));
    assert_eq!(update.tls_version, 0x0304);
}

#[test]
fn packets_without_ports_are_on_no_connection() {
    let mut fragment = packet("0 > - 40");
    (fragment.key.has_ports, fragment.key.a_port, fragment.key.b_port) = (false, 0, 0);
    let mut flows = Flows::new();
    flows.observe(&fragment, &mut Place::UNKNOWN.clone());
    flows.finish();
    assert!(updates(&mut flows).is_empty());
}
