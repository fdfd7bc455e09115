//! Asks the analyzer of the demo what the demo shows, and says whether every
//! answer is right.

use std::{path::PathBuf, process::Command, process::ExitCode};

use anyhow::{Context, Result, bail};
use clap::Parser;
use serde_json::Value;

/// Check the answers of the demo.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Example:\n  iotq-demo-check --iotq target/debug/iotq --analyzer http://127.0.0.1:50651"
)]
struct Cli {
    /// The program to ask
    #[arg(long, value_name = "PATH")]
    iotq: PathBuf,
    /// Where the analyzer listens
    #[arg(long, value_name = "URL")]
    analyzer: String,
}

fn main() -> ExitCode {
    let checked = match Checked::new(&Cli::parse()) {
        Ok(checked) => checked,
        Err(error) => {
            eprintln!("demo: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    for wrong in &checked.wrong {
        eprintln!("demo: wrong: {wrong}");
    }
    println!("demo: {} passed, {} failed", checked.right, checked.wrong.len());
    if checked.wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[derive(Default)]
struct Checked {
    right: usize,
    wrong: Vec<String>,
}

impl Checked {
    /// Asks with the default range, the last hour, as the demo does.
    fn new(cli: &Cli) -> Result<Self> {
        let mut checked = Self::default();
        let talkers = ask(cli, "top-talkers")?;
        checked.that(talkers["coverage"]["lost_packets"] == 0, "nothing was lost", &talkers["coverage"]);
        let rows = rows(&talkers)?;
        let first = rows.first().context("nobody talks")?;
        checked.that(first["name"] == "Kindle", "the Kindle talks most", first);
        checked.that(first["packets"] == 387, "it has 387 packets", first);
        checked.that(near(&first["awake_packets_per_minute"], 77.4, 0.01), "77.4 a minute when awake", first);
        let iot: Vec<_> = rows.iter().filter(|row| is_in(row, "iot")).collect();
        checked.that(iot.len() == 14, "there are 14 plugs and bulbs", &Value::from(iot.len()));
        let sum: f64 = iot.iter().filter_map(|row| row["packets_per_minute"].as_f64()).sum();
        let mean = Value::from(sum / 14.0);
        checked.that(near(&mean, 2.4, 0.1), "they have 2.4 packets a minute each", &mean);
        checked.that(rows.iter().filter(|row| is_in(row, "roomba")).count() == 3, "there are 3 robots", &Value::Null);

        let devices = ask(cli, "devices")?;
        for row in self::rows(&devices)? {
            let is_bulb = row["name"].as_str().is_some_and(|name| name.starts_with("Bulb"));
            // The router's own address talks to the house only.
            let is_router = row["name"] == "Router";
            checked.that((row["local_only"] == true) == (is_bulb || is_router), "only bulbs stay at home", row);
        }
        let destinations = ask(cli, "destinations")?;
        let to = |ip: &str| {
            let goes = |row: &&Value| row["ips"].as_array().is_some_and(|ips| ips.iter().any(|found| found == ip));
            self::rows(&destinations).map(|rows| rows.iter().filter(goes).count())
        };
        checked.that(to("44.230.91.17")? == 8, "eight plugs try to phone home", &destinations["rows"]);
        for ip in ["52.5.173.20", "52.5.173.21", "52.5.173.22"] {
            checked.that(to(ip)? == 1, "each robot has its server", &Value::from(ip));
        }
        let meross = "mqtt-us-2.meross.com";
        let named = |row: &&Value| row["destination"] == meross && row["name_source"] == "dns";
        let named = self::rows(&destinations)?.iter().filter(named).count();
        checked.that(named == 8, "they call it by its name", &destinations["rows"]);
        checked.silence(&ask(cli, "unanswered")?)?;
        checked.beats(&ask(cli, "keepalives")?)?;
        Ok(checked)
    }

    /// Eight plugs call a service that does not answer, each six minutes with four SYNs.
    fn silence(&mut self, unanswered: &Value) -> Result<()> {
        let rows = rows(unanswered)?;
        self.that(rows.len() == 8, "eight devices get no answer, and no others", &unanswered["rows"]);
        for row in rows {
            let is_plug = row["name"].as_str().is_some_and(|name| name.starts_with("Plug "));
            self.that(is_plug, "it is a plug that gets no answer", row);
            self.that(row["peer_name"] == "mqtt-us-2.meross.com", "from a service of Meross", row);
            self.that(row["peer_port"] == 443 && row["protocol"] == "tcp", "on its port 443", row);
            self.that(row["asked_dns"] == true, "whose address DNS had told it", row);
            let (attempts, syns) = (row["attempts"].as_u64(), row["syns"].as_u64());
            let four_each = attempts.zip(syns).is_some_and(|(attempts, syns)| syns == 4 * attempts);
            self.that(attempts.is_some_and(|attempts| (8..=10).contains(&attempts)), "nine or ten times an hour", row);
            self.that(four_each, "with four SYNs each", row);
            self.that(near(&row["median_interval_secs"], 360.0, 15.0), "each six minutes", row);
        }
        Ok(())
    }

    /// Three robots keep a connection open, each with a period of its own.
    fn beats(&mut self, keepalives: &Value) -> Result<()> {
        let rows = rows(keepalives)?;
        self.that(rows.len() == 3, "three devices keep a connection open, and no others", &keepalives["rows"]);
        for (name, period_secs) in [("Roomba upstairs", 46.0), ("Roomba downstairs", 52.0), ("Roomba basement", 58.0)] {
            let row = rows.iter().find(|row| row["name"] == name).unwrap_or(&Value::Null);
            self.that(near(&row["period_secs"], period_secs, period_secs / 10.0), "the period is the robot's own", row);
            self.that(row["kind"] == "within_connection", "within one connection", row);
            self.that(row["peer_name"] == "a2uowfjvhio0fa.iot.us-east-1.amazonaws.com", "with its server", row);
            self.that(row["name_source"] == "sni", "which it asked for in TLS", row);
        }
        Ok(())
    }

    fn that(&mut self, holds: bool, what: &str, found: &Value) {
        if holds {
            self.right += 1;
        } else {
            let found: String = found.to_string().chars().take(300).collect();
            self.wrong.push(format!("{what}; found {found}"));
        }
    }
}

fn ask(cli: &Cli, question: &str) -> Result<Value> {
    let output = Command::new(&cli.iotq)
        .args([question, "--format", "json", "--analyzer", &cli.analyzer])
        .output()
        .with_context(|| format!("cannot run {}", cli.iotq.display()))?;
    if !output.status.success() {
        bail!("iotq {question}: {}", String::from_utf8_lossy(&output.stderr));
    }
    serde_json::from_slice(&output.stdout).with_context(|| format!("iotq {question} answers no JSON"))
}

fn rows(answer: &Value) -> Result<&Vec<Value>> {
    answer["rows"].as_array().context("an answer has no rows")
}

fn is_in(row: &Value, group: &str) -> bool {
    row["group"].as_str().is_some_and(|groups| groups.split(',').any(|found| found == group))
}

fn near(value: &Value, expected: f64, tolerance: f64) -> bool {
    value.as_f64().is_some_and(|value| (value - expected).abs() <= tolerance)
}
