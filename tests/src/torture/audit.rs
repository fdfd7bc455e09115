//! Compares what is stored with what was sent.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
    net::Ipv6Addr,
};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::{
    episodes::{FlowId, Ledger, Sent},
    journal::Journal,
    replays::Replays,
    sql::Sql,
    world::{MORTAL, STEADY, World},
};

/// Packets, octets and connections of a flow, or questions of a name, by collector.
#[derive(Debug, Default)]
struct Stored {
    flows: HashMap<FlowId, [u64; 2]>,
    connections: HashMap<FlowId, [u64; 2]>,
    questions: HashMap<String, u64>,
}

/// Stretches of which nothing is known.
type Gaps = Vec<(i64, i64)>;

/// Asks and compares; what is wrong goes into the journal. What there was, in lines.
pub(super) fn audit(world: &mut World, live: &Ledger) -> Result<String> {
    let sql = Sql::of(&world.analyzer.data_dir())?;
    no_row_is_doubled(&sql, &mut world.journal)?;
    let mut told = String::new();
    for name in [STEADY, MORTAL, Replays::NAME] {
        let status = world.analyzer.status_of(name).with_context(|| format!("{name} is not known"))?;
        let count = |field: &str| status[field].as_u64().with_context(|| format!("{name}: {field}: {status}"));
        let (frames, lost) = (count("frames")?, count("lost_packets")?);
        let stored = stored_by(&sql, name)?;
        let packets: u64 = stored.flows.values().map(|[packets, _]| packets).sum();
        let _ = writeln!(
            told,
            "{name}: {packets} packets of {} flows stored, {lost} frames lost {}",
            stored.flows.len(),
            status["lost_by_stage"]
        );
        let journal = &mut world.journal;
        if name == Replays::NAME {
            whole(name, &world.replays.whole, &stored, journal);
            at_most(name, &world.replays.parts, &stored, journal);
            strangers(name, &[&world.replays.whole, &world.replays.parts], &stored, journal);
            let _ = writeln!(
                told,
                "{name}: {} started, {} flows of those that ended, {} of those that were killed",
                world.replays.started,
                world.replays.whole.len(),
                world.replays.parts.len()
            );
            if lost > 0 {
                journal.fault(format!("{name}: {lost} frames lost {}", status["lost_by_stage"]));
            }
            continue;
        }
        let sent: u64 = live.values().map(|sent| sent.packets).sum();
        at_most(name, live, &stored, journal);
        strangers(name, &[live], &stored, journal);
        if frames != packets + lost {
            journal.fault(format!("{name}: {frames} frames are not {packets} packets and {lost} lost"));
        }
        if name == STEADY {
            if lost == 0 {
                whole(name, live, &stored, journal);
            }
            if sent != packets + lost {
                journal.fault(format!("{name}: {sent} frames sent, {packets} stored and {lost} lost"));
            }
            let _ = writeln!(told, "{name}: {sent} frames sent");
            continue;
        }
        let gaps = gaps_of(world, name)?;
        told += &in_gaps(name, live, &stored, lost, &gaps, &mut world.journal);
    }
    Ok(told)
}

