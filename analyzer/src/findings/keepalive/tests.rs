use std::f64::consts::TAU;

use proptest::prelude::*;

use super::super::{Beat, Keepalive, Start, across_connections, median_interval_secs, within_connection};

/// `SplitMix64`: the same numbers on every machine and for ever, so that the figures in the docs can be checked.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn one_of<T: Copy>(&mut self, items: &[T]) -> T {
        let place = self.next() % u64::try_from(items.len()).expect("a few");
        items[usize::try_from(place).expect("a few")]
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.uniform()).ln()
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.uniform()).ln()).sqrt() * (TAU * self.uniform()).cos()
    }

    fn log_normal(&mut self, median: f64, sigma: f64) -> f64 {
        median * (sigma * self.normal()).exp()
    }

    fn pareto(&mut self, least: f64, shape: f64) -> f64 {
        least * (1.0 - self.uniform()).powf(-1.0 / shape)
    }

    fn gamma(&mut self, mean: f64, shape: u32) -> f64 {
        (0..shape).map(|_| self.exponential(mean / f64::from(shape))).sum()
    }
}

const NOON_NS: i64 = 1_700_000_000_000_000_000;

fn nanos(secs: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "the tests' times are small")]
    let nanos = (secs * 1e9) as i64;
    NOON_NS + nanos
}

fn beat(secs: f64, payload_bytes: u64) -> Beat {
    let at_ns = nanos(secs);
    Beat { at_ns, end_ns: at_ns + 80_000_000, packets: 4, payload_bytes, wire_bytes: payload_bytes + 4 * 66 }
}

/// Application data: `secs` long, cut at whole seconds as slices are.
fn burst(from: f64, secs: f64) -> Vec<Beat> {
    let (mut at, mut beats) = (from, Vec::new());
    while at < from + secs {
        let end = (at.floor() + 1.0).min(from + secs);
        beats.push(Beat {
            at_ns: nanos(at),
            end_ns: nanos(end - 0.01),
            packets: 400,
            payload_bytes: 400_000,
            wire_bytes: 430_000,
        });
        at = end;
    }
    beats
}

fn starts(times: &[f64]) -> Vec<Start> {
    times.iter().map(|&secs| Start { at_ns: nanos(secs), wire_bytes: 8_500 }).collect()
}

fn beats(times: &[f64], chance: &mut Chance) -> Vec<Beat> {
    times.iter().map(|&secs| beat(secs, chance.one_of(&[31, 35, 60, 120, 400]))).collect()
}

fn sums(count: usize, mut interval: impl FnMut() -> f64) -> Vec<f64> {
    let mut at = 0.0;
    (0..count)
        .map(|_| {
            at += interval();
            at
        })
        .collect()
}

/// Times of kinds that are no keepalive; the length varies from a few events to hundreds.
fn noise(kind: &str, chance: &mut Chance) -> Vec<f64> {
    let count = chance.one_of(&[8, 12, 20, 40, 100, 400]);
    let mean = chance.log_normal(20.0, 1.5).max(0.3);
    match kind {
        "poisson" => sums(count, || chance.exponential(mean)),
        "gamma 2" => sums(count, || chance.gamma(mean, 2)),
        "uniform 0..2" => sums(count, || chance.between(0.0, 2.0 * mean)),
        "log-normal 1" => sums(count, || chance.log_normal(mean, 1.0)),
        "log-normal 0.7" => sums(count, || chance.log_normal(mean, 0.7)),
        "pareto 1.2" => sums(count, || chance.pareto(mean / 5.0, 1.2)),
        "lomax 1.2" => sums(count, || chance.pareto(mean, 1.2) - mean),
        "chat" => sums(count, || {
            if chance.uniform() < 0.1 { chance.pareto(120.0, 1.0).min(40_000.0) } else { chance.log_normal(7.0, 0.8) }
        }),
        "browsing" => {
            let (mut at, mut times) = (0.0, Vec::new());
            while times.len() < count {
                at += chance.log_normal(25.0, 1.2);
                let (mut part, mut left) = (at, 1.0 + chance.pareto(1.0, 1.1).min(40.0));
                while left >= 1.0 {
                    part += chance.exponential(0.4);
                    times.push(part);
                    left -= 1.0;
                }
            }
            times
        }
        "modulated" => {
            let mut busy = false;
            sums(count, || {
                if chance.uniform() < 0.05 {
                    busy = !busy;
                }
                chance.exponential(if busy { mean / 10.0 } else { mean })
            })
        }
        _ => panic!("no such noise: {kind}"),
    }
}

