use super::*;

const DAY: f64 = 86_400.0;

fn at(flows: &mut Flows, seconds: f64, rest: &str) -> Vec<v1::ConnectionUpdate> {
    observe(flows, &[&format!("{seconds} {rest}")]);
    updates(flows)
}

#[test]
fn updates_come_soon_after_the_begin_each_minute_of_change_and_at_the_end() {
    let mut flows = Flows::new();
    let mut told = Vec::new();
    for second in 0..180 {
        for update in at(&mut flows, f64::from(second), "> - 10") {
            told.push((second, update.update, update.orig_packets));
        }
    }
    assert_eq!(told, [(2, 1, 3), (62, 2, 60), (122, 3, 60)]);
    // Its last packets wait for their minute, then for the time-out.
    let late = |second| Timestamp::from_nanos(second * NANOS_PER_SEC).unwrap();
    let mut told = Vec::new();
    for second in 180..400 {
        flows.tick(late(second));
        for update in updates(&mut flows) {
            told.push((second, update.orig_packets, update.end()));
        }
    }
    assert_eq!(told, [(182, 57, ConnectionEnd::Unspecified), (299, 0, ConnectionEnd::Timeout)]);
    assert!(flows.is_empty());
}

#[test]
fn time_outs_are_those_of_the_rfcs() {
    for (lines, secs) in [
        (&["0 > - 10"][..], 120),
        (&["0 > S 100"], 240),
        (&["0 > S 100", "0 < SA 500 101", "0 > A 101 501"], 7440),
        (&["0 > A 101 501"], 7440),
        (&["0 > S 100", "0 > A 101 501"], 7440),
        (&["0 > S 100", "0 < SA 500 101", "0 > FA 101 501"], 240),
        (&["0 > S 100", "0 < SA 500 101", "0 > FA 101 501", "0 < FA 501 102"], 5),
    ] {
        let mut flows = Flows::new();
        observe(&mut flows, lines);
        let mut second = 0;
        while !flows.is_empty() {
            second += 1;
            flows.tick(Timestamp::from_nanos(second * NANOS_PER_SEC).unwrap());
        }
        assert_eq!(second, secs, "{lines:?}");
    }
}

#[test]
fn a_packet_after_the_time_out_begins_another_connection_though_no_clock_said_so() {
    assert_eq!(told(&["0 > - 10", "119 > - 10", "239 > - 10"]), ["S0 D TIMEOUT", "S0 D INPUT"]);
    let days = format!("{} > - 10", 3.0 * DAY);
    // Nobody confirms that much: it may be a broken time.
    assert_eq!(told(&["0 > - 10", &days]).len(), 1);
}

#[test]
fn one_broken_time_neither_ends_nor_dates_anything() {
    let years = format!("{} < A 501 101", 40.0 * 365.0 * DAY);
    let [update] = finished(&["10 > S 100", &years, "11 > A 101 501"]).try_into().expect("one connection");
    assert_eq!((update.orig_packets, update.resp_packets), (2, 1));
    assert_eq!((update.started_at_ns, update.last_at_ns), (10 * NANOS_PER_SEC, 11 * NANOS_PER_SEC));
}

#[test]
fn interfaces_whose_clocks_differ_do_not_end_each_others_connections() {
    for apart in [1.0, 3600.0, 5000.0 * DAY] {
        let mut flows = Flows::new();
        let mut told = Vec::new();
        for second in 0..600 {
            let mut other = packet(&format!("{} > - 10", f64::from(second) + apart));
            other.key.a_port = 7;
            flows.observe(&other, &mut Place::UNKNOWN.clone());
            told.extend(at(&mut flows, f64::from(second), "> - 10"));
        }
        assert!(told.iter().all(|update| update.number <= 2), "{apart} s");
        assert_eq!(flows.len(), 2, "{apart} s");
    }
}

#[test]
fn times_that_are_all_0_are_one_instant() {
    let lines = vec!["0 > - 10"; 500];
    assert_eq!(told(&lines), ["S0 D INPUT"]);
}

#[test]
fn time_that_goes_back_for_good_is_followed() {
    let mut flows = Flows::new();
    at(&mut flows, 1_000_000.0, "> - 10");
    for second in 0..200 {
        let mut other = packet(&format!("{second} > - 10"));
        other.key.a_port = 7;
        flows.observe(&other, &mut Place::UNKNOWN.clone());
    }
    let ended: Vec<_> = updates(&mut flows).iter().map(v1::ConnectionUpdate::end).collect();
    assert_eq!(ended, [ConnectionEnd::Unspecified, ConnectionEnd::Timeout]);
}

#[test]
fn a_full_table_gives_up_who_was_silent_longest() {
    let mut flows = Flows::with_limit(8);
    for (second, port) in (0..8_u16).zip([0, 1, 2, 3, 4, 5, 6, 7]).chain([(8, 0), (9, 100), (10, 101)]) {
        let mut packet = packet(&format!("{second} > - 10"));
        packet.key.a_port = port;
        flows.observe(&packet, &mut Place::UNKNOWN.clone());
    }
    assert_eq!(flows.len(), 8);
    flows.finish();
    let updates = updates(&mut flows);
    let evicted: Vec<u32> = updates
        .iter()
        .filter(|update| update.end() == ConnectionEnd::Evicted)
        .map(|update| update.orig_port.min(update.resp_port))
        .collect();
    assert_eq!(evicted, [1, 2]);
    assert_eq!(updates.iter().map(|update| update.orig_packets).sum::<u64>(), 11);
}

#[test]
fn more_updates_than_a_batch_takes_go_into_several() {
    let mut flows = Flows::new();
    for port in 0..40_000_u16 {
        let mut packet = packet("0 > - 10");
        packet.key.a_port = port;
        flows.observe(&packet, &mut Place::UNKNOWN.clone());
    }
    // Most of so many are over before they are told of.
    assert_eq!(updates(&mut flows).len(), 0);
    for _ in 0..40_000_u32.div_ceil(MAX_DUE_PER_TICK) {
        flows.tick(Timestamp::from_nanos(i64::from(FIRST_UPDATE_TICKS) * NANOS_PER_SEC).unwrap());
    }
    assert_eq!((flows.waiting(), flows.ended()), (40_000, 0));
    assert_eq!(updates(&mut flows).len(), 40_000);
    assert_eq!((flows.waiting(), flows.ended()), (0, 0));
}
