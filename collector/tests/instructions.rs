//! What the collector's work costs in instructions, against what it cost when
//! somebody last looked: a guard that a busy machine does not disturb.
//!
//! Counted by valgrind's cachegrind, of the program that the tests have, on a capture
//! that is the same each time. `IOTQ_BLESS=1` writes the counts anew.

#![expect(clippy::unwrap_used, reason = "helpers of a test fail as the test does: by a panic")]

use std::{collections::BTreeMap, env, fmt::Write as _, fs, io::BufWriter, path::Path, process::Command};

use iotq_tests::{
    mix::{HouseholdMix, Storm, household_mix, storm},
    pcap_file::{ByteOrder, ETHERNET, PcapWriter, Precision},
    scenario::{MINUTE_NS, Span},
};

/// Per packet, for a workload and flags; of the profile that CI builds.
const COUNTS: &str = "tests/golden/instructions.txt";
const HEAD: &str = "# Instructions a packet of `iotq-collector replay --dry-run`, built with the profile `dev`.\n# Written by \
                    IOTQ_BLESS=1 cargo nextest run -p iotq-collector --test instructions\n";
/// Hash seeds move the mix by up to 2.6 % from run to run (measured), the others by nothing.
const TOLERANCE_PERCENT: u64 = 5;
const PACKETS: u64 = 60_000;
const SLICES_ONLY: &[&str] = &["--no-names", "--no-connections"];

#[test]
fn the_collector_takes_no_more_instructions_than_it_did() {
    if !cfg!(debug_assertions) {
        eprintln!("skipped: the counts are those of the profile `dev`");
        return;
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        assert!(env::var_os("CI").is_none(), "valgrind is not installed: run deploy/setup.sh --for test");
        eprintln!("skipped: valgrind is not installed");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (mix, storm) = (folder.path().join("mix.pcap"), folder.path().join("storm.pcap"));
    make(&mix, &storm);
    let counts = BTreeMap::from([
        ("mix", per_packet(&mix, &[])),
        ("mix, slices only", per_packet(&mix, SLICES_ONLY)),
        ("storm", per_packet(&storm, &[])),
    ]);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(COUNTS);
    if env::var_os("IOTQ_BLESS").is_some() {
        let mut text = HEAD.to_owned();
        counts.iter().for_each(|(name, count)| writeln!(text, "{name}: {count}").unwrap());
        fs::write(path, text).unwrap();
        return;
    }
    let expected = fs::read_to_string(&path).unwrap();
    for (name, count) in counts {
        let line = expected.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")?.parse::<u64>().ok());
        let before = line.unwrap_or_else(|| panic!("{} does not tell of `{name}`", path.display()));
        println!("{name}: {count} instructions a packet, {before} before");
        assert!(
            count.abs_diff(before) * 100 <= before * TOLERANCE_PERCENT,
            "`{name}` takes {count} instructions a packet, where it took {before}: more than {TOLERANCE_PERCENT} % off. If \
             that is wanted, run IOTQ_BLESS=1 cargo nextest run -p iotq-collector --test instructions, and say in the commit \
             what made it so."
        );
    }
}

/// As dense as a day of three million packets.
fn make(mix: &Path, storm_file: &Path) {
    let at_ns = 1_790_000_000_000_000_000;
    let create = |path: &Path| {
        let out = BufWriter::new(fs::File::create(path).unwrap());
        PcapWriter::new(out, ETHERNET, Precision::Micro, ByteOrder::Little).unwrap()
    };
    let mut writer = create(mix);
    let span = Span { since_ns: at_ns, until_ns: at_ns + 30 * MINUTE_NS };
    let household = HouseholdMix { packets: PACKETS, devices: 40, span, seed: 1 };
    household_mix(&household, &mut |at_ns: i64, frame: &[u8]| writer.write(at_ns, frame)).unwrap();
    writer.finish().unwrap();
    let mut writer = create(storm_file);
    let packets = Storm { packets: PACKETS, flows: 10_000, at_ns, seed: 1 };
    storm(&packets, &mut |at_ns: i64, frame: &[u8]| writer.write(at_ns, frame)).unwrap();
    writer.finish().unwrap();
}

/// Without what starting and ending takes.
fn per_packet(capture: &Path, flags: &[&str]) -> u64 {
    let all = instructions(&[&["replay", "--dry-run"], flags, &[&capture.to_string_lossy()]].concat());
    let starting = instructions(&["--version"]);
    all.saturating_sub(starting) / PACKETS
}

fn instructions(arguments: &[&str]) -> u64 {
    let out = Command::new("valgrind")
        .args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"])
        .arg(env!("CARGO_BIN_EXE_iotq-collector"))
        .args(arguments)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success(), "{said}");
    let count = said.lines().find_map(|line| line.split_once("refs:"));
    let (_, count) = count.unwrap_or_else(|| panic!("no count in {said}"));
    count.trim().replace(',', "").parse().unwrap()
}
