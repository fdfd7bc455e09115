//! Writes captures of described scenarios, for demo, tests and measurements.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand, ValueEnum};
use iotq_tests::{
    mix::{HouseholdMix, Made, Storm, household_mix, storm},
    pcap_file::{ByteOrder, ETHERNET, Interface, PcapWriter, PcapngWriter, Precision, SNAPLEN},
    scenario::{Scenario, Span, day, household},
};
use jiff::{SignedDuration, Timestamp};

/// Write captures of described scenarios.
#[derive(Debug, Parser)]
#[command(version, after_help = "Example:\n  iotq-scenario household --end now -o hour.pcap --names names.txt")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Fourteen plugs and bulbs, three robot cleaners, a Kindle
    Household {
        #[command(flatten)]
        output: Output,
        #[command(flatten)]
        time: Time,
        /// How long it lasts
        #[arg(long, default_value = "1h", value_parser = duration)]
        duration: SignedDuration,
        /// Where to write the names file that goes with it
        #[arg(long, value_name = "FILE")]
        names: Option<PathBuf>,
    },
    /// A day of that household, with a laptop, a phone, a television and a printer
    Day {
        #[command(flatten)]
        output: Output,
        #[command(flatten)]
        time: Time,
        /// How long it lasts
        #[arg(long, default_value = "24h", value_parser = duration)]
        duration: SignedDuration,
        /// Where to write the names file that goes with it
        #[arg(long, value_name = "FILE")]
        names: Option<PathBuf>,
    },
    /// A mixed household of any size, to measure with: 291 octets a frame
    Mix {
        #[command(flatten)]
        output: Output,
        #[command(flatten)]
        time: Time,
        /// How long it lasts
        #[arg(long, default_value = "24h", value_parser = duration)]
        duration: SignedDuration,
        /// How many frames
        #[arg(long, default_value_t = 1_000_000)]
        packets: u64,
        /// How many devices
        #[arg(long, default_value_t = 40)]
        devices: u32,
    },
    /// Smallest frames, back to back as on gigabit Ethernet
    Storm {
        #[command(flatten)]
        output: Output,
        #[command(flatten)]
        time: Time,
        /// How many frames
        #[arg(long, default_value_t = 1_000_000)]
        packets: u64,
        /// Of how many flows
        #[arg(long, default_value_t = 10_000)]
        flows: u32,
    },
}

#[derive(Args, Debug)]
struct Output {
    /// Where to write the capture; `-` for standard output
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// The capture's format
    #[arg(long, value_enum, default_value_t = Format::Pcap)]
    format: Format,
}

#[derive(Args, Debug)]
struct Time {
    /// When it ends: `now` or RFC 3339
    #[arg(long, default_value = "now", value_parser = instant)]
    end: Timestamp,
    /// Another seed gives other bytes of the same shape
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// Classic, microseconds
    Pcap,
    /// Classic, nanoseconds
    PcapNs,
    /// pcapng, nanoseconds
    Pcapng,
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("iotq-scenario: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<()> {
    match cli.command {
        Command::Household { output, time, duration, names } => {
            write_scenario(&household(span(time.end, duration)?, time.seed), &output, names.as_deref())?;
        }
        Command::Day { output, time, duration, names } => {
            write_scenario(&day(span(time.end, duration)?, time.seed), &output, names.as_deref())?;
        }
        Command::Mix { output, time, duration, packets, devices } => {
            let mix = HouseholdMix { packets, devices, span: span(time.end, duration)?, seed: time.seed };
            write_made(&output, |sink| household_mix(&mix, sink))?;
        }
        Command::Storm { output, time, packets, flows } => {
            let storm_of = Storm { packets, flows, at_ns: nanos(time.end)?, seed: time.seed };
            write_made(&output, |sink| storm(&storm_of, sink))?;
        }
    }
    Ok(())
}

fn write_scenario(scenario: &Scenario, output: &Output, names: Option<&Path>) -> Result<()> {
    let mut writer = Writer::create(output)?;
    for frame in &scenario.frames {
        writer.write(frame.at_ns, &frame.octets)?;
    }
    writer.finish()?;
    if let Some(names) = names {
        std::fs::write(names, scenario.description.names_file())
            .with_context(|| format!("cannot write {}", names.display()))?;
    }
    eprintln!("{} frames, {} packets", scenario.expected.frames, scenario.expected.packets);
    Ok(())
}

fn write_made(
    output: &Output,
    make: impl FnOnce(&mut dyn FnMut(i64, &[u8]) -> std::io::Result<()>) -> std::io::Result<Made>,
) -> Result<()> {
    let mut writer = Writer::create(output)?;
    let made = make(&mut |at_ns, octets| writer.write(at_ns, octets))
        .with_context(|| format!("cannot write {}", output.output.display()))?;
    writer.finish()?;
    let mean = made.wire_bytes / made.frames.max(1);
    eprintln!("{} frames of {mean} octets on average, {} without IP", made.frames, made.no_ip);
    Ok(())
}

enum Writer {
    Classic(PcapWriter<Box<dyn Write>>),
    Next(PcapngWriter<Box<dyn Write>>),
}

impl Writer {
    fn create(output: &Output) -> Result<Self> {
        let file = open(&output.output).with_context(|| format!("cannot write {}", output.output.display()))?;
        // Large writes: at a million frames a second small ones would be what is measured.
        let out: Box<dyn Write> = Box::new(BufWriter::with_capacity(1 << 20, file));
        Ok(match output.format {
            Format::Pcap => Self::Classic(PcapWriter::new(out, ETHERNET, Precision::Micro, ByteOrder::Little)?),
            Format::PcapNs => Self::Classic(PcapWriter::new(out, ETHERNET, Precision::Nano, ByteOrder::Little)?),
            Format::Pcapng => {
                let interface = Interface { name: "mirror".into(), link_type: ETHERNET, snaplen: SNAPLEN, tsresol: 9 };
                Self::Next(PcapngWriter::new(out, ByteOrder::Little, &[interface])?)
            }
        })
    }

    fn write(&mut self, at_ns: i64, octets: &[u8]) -> std::io::Result<()> {
        match self {
            Self::Classic(writer) => writer.write(at_ns, octets),
            Self::Next(writer) => writer.write(0, at_ns, octets, octets.len()),
        }
    }

    fn finish(self) -> Result<()> {
        match self {
            Self::Classic(writer) => drop(writer.finish()?),
            Self::Next(writer) => drop(writer.finish()?),
        }
        Ok(())
    }
}

fn open(path: &Path) -> std::io::Result<Box<dyn Write>> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(std::io::stdout()));
    }
    Ok(Box::new(File::create(path)?))
}

fn span(end: Timestamp, duration: SignedDuration) -> Result<Span> {
    let until_ns = nanos(end)?;
    let lasts_ns = i64::try_from(duration.as_nanos()).context("the duration is too long")?;
    if lasts_ns <= 0 {
        bail!("the duration must be longer than nothing");
    }
    let since_ns = until_ns.checked_sub(lasts_ns).context("the duration is too long")?;
    Ok(Span { since_ns, until_ns })
}

fn nanos(at: Timestamp) -> Result<i64> {
    i64::try_from(at.as_nanosecond()).context("the time is too far away")
}

fn instant(text: &str) -> Result<Timestamp, String> {
    if text == "now" {
        return Ok(Timestamp::now());
    }
    text.parse().map_err(|error| format!("neither `now` nor RFC 3339: {error}"))
}

fn duration(text: &str) -> Result<SignedDuration, String> {
    text.parse().map_err(|error: jiff::Error| error.to_string())
}
