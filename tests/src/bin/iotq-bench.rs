//! `make bench`: makes captures, measures, writes BENCHMARKS.md.

use std::{
    fs::{self, File},
    io::BufWriter,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use clap::Parser;
use iotq_tests::{
    bench::{Bench, Workload, growth::Growth, questions::Questions, write_between_markers},
    mix::{HouseholdMix, Storm, household_mix, names_mix, storm},
    pcap_file::{ByteOrder, ETHERNET, PcapWriter, Precision},
    scenario::{MINUTE_NS, Span},
};

/// Measure the collector and the whole path, with other tools beside them.
#[derive(Debug, Parser)]
#[command(version, after_help = "Example:\n  iotq-bench --packets 3000000 --runs 5 --report BENCHMARKS.md")]
struct Cli {
    /// Packets in each capture; slow tools get a tenth
    #[arg(long, env = "BENCH_PACKETS", default_value_t = 3_000_000)]
    packets: u64,
    /// Runs of each contestant
    #[arg(long, env = "BENCH_RUNS", default_value_t = 5)]
    runs: usize,
    /// Packets in the store that questions are asked of; 0: no questions are asked
    #[arg(long, env = "BENCH_STORED_PACKETS", default_value_t = 30_000_000)]
    stored_packets: u64,
    /// Simulated collectors of one analyzer, step by step
    #[arg(long, env = "BENCH_COLLECTORS", value_delimiter = ',', default_values_t = [1, 10, 100, 1000])]
    collectors: Vec<u32>,
    /// Parts that are run: a word in the name of a capture, `growth` or `questions`; all, if not given
    #[arg(long, env = "BENCH_ONLY", value_name = "WORD")]
    only: Option<String>,
    /// The file whose marked part is written
    #[arg(long, value_name = "FILE")]
    report: PathBuf,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let folder = tempfile::Builder::new().prefix("iotq-bench-").tempdir()?;
    // Stores that are left lie there, until the end.
    let _ = tempfile::env::override_temp_dir(folder.path());
    let at_ns = 1_790_000_000_000_000_000;
    let span = Span { since_ns: at_ns, until_ns: at_ns + 24 * 60 * MINUTE_NS };
    let small = (cli.packets / 10).max(1);
    let mix = |packets| HouseholdMix { packets, devices: 40, span, seed: 1 };
    let storm_of = |flows| Storm { packets: cli.packets, flows, at_ns, seed: 1 };
    let makers: Vec<(&str, u64, Box<Make<'_>>)> = vec![
        (HOUSEHOLD, cli.packets, Box::new(|sink| household_mix(&mix(cli.packets), sink).map(drop))),
        (TENTH, small, Box::new(|sink| household_mix(&mix(small), sink).map(drop))),
        ("names: DNS, hellos, mDNS, DHCP, NTP", small, Box::new(|sink| names_mix(&mix(small), sink).map(drop))),
        (
            "a storm of smallest frames, 10,000 flows",
            cli.packets,
            Box::new(|sink| storm(&storm_of(10_000), sink).map(drop)),
        ),
        (MANY_FLOWS, cli.packets, Box::new(|sink| storm(&storm_of(1_000_000), sink).map(drop))),
    ];
    let is_wanted = |name: &str| cli.only.as_deref().is_none_or(|only| name.contains(only));
    let mut tables = String::new();
    for (name, packets, make) in makers.iter().filter(|(name, ..)| is_wanted(name)) {
        // One at a time: a hundred million packets are 30 GB.
        let file = folder.path().join("capture.pcap");
        write(&file, make)?;
        let workload = Workload {
            name,
            file: file.clone(),
            packets: *packets,
            slow_too: *name == TENTH,
            many_flows: *name == MANY_FLOWS,
            own_insert: *name == HOUSEHOLD,
        };
        let bench = Bench { workloads: vec![workload], runs: cli.runs, folder: folder.path().to_owned() };
        tables.push_str(&bench.run()?);
        fs::remove_file(&file)?;
        write_between_markers(&cli.report, &format!("{}\n{tables}", head(&cli)))?;
    }
    // What was measured stays, whatever happens to the next part.
    if is_wanted("growth") {
        tables.push_str(&Growth { collectors: cli.collectors.clone(), lasts: GROWTH_LASTS }.run()?);
        write_between_markers(&cli.report, &format!("{}\n{tables}", head(&cli)))?;
    }
    if cli.stored_packets > 0 && is_wanted("questions") {
        tables.push_str(&Questions { packets: cli.stored_packets, days: 30, runs: cli.runs.max(5) }.run()?);
    }
    let text = format!("{}\n{tables}", head(&cli));
    println!("{text}");
    write_between_markers(&cli.report, &text)
}

/// Long enough for merges to begin.
const GROWTH_LASTS: Duration = Duration::from_secs(20);

const HOUSEHOLD: &str = "a day of a mixed household";
const MANY_FLOWS: &str = "a storm of 1,000,000 flows";
const TENTH: &str = "a tenth of it, for slow tools";

type Make<'a> = dyn Fn(&mut Emit<'_>) -> std::io::Result<()> + 'a;
type Emit<'a> = dyn FnMut(i64, &[u8]) -> std::io::Result<()> + 'a;

fn write(path: &Path, make: impl FnOnce(&mut Emit<'_>) -> std::io::Result<()>) -> Result<()> {
    let file = File::create(path).with_context(|| path.display().to_string())?;
    let out = BufWriter::with_capacity(1 << 20, file);
    let mut writer = PcapWriter::new(out, ETHERNET, Precision::Micro, ByteOrder::Little)?;
    make(&mut |at_ns, octets| writer.write(at_ns, octets))?;
    writer.finish()?;
    Ok(())
}

/// When, on what, and how to do it again.
fn head(cli: &Cli) -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let models: Vec<_> = cpus.lines().filter_map(|line| line.strip_prefix("model name")).collect();
    let model = models.first().map_or("unknown CPU", |model| model.trim_start_matches([' ', '\t', ':']));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "{}; {} × {model}, Linux {}; `BENCH_PACKETS={} BENCH_RUNS={} BENCH_STORED_PACKETS={} make bench`; iotq {}.\n",
        jiff::Timestamp::now().strftime("%Y-%m-%d"),
        models.len(),
        kernel.trim(),
        cli.packets,
        cli.runs,
        cli.stored_packets,
        env!("CARGO_PKG_VERSION")
    )
}
