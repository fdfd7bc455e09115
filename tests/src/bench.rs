//! Measures the collector and the whole path, with other tools beside them, in one
//! run: on a shared machine only ratios of the same minutes mean something.

pub mod growth;
mod own_insert;
pub mod questions;

use std::{
    env,
    ffi::OsString,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeValLike,
};

use crate::system::{Analyzer, Setup, program};

/// What is measured, and how often.
#[derive(Clone, Debug)]
pub struct Bench {
    /// Captures to measure with.
    pub workloads: Vec<Workload>,
    /// Runs of each contestant, taken in turns.
    pub runs: usize,
    /// Where captures and stores lie meanwhile.
    pub folder: PathBuf,
}

/// One capture.
#[derive(Clone, Debug)]
pub struct Workload {
    /// What it is called.
    pub name: &'static str,
    /// The capture.
    pub file: PathBuf,
    /// Frames in it.
    pub packets: u64,
    /// Whether slow tools take part.
    pub slow_too: bool,
    /// Whether it has more flows than packets that one of them has.
    pub many_flows: bool,
    /// Whether ClickHouse's own insert of the same rows takes part.
    pub own_insert: bool,
}

/// One way to read a capture.
#[derive(Clone, Debug)]
enum Contestant {
    /// A program that reads a file to its end.
    Program { name: &'static str, command: Vec<OsString> },
    /// Collector, analyzer, ClickHouse, until `iotq` shows it; `flags` are the collector's.
    WholePath { name: &'static str, flags: &'static [&'static str] },
    /// ClickHouse alone, from files with the rows in this folder.
    OwnInsert { rows: PathBuf },
}

/// What one run took.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    wall_secs: f64,
    cpu_secs: f64,
    peak_rss_mib: f64,
    /// What is stored: of packets, and of all tables; 0 where nothing is.
    slices_bytes: f64,
    store_bytes: f64,
}

impl Bench {
    /// Runs it all and returns tables in Markdown.
    ///
    /// # Errors
    /// If a program fails.
    pub fn run(&self) -> Result<String> {
        let mut report = String::new();
        for workload in &self.workloads {
            let mut contestants = self.contestants(workload);
            if workload.own_insert {
                let rows = self.folder.join("rows");
                own_insert::save_rows(&workload.file, &rows)?;
                contestants.push(Contestant::OwnInsert { rows });
            }
            let mut costs = vec![Vec::new(); contestants.len()];
            for run in 0..self.runs {
                for (contestant, costs) in contestants.iter().zip(&mut costs) {
                    let cost = self
                        .measure(contestant, workload)
                        .with_context(|| format!("{} on {}", contestant.name(), workload.name))?;
                    eprintln!(
                        "{} {}/{}: {}: {:.2} s, {:.2} CPU s",
                        workload.name,
                        run + 1,
                        self.runs,
                        contestant.name(),
                        cost.wall_secs,
                        cost.cpu_secs
                    );
                    costs.push(cost);
                }
            }
            write_table(&mut report, workload, &contestants, &costs)?;
        }
        Ok(report)
    }

    fn contestants(&self, workload: &Workload) -> Vec<Contestant> {
        let file = workload.file.as_os_str().to_owned();
        let words = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        let with_file = |mut command: Vec<OsString>, more: &[&str]| {
            command.push(file.clone());
            command.extend(more.iter().map(OsString::from));
            command
        };
        let flows = self.folder.join("nfcapd");
        let mut found = vec![Contestant::Program {
            name: "libpcap's bare loop",
            command: with_file(vec![program("iotq-bareloop").into()], &[]),
        }];
        if is_installed("tcpdump") {
            let command = with_file(words(&["tcpdump", "-n", "-r"]), &["-w", "/dev/null"]);
            found.push(Contestant::Program { name: "tcpdump -w", command });
        }
        // Half a minute for a million flows.
        if !workload.many_flows && is_installed("argus") {
            let command = with_file(words(&["argus", "-r"]), &["-w", "/dev/null"]);
            found.push(Contestant::Program { name: "argus", command });
        }
        if workload.slow_too && is_installed("tshark") {
            let command = with_file(words(&["tshark", "-n", "-r"]), &["-T", "fields", "-e", "frame.len"]);
            found.push(Contestant::Program { name: "tshark", command });
        }
        if is_installed("nfpcapd") {
            let command = with_file(words(&["nfpcapd", "-r"]), &["-l", &flows.to_string_lossy()]);
            found.push(Contestant::Program { name: "nfpcapd", command });
        }
        if is_installed("softflowd") {
            // Flows go to a port where nobody listens; `-d` keeps it in the foreground.
            let command = with_file(words(&["softflowd", "-d", "-n", "127.0.0.1:9", "-r"]), &[]);
            found.push(Contestant::Program { name: "softflowd", command });
        }
        for (name, flags) in [(DRY_RUN, &[][..]), (DRY_RUN_SLICES, SLICES_ONLY)] {
            let mut dry_run = vec![program("iotq-collector").into()];
            dry_run.extend(words(&["replay", "--dry-run"]));
            dry_run.extend(words(flags));
            found.push(Contestant::Program { name, command: with_file(dry_run, &[]) });
        }
        found.push(Contestant::WholePath { name: WHOLE_PATH, flags: &[] });
        found.push(Contestant::WholePath { name: WHOLE_PATH_SLICES, flags: SLICES_ONLY });
        found
    }

    fn measure(&self, contestant: &Contestant, workload: &Workload) -> Result<Cost> {
        // Everybody finds the file in the page cache, and writes out what is its own only.
        fs::read(&workload.file)?;
        nix::unistd::sync();
        match contestant {
            Contestant::Program { command, .. } => {
                let flows = self.folder.join("nfcapd");
                let _ = fs::remove_dir_all(&flows);
                fs::create_dir_all(&flows)?;
                let (first, rest) = command.split_first().context("a command has a program")?;
                cost_of(Command::new(first).args(rest))
            }
            Contestant::WholePath { flags, .. } => whole_path(workload, flags),
            Contestant::OwnInsert { rows } => own_insert::insert_rows(rows),
        }
    }
}

impl Contestant {
    fn name(&self) -> &'static str {
        match self {
            Self::Program { name, .. } | Self::WholePath { name, .. } => name,
            Self::OwnInsert { .. } => OWN_INSERT,
        }
    }
}

const DRY_RUN: &str = "`iotq-collector replay --dry-run`";
const DRY_RUN_SLICES: &str = "the same with `--no-names --no-connections`";
const WHOLE_PATH: &str = "whole path: file → collector → gRPC → analyzer → ClickHouse → `iotq`";
const OWN_INSERT: &str = "ClickHouse's own insert of the same rows from Native files";
const WHOLE_PATH_SLICES: &str = "whole path with `--no-names --no-connections`";
/// What leaves only the packets: the difference is what names and connections cost.
const SLICES_ONLY: &[&str] = &["--no-names", "--no-connections"];

/// Runs a command to its end.
fn cost_of(command: &mut Command) -> Result<Cost> {
    let before = children_cpu_secs()?;
    let started = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let mut peak_rss_mib: f64 = 0.0;
    let status = loop {
        peak_rss_mib = peak_rss_mib.max(peak_rss(child.id()));
        if let Some(status) = child.try_wait()? {
            break status;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let wall_secs = started.elapsed().as_secs_f64();
    ensure!(status.success(), "{status}");
    Ok(Cost { wall_secs, cpu_secs: children_cpu_secs()? - before, peak_rss_mib, ..Cost::default() })
}

/// Into a fresh analyzer, until `iotq status` shows every frame. Time and CPU are
/// those from the collector's start on; the analyzer was ready before.
fn whole_path(workload: &Workload, flags: &[&str]) -> Result<Cost> {
    let mut analyzer = Analyzer::start(Setup::default());
    analyzer.leave_folder();
    let engine = analyzer.engine_id().context("the analyzer has no engine")?;
    let servers = [analyzer.id(), engine];
    let before: f64 = servers.iter().map(|id| cpu_secs(*id)).sum();
    let started = Instant::now();
    let mut collector = Command::new(program("iotq-collector"));
    collector.args(["replay", "--name", "bench", "--analyzer", &analyzer.url()]).args(flags).arg(&workload.file);
    let mut cost = cost_of(&mut collector)?;
    let shown = analyzer.status_of("bench").context("the collector is not known")?;
    ensure!(shown["frames"] == workload.packets, "{} frames of {}", shown["frames"], workload.packets);
    cost.wall_secs = started.elapsed().as_secs_f64();
    cost.cpu_secs += servers.iter().map(|id| cpu_secs(*id)).sum::<f64>() - before;
    cost.peak_rss_mib += servers.iter().map(|id| peak_rss(*id)).sum::<f64>();
    let status = analyzer.status();
    let tables = status["store"]["tables"].as_object().context("no tables")?;
    let bytes = |table: &serde_json::Value| table["bytes"].as_f64().unwrap_or(f64::NAN);
    cost.slices_bytes = tables.get("slices").map(bytes).context("no slices")?;
    cost.store_bytes = tables.values().map(bytes).sum();
    Ok(cost)
}

fn write_table(
    report: &mut String,
    workload: &Workload,
    contestants: &[Contestant],
    costs: &[Vec<Cost>],
) -> Result<()> {
    let medians: Vec<_> = costs.iter().map(|costs| median(costs)).collect();
    let packets = u32::try_from(workload.packets).map(f64::from)?;
    let octets = fs::metadata(&workload.file)?.len() / workload.packets.max(1) - 16;
    writeln!(report, "### {}: {:.2} M packets of {octets} octets\n", workload.name, packets / 1e6)?;
    writeln!(report, "| | seconds | M packets/s | CPU s | µs CPU a packet | × bare loop's CPU | peak RSS, MiB |")?;
    writeln!(report, "| --- | ---: | ---: | ---: | ---: | ---: | ---: |")?;
    let bare = medians.first().map_or(f64::NAN, |cost| cost.cpu_secs);
    for (contestant, cost) in contestants.iter().zip(&medians) {
        writeln!(
            report,
            "| {} | {:.2} | {:.2} | {:.2} | {:.2} | {:.1} | {:.0} |",
            contestant.name(),
            cost.wall_secs,
            packets / cost.wall_secs / 1e6,
            cost.cpu_secs,
            cost.cpu_secs / packets * 1e6,
            cost.cpu_secs / bare,
            cost.peak_rss_mib
        )?;
    }
    report.push('\n');
    let runs = |name: &str| contestants.iter().zip(costs).find(|(it, _)| it.name() == name).map(|(_, costs)| costs);
    for (what, with, without) in
        [("the collector", DRY_RUN, DRY_RUN_SLICES), ("the whole path", WHOLE_PATH, WHOLE_PATH_SLICES)]
    {
        if let (Some(with), Some(without)) = (runs(with), runs(without)) {
            let ratio = ratio(with, without);
            writeln!(
                report,
                "Names and connections take {what} × {:.2} CPU, × {:.2} time: it keeps {:.0} % of its speed.",
                ratio.cpu_secs,
                ratio.wall_secs,
                100.0 / ratio.wall_secs
            )?;
        }
    }
    for name in [WHOLE_PATH, WHOLE_PATH_SLICES] {
        if let Some(runs) = runs(name) {
            let stored = median(runs);
            writeln!(
                report,
                "On disk after the {name}: {:.2} octets a packet, {:.2} of them slices; not merged yet.",
                stored.store_bytes / packets,
                stored.slices_bytes / packets
            )?;
        }
    }
    if let (Some(whole), Some(own)) = (runs(WHOLE_PATH), runs(OWN_INSERT)) {
        let ratio = ratio(whole, own);
        writeln!(
            report,
            "The whole path has × {:.2} the speed of ClickHouse's own insert, and × {:.2} its CPU.",
            1.0 / ratio.wall_secs,
            ratio.cpu_secs
        )?;
    }
    if let Some(dry_run) = runs(DRY_RUN) {
        for rival in ["nfpcapd", "softflowd"] {
            if let Some(costs) = runs(rival) {
                writeln!(report, "{DRY_RUN} takes × {:.2} the CPU of {rival}.", ratio(dry_run, costs).cpu_secs)?;
            }
        }
    }
    report.push('\n');
    Ok(())
}

/// How much more one takes than the other: the median of the ratios of runs that were next to each other, so that
/// a machine that others make slower for some seconds weighs no more than that.
fn ratio(costs: &[Cost], others: &[Cost]) -> Cost {
    let ratios = costs.iter().zip(others).map(|(cost, other)| Cost {
        wall_secs: cost.wall_secs / other.wall_secs,
        cpu_secs: cost.cpu_secs / other.cpu_secs,
        peak_rss_mib: cost.peak_rss_mib / other.peak_rss_mib,
        ..Cost::default()
    });
    median(&ratios.collect::<Vec<_>>())
}

/// The median of each measure.
fn median(costs: &[Cost]) -> Cost {
    let of = |measure: fn(&Cost) -> f64| {
        let mut values: Vec<_> = costs.iter().map(measure).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    };
    Cost {
        wall_secs: of(|cost| cost.wall_secs),
        cpu_secs: of(|cost| cost.cpu_secs),
        peak_rss_mib: of(|cost| cost.peak_rss_mib),
        slices_bytes: of(|cost| cost.slices_bytes),
        store_bytes: of(|cost| cost.store_bytes),
    }
}

/// User and system time of all children that have ended.
fn children_cpu_secs() -> Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(Duration::from_micros(u64::try_from(micros)?).as_secs_f64())
}

/// User and system time of a process that is running; 0 if there is none.
fn cpu_secs(id: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    // After the name in brackets, which may hold spaces: fields 14 and 15 (proc(5)),
    // in ticks of a hundredth of a second.
    let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = [11, 12].iter().filter_map(|field| fields.get(*field)?.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}

/// The most memory that a process had resident; 0 if there is none.
fn peak_rss(id: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}

fn is_installed(name: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let sbin = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path).chain(sbin).any(|folder| folder.join(name).is_file())
}

/// Puts text between the markers of a file, which is made if it is not there.
///
/// # Errors
/// If the file cannot be read or written, or has no markers.
pub fn write_between_markers(path: &Path, text: &str) -> Result<()> {
    let old = match fs::read_to_string(path) {
        Ok(old) => old,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => format!("{HEADING}\n{BEGIN}\n{END}\n"),
        Err(error) => return Err(error).with_context(|| path.display().to_string()),
    };
    let (before, rest) = old.split_once(BEGIN).with_context(|| format!("{} has no {BEGIN}", path.display()))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("{} has no {END}", path.display()))?;
    fs::write(path, format!("{before}{BEGIN}\n{text}{END}{after}"))?;
    Ok(())
}

const BEGIN: &str = "<!-- bench:begin -->";
const END: &str = "<!-- bench:end -->";
const HEADING: &str = "# Benchmarks\n\nMedians of runs taken in turns on one machine; ratios count. `make bench` writes what \
                       is between the markers.\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_outside_the_markers_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("BENCHMARKS.md");
        write_between_markers(&path, "first\n").unwrap();
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{text}by hand\n")).unwrap();
        write_between_markers(&path, "second\n").unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("second") && !text.contains("first") && text.ends_with("by hand\n"), "{text}");
    }

    #[test]
    fn the_median_is_taken_of_each_measure() {
        let costs =
            [3.0, 1.0, 2.0].map(|secs| Cost { wall_secs: secs, cpu_secs: -secs, peak_rss_mib: 5.0, ..Cost::default() });
        let median = median(&costs);
        assert!((median.wall_secs, median.cpu_secs, median.peak_rss_mib) == (2.0, -2.0, 5.0));
    }

    #[test]
    fn ratios_are_of_runs_next_to_each_other() {
        let cost = |secs| Cost { wall_secs: secs, cpu_secs: secs, peak_rss_mib: 1.0, ..Cost::default() };
        let costs = |secs: [f64; 3]| secs.map(cost);
        // The machine was slow in the second run of each.
        let ratio = ratio(&costs([2.0, 9.0, 2.2]), &costs([1.0, 4.5, 1.1]));
        assert!((ratio.wall_secs - 2.0).abs() < 1e-9 && (ratio.cpu_secs - 2.0).abs() < 1e-9, "{ratio:?}");
    }

    #[test]
    fn a_running_process_has_used_time_and_memory() {
        let id = std::process::id();
        assert!(peak_rss(id) > 0.5);
        assert!(cpu_secs(id) >= 0.0);
        assert!(cpu_secs(u32::MAX) == 0.0);
    }
}