const NOISE: [&str; 10] = [
    "lomax 1.2",
    "poisson",
    "gamma 2",
    "uniform 0..2",
    "log-normal 1",
    "log-normal 0.7",
    "pareto 1.2",
    "chat",
    "browsing",
    "modulated",
];

/// Chunks of video, at an exact period or not, with small requests and reports between.
fn video(chance: &mut Chance) -> Vec<Beat> {
    let (mut at, mut all) = (0.0, burst(0.0, 4.0));
    let (period, loose) = (chance.between(2.0, 10.0), chance.uniform() * 0.3);
    for _ in 0..100 {
        at += (period * (1.0 + loose * chance.normal())).max(0.5);
        all.extend(burst(at, chance.between(0.2, 1.5)));
        if chance.uniform() < 0.2 {
            all.push(beat(at + chance.between(0.0, period), 300));
        }
    }
    all
}

/// A keepalive of which `count` beats are seen and a part is missing.
fn signal(kind: &str, count: usize, missing: f64, chance: &mut Chance) -> (f64, Vec<f64>) {
    let period = chance.one_of(&[3.0, 10.0, 50.0, 300.0, 3600.0]);
    let (mut at, mut sent, mut seen) = (0.0, 0, Vec::new());
    while seen.len() < count {
        at += match kind {
            "normal 10 %" => period * (1.0 + 0.1 * chance.normal()),
            "uniform 10 %" => period * chance.between(0.9, 1.1),
            "uniform 25 %" => period * chance.between(0.75, 1.25),
            "grid 10 %" | "clock" => period,
            "45 to 60" => chance.between(45.0, 60.0),
            _ => panic!("no such signal: {kind}"),
        };
        sent += 1;
        if chance.uniform() >= missing || sent == 1 {
            seen.push(
                at + match kind {
                    "grid 10 %" => period * 0.1 * chance.normal(),
                    "clock" => 0.02 * chance.normal(),
                    _ => 0.0,
                },
            );
        }
    }
    (if kind == "45 to 60" { 52.5 } else { period }, seen)
}

fn describe(found: &[Keepalive]) -> String {
    found
        .iter()
        .map(|k| format!("[{:.1} s ± {:.2}, {} beats, {:.2}]", k.period_secs, k.jitter_secs, k.beats, k.beacon_score))
        .collect()
}

const RUNS: u64 = 10_000;

/// The figures of the module's documentation.
#[test]
#[ignore = "prints figures, a minute"]
fn figures() {
    for kind in NOISE {
        let mut examples = Vec::new();
        let (mut across, mut within) = (0, 0);
        for seed in 0..RUNS {
            let mut chance = Chance(seed);
            let times = noise(kind, &mut chance);
            let found = across_connections(&starts(&times));
            across += u64::from(!found.is_empty());
            if !found.is_empty() && examples.len() < 3 {
                examples.push(format!("{} of {}", describe(&found), times.len()));
            }
            within += u64::from(!within_connection(&beats(&times, &mut chance)).is_empty());
        }
        println!("{kind:16} across {across} within {within} of {RUNS} {examples:?}");
    }
    let found = (0..RUNS).filter(|&seed| !within_connection(&video(&mut Chance(seed))).is_empty()).count();
    println!("video            within {found} of {RUNS}");
    for kind in ["normal 10 %", "uniform 10 %", "uniform 25 %", "grid 10 %", "clock", "45 to 60"] {
        for (count, missing) in [(12, 0.0), (12, 0.2), (24, 0.2), (8, 0.0)] {
            let (mut missed, mut several, mut wrong) = (0, 0, 0);
            for seed in 0..RUNS {
                let mut chance = Chance(seed);
                let (period, times) = signal(kind, count, missing, &mut chance);
                let found = across_connections(&starts(&times));
                missed += u64::from(found.is_empty());
                several += u64::from(found.len() > 1);
                wrong += u64::from(found.first().is_some_and(|first| (first.period_secs / period - 1.0).abs() > 0.15));
            }
            println!(
                "{kind:12} {count:3} seen, {missing} missing: missed {missed} several {several} wrong {wrong} of {RUNS}"
            );
        }
    }
}

