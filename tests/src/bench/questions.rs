//! How long questions take with many packets in the store, from the shell, with
//! hand-written SQL for the same answer beside them.
//!
//! The packets are made inside ClickHouse: one day of 200 devices and 150 peers, then
//! the same day as often as needed, through the same views as everything stored.

use std::{
    fmt::Write as _,
    process::Command,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, ensure};

use crate::system::{Analyzer, ClickHouse, Setup};

/// How much is stored, and how often is asked.
#[derive(Clone, Copy, Debug)]
pub struct Questions {
    /// Packets in the store.
    pub packets: u64,
    /// Days they are spread over.
    pub days: u64,
    /// Runs of each question.
    pub runs: usize,
}

/// A question, and the SQL that somebody who knows the tables would write.
struct Question {
    words: &'static [&'static str],
    sql: Option<&'static str>,
}

impl Questions {
    /// Stores the packets, asks, and returns a table in Markdown.
    ///
    /// # Errors
    /// If something does not answer.
    pub fn run(&self) -> Result<String> {
        let server = ClickHouse::start();
        let analyzer = Analyzer::start(Setup { clickhouse: Some(server.url()), ..Setup::default() });
        let made = self.fill(&server)?;
        let mut report = String::new();
        let bytes: f64 = server
            .query("SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = 'iotq' FORMAT TSV")
            .trim()
            .parse()?;
        let packets = precise(made);
        writeln!(
            report,
            "### questions to {:.0} M stored packets of {DEVICES} devices over {} days\n",
            packets / 1e6,
            self.days
        )?;
        writeln!(report, "{:.2} octets on disk a packet, roll-ups included.\n", bytes / packets)?;
        writeln!(report, "| question, from the shell | ms | hand-written SQL over HTTP, ms | ratio |")?;
        writeln!(report, "| --- | ---: | ---: | ---: |")?;
        for question in QUESTIONS {
            let (mut shell, mut by_hand) = (Vec::new(), Vec::new());
            // The first of each warms the caches and is not counted.
            for run in 0..=self.runs {
                let took = millis(|| ask(&analyzer, question.words))?;
                let sql = question.sql.map(|sql| millis(|| Ok(server.try_query(sql).map(drop)?))).transpose()?;
                if run > 0 {
                    shell.push(took);
                    by_hand.extend(sql);
                }
            }
            let (shell, by_hand) = (median(shell), median(by_hand));
            let beside = match by_hand {
                Some(by_hand) => format!("{by_hand:.0} | {:.2}", shell.unwrap_or(f64::NAN) / by_hand),
                None => " | ".to_owned(),
            };
            let name = question.words.join(" ");
            writeln!(report, "| `iotq {name}` | {:.0} | {beside} |", shell.unwrap_or(f64::NAN))?;
            eprintln!("iotq {name}: {:.0} ms", shell.unwrap_or(f64::NAN));
        }
        report.push('\n');
        Ok(report)
    }

    /// Returns how many packets there are.
    fn fill(&self, server: &ClickHouse) -> Result<u64> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let (begins, slices) = (now - 86_400, self.packets / self.days / PACKETS_A_SLICE);
        // In pieces, as batches come.
        let piece = 500_000;
        for from in (0..slices).step_by(piece) {
            let count = (slices - from).min(piece as u64);
            run(server, &a_day(begins, from, count, slices))?;
        }
        let columns = "* REPLACE (second - {shift} AS second, arrived_on - {day} AS arrived_on)";
        for day in 1..self.days {
            let columns = columns.replace("{shift}", &(day * 86_400).to_string()).replace("{day}", &day.to_string());
            run(
                server,
                &format!(
                    "INSERT INTO iotq.slices SELECT {columns} FROM iotq.slices WHERE slices.second >= {begins} \
                     SETTINGS max_insert_block_size = 500000, max_insert_threads = 2"
                ),
            )?;
            eprintln!("stored: day {} of {}", day + 1, self.days);
        }
        run(
            server,
            &format!(
                "INSERT INTO iotq.batches (collector, epoch, seq, sealed_at_ns, arrived_on, covered_from_at_ns, \
                 covered_until_at_ns, frames, packets) SELECT 'bench', 1, number + 1, \
                 ({now} - 3600 * number) * 1000000000, toDate({now} - 3600 * number), \
                 ({now} - 3600 * (number + 1)) * 1000000000, ({now} - 3600 * number) * 1000000000, 1, 1 \
                 FROM numbers({})",
                self.days * 24
            ),
        )?;
        // As it is some time after: merged.
        for _ in 0..600 {
            if server.query("SELECT count() FROM system.merges").trim() == "0" {
                break;
            }
            std::thread::sleep(std::time::Duration::from_secs(1));
        }
        let made = server.query("SELECT sum(a_packets + b_packets) FROM iotq.slices FORMAT TSV");
        Ok(made.trim().parse()?)
    }
}

