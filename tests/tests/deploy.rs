//! What `deploy/` brings along for others' programs fits ours: alert rules name metrics
//! that exist, and the dashboard's SQL has rows to show.

#![expect(clippy::unwrap_used, reason = "helpers of a test fail as the test does: by a panic")]

use std::{
    collections::BTreeSet,
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
};

use iotq_analyzer::metrics::Metrics;
use iotq_tests::{
    pcap_file::{ByteOrder, ETHERNET, PcapWriter, Precision},
    scenario::{MINUTE_NS, Span, household},
    system::{Analyzer, Setup, has_engine, replay},
};
use serde_json::Value;

fn deployed(path: &str) -> String {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The metrics of a text, as rules name them.
fn exposed(text: &str) -> BTreeSet<String> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    types.map(|(name, kind)| if kind == "counter" { format!("{name}_total") } else { name.to_owned() }).collect()
}

/// The metrics with this prefix that alerts are about.
fn alerted(prefix: &str) -> BTreeSet<String> {
    let rules = deployed("prometheus/iotq.rules.yml");
    let expressions = rules.lines().filter_map(|line| line.trim().strip_prefix("expr: "));
    let words = expressions.flat_map(|line| line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'));
    words.filter(|word| word.starts_with(prefix)).map(str::to_owned).collect()
}

#[test]
fn whatever_the_analyzer_counts_as_lost_has_an_alert() {
    // What is no bad sign, however much of it there is. Whoever adds a metric decides.
    let harmless = [
        "batches_stored_total",
        "batches_repeated_total",
        "batches_recovered_total",
        "packets_stored_total",
        "questions_total",
        "partitions_dropped_total",
        "reloads_total",
        "log_warnings_total",
    ];
    let names = |names: &[&str]| names.iter().map(|name| format!("iotq_analyzer_{name}")).collect::<BTreeSet<_>>();
    let harmless = names(&harmless);
    let exposed = exposed(&Metrics::new().text());
    let alerted = alerted("iotq_analyzer_");
    assert!(exposed.len() > 10, "{exposed:?}");

    let silent: Vec<_> = exposed.difference(&alerted).filter(|name| !harmless.contains(*name)).collect();
    assert!(silent.is_empty(), "no rule in deploy/prometheus/iotq.rules.yml for {silent:?}");
    let unknown: Vec<_> = alerted.difference(&exposed).collect();
    assert!(unknown.is_empty(), "rules for metrics that do not exist: {unknown:?}");
}

#[test]
fn rules_about_collectors_name_metrics_that_they_have() {
    let text = iotq_collector::metrics::Metrics::new(&iotq_proto::service::LogEvents::default()).text(None);
    let (exposed, alerted) = (exposed(&text), alerted("iotq_collector_"));
    assert!(alerted.len() > 20, "{alerted:?}");
    let unknown: Vec<_> = alerted.difference(&exposed).collect();
    assert!(unknown.is_empty(), "rules for metrics that do not exist: {unknown:?}");
}

/// The embedded ClickHouse of an analyzer, asked as Grafana asks a server.
struct ClickHouse {
    port: String,
    user: String,
    password: String,
    header: String,
    secret: String,
}

impl ClickHouse {
    fn of(analyzer: &Analyzer) -> Self {
        let folder = analyzer.data_dir().join("engine");
        let config = fs::read_to_string(folder.join("config.xml")).unwrap();
        let users = fs::read_to_string(folder.join("users.xml")).unwrap();
        let (header, secret) = between(&config, "<headers><", "</").split_once('>').unwrap();
        // The session's user comes first, ours second.
        let ours = users.split_once("</default>\n    <").unwrap().1;
        Self {
            port: between(&config, "<http_port>", "<").to_owned(),
            user: ours.split_once('>').unwrap().0.to_owned(),
            password: between(ours, "<password>", "<").to_owned(),
            header: header.to_owned(),
            secret: secret.to_owned(),
        }
    }

    fn rows(&self, sql: &str) -> Vec<Value> {
        let sql = format!("{sql}\nFORMAT JSONCompact");
        let mut stream = TcpStream::connect(format!("127.0.0.1:{}", self.port)).unwrap();
        write!(
            stream,
            "POST / HTTP/1.0\r\nX-ClickHouse-User: {}\r\nX-ClickHouse-Key: {}\r\n{}: {}\r\nContent-Length: {}\r\n\r\n{sql}",
            self.user,
            self.password,
            self.header,
            self.secret,
            sql.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(" 200 "), "{sql}\n{body}");
        let body: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"));
        body["data"].as_array().unwrap().clone()
    }
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let rest = text.split_once(before).unwrap_or_else(|| panic!("no {before} in {text}")).1;
    rest.split_once(after).unwrap().0
}

#[test]
fn every_panel_of_the_dashboard_shows_the_household() {
    if !has_engine() {
        return;
    }
    let since_ns = 1_790_000_000_000_000_000;
    let span = Span { since_ns, until_ns: since_ns + 60 * MINUTE_NS };
    let scenario = household(span, 1);
    let analyzer = Analyzer::start(Setup::default());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hour.pcap");
    let mut writer = PcapWriter::new(Vec::new(), ETHERNET, Precision::Micro, ByteOrder::Little).unwrap();
    for frame in &scenario.frames {
        writer.write(frame.at_ns, &frame.octets).unwrap();
    }
    fs::write(&path, writer.finish().unwrap()).unwrap();
    replay(&analyzer.url(), &[&path], &["--name", "house"]).assert_balanced();

    let clickhouse = ClickHouse::of(&analyzer);
    let dashboard: Value = serde_json::from_str(&deployed("grafana/iotq.json")).unwrap();
    let collectors = dashboard["templating"]["list"][1]["query"].as_str().unwrap();
    assert_eq!(clickhouse.rows(collectors), [serde_json::json!(["house"])]);

    // As Grafana and its plugin do it. The last packets of the hour lie a minute after its end.
    let at = |ns: i64| format!("toDateTime({})", ns / 1_000_000_000);
    let filled_in = |sql: &str| {
        let sql = sql.replace("$__fromTime", &at(span.since_ns)).replace("$__toTime", &at(span.until_ns + MINUTE_NS));
        sql.replace("$__interval_s", "15").replace("${collector:sqlstring}", "'house'")
    };
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(panels.len() >= 10);
    for panel in panels {
        let title = panel["title"].as_str().unwrap();
        for target in panel["targets"].as_array().unwrap() {
            let sql = filled_in(target["rawSql"].as_str().unwrap());
            assert!(!sql.contains('$'), "{title}: something was not filled in: {sql}");
            let rows = clickhouse.rows(&sql);
            assert!(!rows.is_empty(), "{title} shows nothing: {sql}");
            if title == "What was recorded" {
                assert_eq!(rows[0][0].to_string().trim_matches('"'), scenario.expected.frames.to_string());
            }
        }
    }
}