#[test]
fn the_beacon_of_a_real_capture() {
    // beacon-jitter-3s.pcap, the SYNs.
    let times = [
        0.856_323, 3.976_84, 7.756_421, 11.247_9, 13.697_055, 16.821_737, 19.759_965, 23.259_261, 25.568_24,
        29.312_813, 32.309_508, 34.984_938, 38.014_384, 40.290_398, 42.985_111, 46.563_4, 49.083_167, 52.879_251,
        56.488_695, 59.142_487, 61.977_478, 65.105_967,
    ];
    let found = across_connections(&starts(&times));
    let [beacon] = found.as_slice() else { panic!("{found:?}") };
    assert!((2.9..3.2).contains(&beacon.period_secs), "{beacon:?}");
    assert_eq!(beacon.beats, 22);
}

/// A connection as a robot has it: handshake, then a keepalive, and application
/// data now and then, after which the timer starts again or does not.
fn robot(chance: &mut Chance, secs: f64, restarts: bool, mut interval: impl FnMut(&mut Chance) -> f64) -> Vec<Beat> {
    let (mut at, mut all) = (1.3, burst(0.2, 1.1));
    let mut next_burst = chance.exponential(300.0);
    while at < secs {
        let due = at + interval(chance);
        if next_burst < due {
            let long = chance.between(0.5, 12.0);
            all.extend(burst(next_burst, long));
            if restarts || next_burst + long > due {
                at = if restarts { next_burst + long } else { due };
                next_burst = at.max(next_burst + long) + chance.exponential(300.0);
                continue;
            }
            next_burst += long + chance.exponential(300.0);
        }
        at = due;
        all.push(beat(at, 66));
    }
    all
}

#[test]
fn a_robots_keepalive_is_found_in_half_an_hour() {
    for restarts in [false, true] {
        let (mut missed, mut several, mut worst) = (0, 0, 0.0_f64);
        for seed in 0..500 {
            let mut chance = Chance(seed);
            let found = if seed % 2 == 0 {
                within_connection(&robot(&mut chance, 1800.0, restarts, |chance| chance.between(45.0, 60.0)))
            } else {
                within_connection(&robot(&mut chance, 1800.0, restarts, |chance| 50.0 + chance.normal()))
            };
            missed += u32::from(found.is_empty());
            several += u32::from(found.len() > 1);
            let period = if seed % 2 == 0 { 52.5 } else { 50.0 };
            worst = found.iter().map(|found| (found.period_secs - period).abs()).fold(worst, f64::max);
        }
        assert!(missed <= 1 && several <= 2, "restarts {restarts}: missed {missed}, several {several}");
        assert!(worst < 7.0, "{worst}");
    }
}

#[test]
fn two_periods_are_two_keepalives() {
    let mut chance = Chance(7);
    let mut times = sums(120, || 60.0 + 0.5 * chance.normal());
    let noon = *times.last().unwrap();
    times.extend(sums(120, || 30.0 + 0.5 * chance.normal()).iter().map(|at| noon + at));
    let found = within_connection(&beats(&times, &mut chance));
    let [morning, afternoon] = found.as_slice() else { panic!("{}", describe(&found)) };
    assert!((morning.period_secs - 60.0).abs() < 1.0 && (afternoon.period_secs - 30.0).abs() < 1.0);
    assert!((118..=122).contains(&morning.beats) && (118..=122).contains(&afternoon.beats), "{}", describe(&found));
    assert!(morning.last_at_ns <= afternoon.first_at_ns);
}