/// Whatever the frames were.
fn no_row_is_doubled(sql: &Sql, journal: &mut Journal) -> Result<()> {
    // Rows that are there, by what must be there once.
    let twice = [
        ("batches", "collector, epoch, seq"),
        (
            "slices",
            "collector, epoch, seq, second, vlan_id, a_mac, b_mac, a_ip, b_ip, protocol, has_ports, a_port, b_port",
        ),
        ("dns", "collector, asked_at_ns, client_ip, client_port, qname"),
    ];
    for (table, key) in twice {
        let found: Vec<serde_json::Value> =
            sql.rows(&format!("SELECT {key}, count() AS rows FROM {table} GROUP BY {key} HAVING rows > 1 LIMIT 5"))?;
        for row in found {
            journal.fault(format!("{table}: there more than once: {row}"));
        }
    }
    // A batch has all its slices, and slices have their batch. Those of a replay that was killed between
    // both and could not send it again may lack it: nobody answers for them.
    let halves: Vec<serde_json::Value> = sql.rows(&format!(
        "SELECT collector, epoch, seq, sum(told) AS told, sum(found) AS found FROM (
            SELECT collector, epoch, seq, packets AS told, 0 AS found FROM batches UNION ALL
            SELECT collector, epoch, seq, 0, a_packets + b_packets FROM slices)
        GROUP BY collector, epoch, seq HAVING told != found AND NOT (told = 0 AND collector = '{}') LIMIT 20",
        Replays::NAME
    ))?;
    for row in halves {
        journal.fault(format!("a batch and its slices differ: {row}"));
    }
    let unbalanced: Vec<serde_json::Value> = sql.rows(
        "SELECT collector, epoch, seq FROM batches WHERE frames != packets + no_ip
            + arraySum(mapValues(undecoded)) + arraySum(mapValues(lost)) LIMIT 5",
    )?;
    for row in unbalanced {
        journal.fault(format!("a batch does not balance: {row}"));
    }
    // Parts whose files were cut on a full disk may be set aside: their rows were inserted once more, and what a
    // merge was made of counts again, as all that is compared here shows.
    let aside: Vec<serde_json::Value> =
        sql.rows("SELECT table, name, reason FROM system.detached_parts WHERE database = 'iotq' LIMIT 20")?;
    for row in aside {
        journal.note(format!("a part was set aside: {row}"));
    }
    // Each report is in its connection once: the newest has their number.
    let unequal: Vec<serde_json::Value> = sql.rows(
        "SELECT collector, epoch, number, sum(updates) AS found, max(latest.update) AS last
        FROM connections GROUP BY collector, epoch, number HAVING last != found LIMIT 5",
    )?;
    for row in unequal {
        journal.fault(format!("a connection's reports are not there once each: {row}"));
    }
    // A collector that ended reported the end of each.
    let open: Vec<serde_json::Value> = sql.rows(&format!(
        "SELECT epoch, number, max(connections.latest) AS latest FROM connections WHERE collector = '{STEADY}'
        GROUP BY epoch, number HAVING latest.end = '' LIMIT 5"
    ))?;
    for row in open {
        journal.fault(format!("a connection of {STEADY} never ended: {row}"));
    }
    // Roll-ups say what the slices say.
    #[derive(Debug, Deserialize, Eq, PartialEq)]
    struct Sum {
        collector: String,
        packets: u64,
        octets: u64,
    }
    let sums = |table: &str| {
        sql.rows::<Sum>(&format!(
            "SELECT toString(collector) AS collector, sum(toUInt64(a_packets) + b_packets) AS packets,
                sum(a_wire_bytes + b_wire_bytes) AS octets FROM {table} GROUP BY collector ORDER BY collector"
        ))
    };
    let of_slices = sums("slices")?;
    for table in ["traffic_minute", "traffic_hour", "traffic_day"] {
        let of_table = sums(table)?;
        if of_table != of_slices {
            journal.fault(format!("{table} has {of_table:?}, slices have {of_slices:?}"));
        }
    }
    let of_endpoints: Vec<serde_json::Value> = sql.rows(
        "SELECT toString(collector) AS collector, sum(packets) AS packets, sum(made) AS made FROM
        (
            SELECT collector, packets, 0 AS made FROM endpoint_hour
            UNION ALL
            SELECT collector, 0, a_packets + b_packets + if(bitAnd(a_mac, 1099511627776) = 0, b_packets, 0)
                + if(bitAnd(b_mac, 1099511627776) = 0, a_packets, 0) FROM traffic_hour
        )
        GROUP BY collector HAVING packets != made",
    )?;
    for row in of_endpoints {
        journal.fault(format!("endpoint_hour and traffic_hour differ: {row}"));
    }
    Ok(())
}

fn stored_by(sql: &Sql, collector: &str) -> Result<Stored> {
    #[derive(Deserialize)]
    struct Row {
        protocol: u8,
        one_ip: Ipv6Addr,
        one_port: u16,
        other_ip: Ipv6Addr,
        other_port: u16,
        first: u64,
        second: u64,
    }
    let by_flow = |question: &str| -> Result<HashMap<FlowId, [u64; 2]>> {
        let rows: Vec<Row> = sql.rows(question)?;
        let v4 = |ip: Ipv6Addr| ip.to_ipv4_mapped().with_context(|| format!("{ip} is none of ours"));
        rows.into_iter()
            .map(|row| {
                let (one, other) = ((v4(row.one_ip)?, row.one_port), (v4(row.other_ip)?, row.other_port));
                Ok((FlowId::new(row.protocol, one, other), [row.first, row.second]))
            })
            .collect()
    };
    let flows = by_flow(&format!(
        "SELECT protocol, a_ip AS one_ip, a_port AS one_port, b_ip AS other_ip, b_port AS other_port,
            sum(toUInt64(a_packets) + b_packets) AS first, sum(a_wire_bytes + b_wire_bytes) AS second
        FROM slices WHERE collector = '{collector}' GROUP BY ALL"
    ))?;
    let connections = by_flow(&format!(
        "SELECT protocol, orig_ip AS one_ip, orig_port AS one_port, resp_ip AS other_ip, resp_port AS other_port,
            sum(orig_packets + resp_packets) AS first, uniqExact(epoch, number) AS second
        FROM connections WHERE collector = '{collector}' GROUP BY ALL"
    ))?;
    #[derive(Deserialize)]
    struct Question {
        qname: String,
        times: u64,
    }
    let questions: Vec<Question> =
        sql.rows(&format!("SELECT qname, count() AS times FROM dns WHERE collector = '{collector}' GROUP BY qname"))?;
    let questions = questions.into_iter().map(|question| (question.qname, question.times)).collect();
    Ok(Stored { flows, connections, questions })
}

