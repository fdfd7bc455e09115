//! Compares the answers about names, silence and beats with what a scenario says has
//! to come out, and nothing else.

use std::{collections::BTreeMap, net::IpAddr};

use serde_json::Value;

use crate::{
    answers::{address, addresses, count, nanos, text},
    scenario::{Attempts, Expected, NameSource, SECOND_NS, SelfNamed},
    system::Analyzer,
    traffic::dns,
};

/// Answers of an analyzer to questions with the same selection, and what is wrong with them.
#[derive(Debug)]
pub struct Findings<'a> {
    analyzer: &'a Analyzer,
    selection: Vec<String>,
    wrong: Vec<String>,
}

/// A device and whom it is about: name, address, port.
type Pair = (String, IpAddr, u16);

impl<'a> Findings<'a> {
    /// Of questions with these flags.
    #[must_use]
    pub fn new(analyzer: &'a Analyzer, selection: &[&str]) -> Self {
        Self { analyzer, selection: selection.iter().map(|&flag| flag.to_owned()).collect(), wrong: Vec::new() }
    }

    /// The rows of an answer.
    #[must_use]
    pub fn rows(&self, question: &[&str]) -> Vec<Value> {
        self.analyzer.rows(question.iter().copied().chain(self.selection.iter().map(String::as_str)))
    }

    /// Compares everything that is expected.
    pub fn check(&mut self, expected: &Expected) {
        self.check_unanswered(expected);
        self.check_keepalives(expected);
        self.check_time_servers(expected);
        self.check_questions(expected);
        self.check_hellos(expected);
        self.check_peer_names(expected);
        self.check_self_names(expected);
    }