#[test]
fn a_period_that_changes_all_the_time_is_no_list_without_end() {
    let mut turn = 0;
    let times = sums(4000, || {
        turn += 1;
        if turn / 20 % 2 == 0 { 30.0 } else { 75.0 }
    });
    let found = across_connections(&starts(&times));
    assert!((2..=16).contains(&found.len()), "{}", describe(&found));
    assert!(found.is_sorted_by_key(|found| found.first_at_ns));
}

#[test]
fn a_clock_that_jumps_does_not_hide_a_keepalive() {
    for jump in [6.0 * 3600.0, 86_400.0 * 365.0, -25.0, -130.0, -600.0, -3600.0] {
        let mut chance = Chance(3);
        let mut times = sums(60, || chance.between(45.0, 60.0));
        times.iter_mut().skip(30).for_each(|at| *at += jump);
        let found = within_connection(&beats(&times, &mut chance));
        let mut clock = sums(60, || 50.0 + 0.1 * chance.normal());
        clock.iter_mut().skip(30).for_each(|at| *at += jump);
        let found_clock = within_connection(&beats(&clock, &mut chance));
        assert!(found.iter().any(|found| (found.period_secs - 52.5).abs() < 5.0), "{jump} {}", describe(&found));
        assert!(
            found_clock.iter().any(|found| (found.period_secs - 50.0).abs() < 1.0),
            "{jump} {}",
            describe(&found_clock)
        );
    }
}

#[test]
fn an_exchange_over_two_seconds_is_one_beat() {
    let all: Vec<Beat> = (0..30)
        .flat_map(|index| {
            let at = f64::from(index) * 55.0 + 0.9;
            [beat(at, 30), Beat { packets: 2, ..beat(at + 0.15, 30) }]
        })
        .collect();
    let [found] = within_connection(&all).try_into().expect("one keepalive");
    assert_eq!((found.beats, found.period_secs, found.jitter_secs), (30, 55.0, 0.0));
    assert_eq!(found.bytes_per_beat, 2.0 * (30.0 + 4.0 * 66.0));
    assert_eq!((found.first_at_ns, found.last_at_ns), (nanos(0.9), nanos(29.0 * 55.0 + 0.9)));
}

#[test]
fn small_messages_between_do_not_hide_a_keepalive() {
    let mut missed = 0;
    for seed in 0..300 {
        let mut chance = Chance(seed);
        let mut times = sums(40, || 50.0 + 0.3 * chance.normal());
        times.extend((0..12).map(|_| chance.between(0.0, 2000.0)));
        let found = within_connection(&beats(&times, &mut chance));
        missed += u32::from(!found.iter().any(|found| (found.period_secs - 50.0).abs() < 2.0));
    }
    assert!(missed <= 3, "{missed}");
}

#[test]
fn connections_opened_together_are_one_start() {
    let mut chance = Chance(1);
    let times: Vec<f64> = (0..24)
        .flat_map(|visit| [0.0, 0.1, 0.15, 0.4, 0.8, 0.95].map(|part| f64::from(visit) * 300.0 + part))
        .collect();
    let [found] = across_connections(&starts(&times)).try_into().expect("one keepalive");
    assert_eq!((found.beats, found.period_secs, found.bytes_per_beat), (24, 300.0, 6.0 * 8500.0));
    let slow = sums(30, || 300.0 + 10.0 * chance.normal());
    assert_eq!(across_connections(&starts(&slow)).len(), 1);
}