/// Slices of one day from `begins` on: devices that talk much and little, peers that are
/// liked more and less, most of it in two directions.
fn a_day(begins: u64, from: u64, count: u64, of: u64) -> String {
    format!(
        "INSERT INTO iotq.slices SELECT toDate({begins} + 86400) AS arrived_on, 'bench' AS collector, 1 AS epoch, \
         intDiv(number, 27000) + 1 AS seq, {begins} + intDiv(number * 86400, {of}) AS second, 65535 AS vlan_id, \
         {ROUTER_MAC} AS a_mac, {DEVICE_MAC} + device AS b_mac, \
         toIPv6(concat('::ffff:52.18.', toString(intDiv(peer, 250)), '.', toString(peer % 250 + 1))) AS a_ip, \
         toIPv6(concat('::ffff:192.168.7.', toString(device + 10))) AS b_ip, 4 AS ip_version, 6 AS protocol, \
         1 AS has_ports, 443 AS a_port, 49152 + (cityHash64(device, peer, intDiv(second, 600)) % 16000) AS b_port, \
         arraySum(from_a) AS a_packets, n - arraySum(from_a) AS b_packets, \
         arraySum(arrayMap((w, f) -> w * f, wire_bytes, from_a)) AS a_wire_bytes, \
         arraySum(wire_bytes) - a_wire_bytes AS b_wire_bytes, \
         arrayMap(i -> toUInt32(i * 80000000 + bitAnd(bitShiftRight(h, i), 0xffff) * 1000), range(n)) AS offset_ns, \
         arrayMap(i -> toUInt32(multiIf(bitTest(h, i + 3), 66, bitTest(h, i + 17), 1514, 120 + bitAnd(h, 127))), \
         range(n)) AS wire_bytes, arrayMap(w -> toUInt32(66), wire_bytes) AS overhead_bytes, \
         arrayMap(w -> toUInt16(if(w = 66, 16, 24)), wire_bytes) AS tcp_flags, \
         arrayMap(i -> toUInt8(bitTest(h, i + 31)), range(n)) AS from_a \
         FROM (SELECT number, cityHash64(number) AS h, toUInt32(1 + h % 11) AS n, \
         toUInt32(intDiv(bitAnd(bitShiftRight(h, 8), 0xff) * bitAnd(bitShiftRight(h, 16), 0xff), 326)) AS device, \
         toUInt32((device * 7 + bitAnd(bitShiftRight(h, 24), 0xff) % (1 + device % 30)) % 150) AS peer \
         FROM numbers({from}, {count}))"
    )
}

fn run(server: &ClickHouse, sql: &str) -> Result<()> {
    server.try_query(sql).map(drop).with_context(|| sql.chars().take(200).collect::<String>())
}

fn ask(analyzer: &Analyzer, words: &[&str]) -> Result<()> {
    let mut command: Command = analyzer.question(words.iter().copied());
    let output = command.output()?;
    ensure!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn millis(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let started = Instant::now();
    work()?;
    Ok(started.elapsed().as_secs_f64() * 1e3)
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// Up to 2^53, which is more than anybody waits for.
fn precise(count: u64) -> f64 {
    u32::try_from(count / 1000).map_or(f64::INFINITY, |thousands| f64::from(thousands) * 1e3)
}

/// Both sides of a pair as devices, from the roll-ups that answer exactly; of the minute in which the hour begins from
/// the slices.
const TOP_HOUR: &str = "WITH toUnixTimestamp(now()) - 3600 AS since, intDiv(since + 59, 60) * 60 AS minutes_since \
    SELECT mac, sum(packets) AS packets, sum(wire_bytes) AS wire_bytes, uniqExact(peer) AS peers \
    FROM (SELECT side.1 AS mac, side.2 AS peer, a_packets + b_packets AS packets, \
    a_wire_bytes + b_wire_bytes AS wire_bytes FROM (\
    SELECT a_mac, b_mac, a_ip, b_ip, a_packets, b_packets, a_wire_bytes, b_wire_bytes FROM iotq.traffic_minute \
    WHERE minute >= minutes_since UNION ALL \
    SELECT a_mac, b_mac, a_ip, b_ip, a_packets, b_packets, a_wire_bytes, b_wire_bytes FROM iotq.slices \
    WHERE intDiv(second, 3600) = intDiv(since, 3600) AND second >= since AND second < minutes_since) \
    ARRAY JOIN [(a_mac, b_ip), (b_mac, a_ip)] AS side) GROUP BY mac ORDER BY packets DESC LIMIT 20";
const TOP_MONTH: &str = "SELECT mac, sum(packets) AS packets, sum(wire_bytes) AS wire_bytes, uniqExact(peer) AS peers \
    FROM (SELECT side.1 AS mac, side.2 AS peer, a_packets + b_packets AS packets, \
    a_wire_bytes + b_wire_bytes AS wire_bytes FROM iotq.traffic_hour ARRAY JOIN [(a_mac, b_ip), (b_mac, a_ip)] AS side \
    WHERE hour >= toUnixTimestamp(now()) - 30 * 86400) GROUP BY mac ORDER BY packets DESC LIMIT 20";

const QUESTIONS: &[Question] = &[
    Question { words: &["top-talkers", "--since", "1h"], sql: Some(TOP_HOUR) },
    Question { words: &["top-talkers", "--since", "30d"], sql: Some(TOP_MONTH) },
    Question { words: &["devices", "--since", "1h"], sql: None },
    Question { words: &["destinations", "--since", "1h"], sql: None },
    Question { words: &["conversations", "--since", "1h"], sql: None },
    Question { words: &["destinations", "--since", "30d", "--by", "domain"], sql: None },
    Question { words: &["timeline", "--since", "24h"], sql: None },
    Question { words: &["packets", "--since", "1m", "-n", "20"], sql: None },
    Question { words: &["report", "--since", "30d", "-o", "-"], sql: None },
    Question { words: &["status"], sql: None },
];

const DEVICES: u32 = 200;
const ROUTER_MAC: u64 = 0x0000_5e00_5301;
const DEVICE_MAC: u64 = 0x48e1_e900_0000;
/// On average, as in a household.
const PACKETS_A_SLICE: u64 = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_nothing_is_nothing() {
        assert_eq!((median(vec![]), median(vec![3.0, 1.0, 2.0])), (None, Some(2.0)));
    }
}