    /// Notes something that should hold.
    pub fn that(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.wrong.push(what());
        }
    }

    /// Panics with everything that was wrong.
    ///
    /// # Panics
    /// If something was.
    #[track_caller]
    pub fn finish(self) {
        let mut kinds = BTreeMap::<&str, Vec<&str>>::new();
        for wrong in &self.wrong {
            let kind = wrong.split([':', '(', '{', '"']).next().unwrap_or_default();
            kinds.entry(kind).or_default().push(wrong);
        }
        // A few of each: one fault often has hundreds of faces.
        let shown: Vec<_> = kinds.values().flat_map(|wrong| wrong.iter().take(5).copied()).collect();
        assert!(shown.is_empty(), "{:?}: {} wrong, such as\n{}", self.selection, self.wrong.len(), shown.join("\n"));
    }

    /// Attempts that nobody answered, refusals apart, and no others.
    pub fn check_unanswered(&mut self, expected: &Expected) {
        let rows = self.rows(&["unanswered"]);
        let mut found: BTreeMap<Pair, &Value> = BTreeMap::new();
        for row in &rows {
            let pair = pair(row);
            if row["protocol"] == "udp" {
                self.that(count(&row["syns"]) == 0, || format!("a datagram has no SYN: {row}"));
                self.that(expected.lone_datagrams.contains(&pair), || format!("it was answered, or nobody's: {row}"));
                continue;
            }
            let is_refused = expected.refused.iter().any(|it| (&it.device, it.peer_ip, it.peer_port) == keys(&pair));
            if is_refused || count(&row["attempts"]) > 0 {
                let before = found.insert(pair, row);
                self.that(before.is_none(), || format!("unanswered has two rows for {row}"));
            } else {
                self.that(false, || format!("nothing was unanswered or refused there: {row}"));
            }
        }
        for refused in &expected.refused {
            let row = found.remove(&(refused.device.clone(), refused.peer_ip, refused.peer_port));
            let right = row.is_some_and(|row| row["attempts"] == 0 && row["refused"] == refused.attempts);
            self.that(right, || format!("refused: {refused:?}, found {row:?}"));
        }
        for attempts in &expected.unanswered {
            let pair = (attempts.device.clone(), attempts.peer_ip, attempts.peer_port);
            let Some(row) = found.remove(&pair) else {
                self.that(false, || format!("not found unanswered: {pair:?}"));
                continue;
            };
            self.that(is_of(row, attempts), || {
                let (count, every) = (attempts.started_ns.len(), attempts.median_interval_secs());
                format!("unanswered: {row}\n  expected {count} attempts, {} SYNs, each {every:?} s", attempts.syns)
            });
        }
        for (pair, row) in found {
            self.that(false, || format!("unanswered, but should not be: {pair:?} {row}"));
        }
    }

    /// Keepalives with their kind and, within a tenth, their period; and no others.
    pub fn check_keepalives(&mut self, expected: &Expected) {
        let rows = self.rows(&["keepalives"]);
        let mut found: BTreeMap<(Pair, String), Vec<&Value>> = BTreeMap::new();
        for row in &rows {
            found.entry((pair(row), text(&row["kind"]).to_owned())).or_default().push(row);
        }
        for keepalive in &expected.keepalives {
            let pair = (keepalive.device.clone(), keepalive.peer_ip, keepalive.peer_port);
            let key = (pair, keepalive.kind.text().to_owned());
            let Some(rows) = found.remove(&key) else {
                self.that(false, || format!("no keepalive {key:?}, each {} s", keepalive.period_ns / SECOND_NS));
                continue;
            };
            let period_secs = secs(keepalive.period_ns);
            for row in &rows {
                let right = is_near(&row["period_secs"], Some(period_secs), period_secs / 10.0)
                    && row["jitter_secs"].as_f64().is_some_and(|jitter| (0.0..period_secs / 5.0).contains(&jitter))
                    && row["bytes_per_beat"].as_f64().is_some_and(|bytes| bytes >= 60.0)
                    && row["protocol"] == "tcp";
                self.that(right, || format!("keepalive each {period_secs} s: {row}"));
            }
            let beats: u64 = rows.iter().map(|row| count(&row["beats"])).sum();
            let sent = keepalive.beats_ns.len() as u64;
            // A report between two beats may count as one, an end of the range cut one off.
            let right = (sent * 8 / 10..=sent * 12 / 10 + 1).contains(&beats);
            self.that(right, || format!("{beats} beats of {sent} sent: {rows:?}"));
        }
        for rows in found.values() {
            self.that(false, || format!("a keepalive, but should not be: {}", rows[0]));
        }
    }

    /// Who asked which server for the time, and how often; and nobody else.
    pub fn check_time_servers(&mut self, expected: &Expected) {
        let rows = self.rows(&["time-servers"]);
        let mut found: BTreeMap<(String, IpAddr), &Value> =
            rows.iter().map(|row| ((text(&row["name"]).to_owned(), address(&row["server_ip"])), row)).collect();
        self.that(found.len() == rows.len(), || "time-servers has two rows for a pair".to_owned());
        for asked in &expected.time_servers {
            let Some(row) = found.remove(&(asked.device.clone(), asked.server_ip)) else {
                self.that(false, || format!("no time server: {} {}", asked.device, asked.server_ip));
                continue;
            };
            let right = row["requests"] == asked.asked_ns.len()
                && row["server_name"] == asked.server_name
                && is_near(&row["median_interval_secs"], asked.median_interval_secs(), 0.01)
                // Its last request, or the reply to it.
                && asked.asked_ns.last().is_some_and(|last_ns| {
                    (micros(*last_ns)..=micros(last_ns + SECOND_NS)).contains(&micros(nanos(&row["last_at"])))
                });
            self.that(right, || {
                format!(
                    "time server: {row}\n  expected {} requests, each {:?} s",
                    asked.asked_ns.len(),
                    asked.median_interval_secs()
                )
            });
        }
        for row in found.values() {
            self.that(false, || format!("nobody asked that one for the time: {row}"));
        }
    }

    /// Every DNS question with its answer, and no others.
    pub fn check_questions(&mut self, expected: &Expected) {
        let mut rows: BTreeMap<(String, i64, String, String), Vec<String>> = BTreeMap::new();
        for row in self.rows(&["dns"]).into_iter().filter(|row| row["kind"] == "dns") {
            let name = row["device_name"].as_str().unwrap_or_default().to_owned();
            let key =
                (name, micros(nanos(&row["asked_at"])), text(&row["qname"]).to_owned(), text(&row["qtype"]).to_owned());
            let answers = match (&row["rcode"], &row["answers"]) {
                (Value::Null, _) => vec![NO_ANSWER.to_owned()],
                (_, Value::Array(answers)) => answers.iter().map(|answer| text(answer).to_owned()).collect(),
                _ => Vec::new(),
            };
            rows.insert(key, answers);
        }
        for asked in &expected.questions {
            let qtype = if asked.qtype == dns::A { "A" } else { "AAAA" };
            let key = (asked.device.clone(), micros(asked.at_ns), asked.qname.clone(), qtype.to_owned());
            let found = rows.remove(&key);
            let right = match (&found, &asked.answer) {
                (Some(found), Some(ips)) => {
                    ips.iter().all(|ip| found.contains(&ip.to_string())) && !found.contains(&NO_ANSWER.to_owned())
                }
                (Some(found), None) => *found == [NO_ANSWER],
                (None, _) => false,
            };
            self.that(right, || format!("DNS question {key:?}: {found:?}, expected {:?}", asked.answer));
        }
        for (key, answers) in rows {
            self.that(false, || format!("nobody asked DNS: {key:?} {answers:?}"));
        }
    }

    /// Every `ClientHello`, and no others.
    pub fn check_hellos(&mut self, expected: &Expected) {
        type Key = (String, i64, IpAddr, u64);
        let mut found: BTreeMap<Key, Value> = BTreeMap::new();
        for row in self.rows(&["tls"]) {
            let name = row["device_name"].as_str().unwrap_or_default().to_owned();
            let key = (name, micros(nanos(&row["seen_at"])), address(&row["server_ip"]), count(&row["server_port"]));
            found.insert(key, row);
        }
        for hello in &expected.hellos {
            let key = (hello.device.clone(), micros(hello.at_ns), hello.server_ip, u64::from(hello.server_port));
            let row = found.remove(&key);
            let right = row.as_ref().is_some_and(|row| {
                row["sni"] == hello.sni
                    && row["version"] == hello.version
                    && row["transport"] == "tcp"
                    && row["ja4"] == hello.ja4
                    && words(&row["alpn"]) == hello.alpn
            });
            self.that(right, || format!("hello {hello:?}: {row:?}"));
        }
        for row in found.values() {
            self.that(false, || format!("nobody said that hello: {row}"));
        }
    }

    /// What peers outside are called, and how that is known.
    pub fn check_peer_names(&mut self, expected: &Expected) {
        let names = self.names();
        let mut found: BTreeMap<(String, IpAddr), Value> = BTreeMap::new();
        for row in self.rows(&["destinations"]) {
            let Some(name) = names.get(text(&row["device"])) else { continue };
            for ip in addresses(&row["ips"]) {
                found.insert((name.clone(), ip), row.clone());
            }
        }
        for (pair, name) in &expected.peer_names {
            let row = found.get(pair);
            let source = match name.source {
                NameSource::Sni => "sni",
                NameSource::Dns => "dns",
                NameSource::DnsOfAnother => "dns_by_other",
            };
            let right = row.is_some_and(|row| row["destination"] == name.name && row["name_source"] == source);
            self.that(right, || format!("{pair:?} is {name:?}, found {row:?}"));
        }
        // What has no name stands there with its address, not with somebody else's name.
        for (pair, row) in &found {
            let is_peer = expected.devices.get(&pair.0).is_some_and(|device| device.outside_peers.contains(&pair.1));
            let is_named = expected.peer_names.contains_key(pair);
            self.that(!is_peer || is_named || row["destination"] == pair.1.to_string(), || {
                format!("{pair:?} has no name: {row}")
            });
        }
    }

    /// What devices that nobody named are called.
    pub fn check_self_names(&mut self, expected: &Expected) {
        for row in self.rows(&["devices"]) {
            let (Some(name), source) = (row["name"].as_str(), &row["name_source"]) else {
                self.that(false, || format!("a device has no name: {row}"));
                continue;
            };
            let known = expected.devices.contains_key(name);
            self.that(known, || format!("there is no such device: {row}"));
            let own = match expected.self_names.get(name) {
                Some((own, SelfNamed::Dhcp)) if own == name => "dhcp",
                Some((own, SelfNamed::Mdns)) if own == name => "mdns",
                _ => "user",
            };
            self.that(source == own, || format!("the name is known by {own}: {row}"));
        }
    }

    /// Names of devices by their ids.
    fn names(&self) -> BTreeMap<String, String> {
        let name = |row: &Value| Some((row["device"].as_str()?.to_owned(), row["name"].as_str()?.to_owned()));
        self.rows(&["devices"]).iter().filter_map(name).collect()
    }
}