#[test]
fn connections_that_follow_from_others_do_not_hide_the_period() {
    let mut missed = 0;
    for seed in 0..300 {
        let mut chance = Chance(seed);
        let mut times = sums(24, || 300.0 + 5.0 * chance.normal());
        for at in times.clone() {
            let follow_ups = chance.one_of(&[0, 1, 2, 3]);
            times.extend((0..follow_ups).map(|_| at + chance.between(0.0, 6.0)));
        }
        let found = across_connections(&starts(&times));
        let right = found.len() == 1 && found.iter().all(|found| (found.period_secs - 300.0).abs() < 5.0);
        missed += u32::from(!right);
    }
    assert!(missed <= 3, "{missed}");
}

#[test]
#[ignore = "prints a time"]
fn a_hundred_thousand_connections() {
    for kind in ["clock", "poisson"] {
        let mut chance = Chance(5);
        let times = sums(130_000, || if kind == "clock" { 50.0 + chance.normal() } else { chance.exponential(50.0) });
        let starts = starts(&times);
        let begun = std::time::Instant::now();
        let found = across_connections(&starts);
        println!("{kind} {} in {:?}", describe(&found), begun.elapsed());
    }
}

#[test]
fn noise_is_no_keepalive() {
    for kind in ["poisson", "lomax 1.2", "chat", "browsing"] {
        let found = (0..1000).filter(|&seed| !across_connections(&starts(&noise(kind, &mut Chance(seed)))).is_empty());
        let found = found.count();
        assert!(found <= 3, "{kind}: {found} of 1000");
    }
    let found = (0..300).filter(|&seed| !within_connection(&video(&mut Chance(seed))).is_empty()).count();
    assert!(found <= 1, "video: {found} of 300");
}

proptest! {
    #[test]
    fn no_instant_panics(
        parts in prop::collection::vec((any::<i64>(), any::<i64>(), any::<u64>(), any::<u64>(), any::<u64>()), 0..60),
    ) {
        let beats: Vec<Beat> = parts
            .iter()
            .map(|&(at_ns, end_ns, packets, payload_bytes, wire_bytes)| Beat { at_ns, end_ns, packets, payload_bytes, wire_bytes })
            .collect();
        let starts: Vec<Start> = parts.iter().map(|&(at_ns, .., wire_bytes)| Start { at_ns, wire_bytes }).collect();
        for found in within_connection(&beats).iter().chain(&across_connections(&starts)) {
            check(found)?;
        }
        let _ = median_interval_secs(&mut parts.iter().map(|part| part.0).collect::<Vec<_>>());
    }

    #[test]
    fn neither_order_nor_epoch_matters(
        seed in any::<u64>(), shift in -1_000_000_000_000_000_000..1_000_000_000_000_000_000_i64, turn in 0..50_usize,
    ) {
        let mut chance = Chance(seed);
        let mut beats = robot(&mut chance, 1800.0, seed % 2 == 0, |chance| chance.between(45.0, 60.0));
        let plain = within_connection(&beats);
        for beat in &mut beats {
            beat.at_ns += shift;
            beat.end_ns += shift;
        }
        let turn = turn % beats.len();
        beats.rotate_left(turn);
        beats.reverse();
        let shifted = within_connection(&beats);
        prop_assert_eq!(plain.len(), shifted.len());
        for (plain, shifted) in plain.iter().zip(&shifted) {
            check(plain)?;
            let mut back = *shifted;
            back.first_at_ns -= shift;
            back.last_at_ns -= shift;
            prop_assert_eq!(*plain, back);
        }
    }
}

fn check(found: &Keepalive) -> Result<(), TestCaseError> {
    prop_assert!(found.period_secs.is_finite() && found.period_secs > 0.0);
    prop_assert!(found.jitter_secs.is_finite() && found.jitter_secs >= 0.0 && found.jitter_secs < found.period_secs);
    prop_assert!(found.bytes_per_beat.is_finite());
    prop_assert!((0.0..=1.0).contains(&found.beacon_score));
    prop_assert!(found.beats >= 8 && found.first_at_ns < found.last_at_ns);
    Ok(())
}
