//! `make bench`: makes captures, measures, writes BENCHMARKS.md.

use std::{
    fs::{self, File},
    io::BufWriter,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use clap::Parser;
use iotq_tests::{
    bench::{Bench, Workload, write_between_markers},
    mix::{HouseholdMix, Storm, household_mix, storm},
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
    /// The file whose marked part is written
    #[arg(long, value_name = "FILE")]
    report: PathBuf,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let folder = tempfile::Builder::new().prefix("iotq-bench-").tempdir()?;
    let at_ns = 1_790_000_000_000_000_000;
    let day = Span { since_ns: at_ns, until_ns: at_ns + 24 * 60 * MINUTE_NS };
    let household = |file: &Path, packets: u64| {
        write(file, |sink| household_mix(&HouseholdMix { packets, devices: 40, span: day, seed: 1 }, sink).map(drop))
    };
    let path = |name: &str| folder.path().join(name);
    let small = (cli.packets / 10).max(1);
    household(&path("day.pcap"), cli.packets)?;
    household(&path("part.pcap"), small)?;
    write(&path("storm.pcap"), |sink| {
        storm(&Storm { packets: cli.packets, flows: 10_000, at_ns, seed: 1 }, sink).map(drop)
    })?;
    let workload = |name, file: &str, packets, slow_too| Workload { name, file: path(file), packets, slow_too };
    let bench = Bench {
        workloads: vec![
            workload("a day of a mixed household", "day.pcap", cli.packets, false),
            workload("a tenth of it, for slow tools", "part.pcap", small, true),
            workload("a storm of smallest frames, 10,000 flows", "storm.pcap", cli.packets, false),
        ],
        runs: cli.runs,
        folder: folder.path().to_owned(),
    };
    let tables = bench.run()?;
    let text = format!("{}\n{tables}", head(&cli));
    println!("{text}");
    write_between_markers(&cli.report, &text)
}

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
        "{}; {} × {model}, Linux {}; `BENCH_PACKETS={} BENCH_RUNS={} make bench`; iotq {}.\n",
        jiff::Timestamp::now().strftime("%Y-%m-%d"),
        models.len(),
        kernel.trim(),
        cli.packets,
        cli.runs,
        env!("CARGO_PKG_VERSION")
    )
}