/// Whether a row of `unanswered` says what was attempted.
fn is_of(row: &Value, attempts: &Attempts) -> bool {
    let (Some(first_ns), Some(last_ns)) = (attempts.started_ns.first(), attempts.started_ns.last()) else {
        return false;
    };
    let is_named = if attempts.asked_dns {
        row["peer_name"] == attempts.peer_name
    } else {
        row["peer_name"].is_null() || row["peer_name"] == attempts.peer_ip.to_string()
    };
    is_named
        && row["attempts"] == attempts.started_ns.len()
        && row["syns"] == attempts.syns
        && row["refused"] == 0
        && row["unreachable"] == 0
        && row["asked_dns"] == attempts.asked_dns
        && is_near(&row["median_interval_secs"], attempts.median_interval_secs(), 0.01)
        && micros(nanos(&row["first_at"])) == micros(*first_ns)
        // Its last attempt, or that one's last SYN.
        && (micros(*last_ns)..=micros(last_ns + 10 * SECOND_NS)).contains(&micros(nanos(&row["last_at"])))
}

fn pair(row: &Value) -> Pair {
    let port = u16::try_from(row["peer_port"].as_u64().unwrap_or_default()).unwrap_or_default();
    (row["name"].as_str().unwrap_or_default().to_owned(), address(&row["peer_ip"]), port)
}

fn keys(pair: &Pair) -> (&String, IpAddr, u16) {
    (&pair.0, pair.1, pair.2)
}

/// A list of texts, however the format writes it.
fn words(value: &Value) -> Vec<&str> {
    match value {
        Value::Array(words) => words.iter().filter_map(Value::as_str).collect(),
        Value::String(words) => words.split(',').filter(|word| !word.is_empty()).collect(),
        _ => Vec::new(),
    }
}

fn is_near(value: &Value, expected: Option<f64>, tolerance: f64) -> bool {
    match (value.as_f64(), expected) {
        (Some(found), Some(expected)) => (found - expected).abs() <= tolerance,
        (None, None) => value.is_null(),
        _ => false,
    }
}

/// As captures say it.
fn micros(at_ns: i64) -> i64 {
    at_ns.div_euclid(1000)
}

fn secs(duration_ns: i64) -> f64 {
    std::time::Duration::from_nanos(duration_ns.unsigned_abs()).as_secs_f64()
}

const NO_ANSWER: &str = "no answer was seen";