/// All that was sent is there.
fn whole(name: &str, ledger: &Ledger, stored: &Stored, journal: &mut Journal) {
    let differ = |flow: &FlowId, sent: &Sent| {
        let found = stored.flows.get(flow).copied().unwrap_or_default();
        let connection = stored.connections.get(flow).copied().unwrap_or_default();
        let asked = sent.qname.as_ref().map(|qname| stored.questions.get(qname).copied().unwrap_or(0));
        let is_right = found == [sent.packets, sent.wire_bytes]
            && connection == [sent.packets, 1]
            && asked.is_none_or(|times| times == 1);
        (!is_right)
            .then(|| format!("{flow:?} has {found:?}, connection {connection:?}, asked {asked:?}, sent {sent:?}"))
    };
    complain(name, "not as it was sent", ledger.iter().filter_map(|(flow, sent)| differ(flow, sent)), journal);
}

/// Nothing is there that was not sent, or more often.
fn at_most(name: &str, ledger: &Ledger, stored: &Stored, journal: &mut Journal) {
    let differ = |flow: &FlowId, sent: &Sent| {
        let found = stored.flows.get(flow).copied().unwrap_or_default();
        let connection = stored.connections.get(flow).copied().unwrap_or_default();
        let asked = sent.qname.as_ref().and_then(|qname| stored.questions.get(qname)).copied().unwrap_or(0);
        let is_right =
            found[0] <= sent.packets && found[1] <= sent.wire_bytes && connection[0] <= sent.packets && asked <= 1;
        (!is_right).then(|| format!("{flow:?} has {found:?}, connection {connection:?}, asked {asked}, sent {sent:?}"))
    };
    complain(name, "more than was sent", ledger.iter().filter_map(|(flow, sent)| differ(flow, sent)), journal);
}

fn strangers(name: &str, ledgers: &[&Ledger], stored: &Stored, journal: &mut Journal) {
    let unknown = stored.flows.keys().filter(|flow| !ledgers.iter().any(|ledger| ledger.contains_key(flow)));
    complain(name, "never sent", unknown.map(|flow| format!("{flow:?}")), journal);
}

/// What is missing of a collector that was killed was lost, and it says so, or it lies in a gap.
fn in_gaps(name: &str, ledger: &Ledger, stored: &Stored, lost: u64, gaps: &Gaps, journal: &mut Journal) -> String {
    let (mut inside, mut outside) = (0, 0);
    let mut examples = BTreeMap::new();
    for (flow, sent) in ledger {
        let missing = sent.packets.saturating_sub(stored.flows.get(flow).map_or(0, |[packets, _]| *packets));
        if gaps.iter().any(|(from, until)| sent.from_ns <= *until && sent.until_ns >= *from - ON_THE_WAY_NS) {
            inside += missing;
        } else if missing > 0 {
            outside += missing;
            examples.insert(sent.from_ns, format!("{flow:?} lacks {missing} of {sent:?}"));
        }
    }
    // Those that are counted as lost may lie in a gap, too: a batch that was given up leaves one.
    let missing = inside + outside;
    if outside > lost || missing < lost {
        journal.fault(format!(
            "{name}: {missing} frames are missing, {outside} of them in no gap, but {lost} are counted as lost; \
             {} gaps: {gaps:?}; first of those in none: {:?}",
            gaps.len(),
            examples.values().take(5).collect::<Vec<_>>()
        ));
    }
    let sent: u64 = ledger.values().map(|sent| sent.packets).sum();
    format!("{name}: {sent} frames sent, {inside} of those not stored lie in {} gaps\n", gaps.len())
}

fn gaps_of(world: &World, name: &str) -> Result<Gaps> {
    let answer = world.analyzer.ask(["top-talkers", "--since", "all", "--collector", name]);
    let gaps = answer["coverage"]["gaps"].as_array().context("no gaps")?;
    let at = |value: &serde_json::Value| -> Result<i64> {
        let time: jiff::Timestamp = value.as_str().context("no time")?.parse()?;
        Ok(i64::try_from(time.as_nanosecond())?)
    };
    gaps.iter().map(|gap| Ok((at(&gap["from_at"])?, at(&gap["until_at"])?))).collect()
}

fn complain(name: &str, what: &str, differences: impl Iterator<Item = String>, journal: &mut Journal) {
    let all: Vec<_> = differences.collect();
    if !all.is_empty() {
        let first = all.iter().take(5).map(String::as_str).collect::<Vec<_>>().join("\n    ");
        journal.fault(format!("{name}: {} flows are {what}:\n    {first}", all.len()));
    }
}

/// The sender's clock is read before a frame goes, the collector's after it came: so much earlier may a gap seem to begin.
const ON_THE_WAY_NS: i64 = 10_000_000;
