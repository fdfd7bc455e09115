//! Every question in every format, and all help.

use std::{env, fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use clap::Command;
use iotq_cli::help;
use iotq_proto::v1::{Header, Rows};

use crate::{
    ask::{Written, terminal, written},
    rows::{answers, complete, incomplete, timeline},
};

/// Compares with the file, or writes it.
pub(crate) fn golden(name: &str, text: &str) -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if env::var_os("IOTQ_BLESS").is_some() {
        return fs::write(&path, text).with_context(|| path.display().to_string());
    }
    let expected = fs::read_to_string(&path).with_context(|| format!("{}: IOTQ_BLESS=1 writes it", path.display()))?;
    ensure!(text == expected, "{} differs\n--- expected\n{expected}\n--- found\n{text}", path.display());
    Ok(())
}

/// The notes without the one that a table of 80 columns may have.
fn notes_of_narrow(notes: &str) -> &str {
    match notes.split_once('\n') {
        Some((first, rest)) if first.ends_with("fit: a wider terminal shows more, --format json all") => rest,
        _ => notes,
    }
}

fn both(Written { out, notes }: &Written) -> String {
    if notes.is_empty() { out.clone() } else { format!("{out}--- stderr\n{notes}") }
}

#[test]
fn every_question_in_every_format() -> Result<()> {
    for (question, rows) in answers() {
        for (format, ending) in [("table", "table.txt"), ("json", "json"), ("jsonl", "jsonl"), ("csv", "csv")] {
            let line = [question, "--format", format];
            let answer = written(&line, terminal(Some(80)), &complete(), std::slice::from_ref(&rows), false)?;
            golden(&format!("{question}.{ending}"), &answer.out)?;
            let notes = if format == "table" { notes_of_narrow(&answer.notes) } else { answer.notes.as_str() };
            assert_eq!(notes, "", "{question} {format}");
        }
        let wide = written(&[question], terminal(None), &complete(), &[rows], false)?;
        golden(&format!("{question}.wide.txt"), &wide.out)?;
    }
    Ok(())
}

#[test]
fn lines_of_a_narrow_table_fit() -> Result<()> {
    for (question, rows) in answers() {
        // Lines of packets are not cut: what stands at their end matters.
        if question == "packets" {
            continue;
        }
        for width in [33, 40, 64, 79, 80, 100, 132] {
            let answer = written(&[question], terminal(Some(width)), &complete(), std::slice::from_ref(&rows), false)?;
            for line in answer.out.lines() {
                assert!(line.chars().count() <= width, "{question} {width}:\n{}", answer.out);
            }
        }
    }
    Ok(())
}

#[test]
fn columns_that_do_not_fit_are_counted_once() -> Result<()> {
    let (_, rows) = answers().swap_remove(1);
    let narrow = written(&["devices"], terminal(Some(60)), &complete(), std::slice::from_ref(&rows), false)?;
    assert_eq!(narrow.out.lines().next(), Some("DEVICE      ADDRESSES      PACKETS  LOCAL"));
    // MAC, vendor, group, first and last seen, bytes, rate, and what it says of itself.
    let note = "note: 8 columns do not fit: a wider terminal shows more, --format json all\n";
    assert_eq!(narrow.notes, note);
    let wide = written(&["devices"], terminal(Some(300)), &complete(), &[rows], false)?;
    assert_eq!(wide.notes, "");
    Ok(())
}

#[test]
fn json_has_the_fields_of_the_contract() -> Result<()> {
    let fields = [
        (
            "top-talkers",
            "device, name, vendor, group, ips, packets, wire_bytes, packets_per_minute, awake_packets_per_minute, \
             peers, share, usual_packets_per_minute, also_seen_by",
        ),
        (
            "devices",
            "device, mac, ips, name, name_source, vendor, group, first_seen_at, last_seen_at, packets, wire_bytes, \
             packets_per_minute, local_only",
        ),
        (
            "destinations",
            "device, destination, name_source, ips, asn, as_name, country, packets, wire_bytes, first_seen_at, \
             last_seen_at, encrypted_share",
        ),
        ("conversations", "a_ip, b_ip, a_packets, b_packets, a_wire_bytes, b_wire_bytes"),
        (
            "connections",
            "orig_ip, orig_port, resp_ip, resp_port, protocol, state, started_at, ended_at, orig_packets, \
             resp_packets, orig_wire_bytes, resp_wire_bytes, device, peer_name, name_source, history, service, \
             tls_version, keepalive_period_secs, also_seen_by",
        ),
        ("timeline", "at, key, packets, wire_bytes"),
        (
            "unanswered",
            "device, name, peer_name, peer_ip, peer_port, protocol, attempts, syns, refused, unreachable, \
             median_interval_secs, first_at, last_at, asked_dns",
        ),
        (
            "keepalives",
            "device, name, peer_name, peer_ip, peer_port, kind, period_secs, jitter_secs, beats, bytes_per_beat, \
             first_at, last_at",
        ),
        (
            "dns",
            "asked_at, kind, device, client_ip, server_ip, qname, qtype, rcode, rcode_name, answers, answer_records",
        ),
        ("tls", "seen_at, device, client_ip, server_ip, server_port, transport, version, sni, alpn, ja4"),
        ("time-servers", "device, name, server_ip, server_name, requests, median_interval_secs, last_at"),
        ("first-seen", "device, name, destination, as_name, first_seen_at"),
        ("diff", "kind, change, device, name, what, before, after"),
        ("groups", "group, devices, device_names, members"),
        (
            "packets",
            "captured_at, collector, src_ip, src_port, dst_ip, dst_port, protocol, wire_bytes, payload_bytes, \
             tcp_flags, vlan_id, device, peer_name",
        ),
        ("status", "collectors, store, versions"),
    ];
    for ((question, rows), (named, fields)) in answers().into_iter().zip(fields) {
        assert_eq!(question, named);
        let answer = written(&[question, "--format", "json"], terminal(None), &incomplete(), &[rows], true)?;
        let json: serde_json::Value = serde_json::from_str(&answer.out)?;
        assert_eq!(json["truncated"], true);
        for field in
            "collectors_expected collectors_reporting frames lost_packets lost_by_stage undecoded gaps".split(' ')
        {
            assert!(json["coverage"].get(field).is_some(), "{field}");
        }
        for row in json["rows"].as_array().context("rows")? {
            for field in fields.split(", ") {
                assert!(row.get(field).is_some(), "{question}: {field}");
            }
        }
    }
    Ok(())
}

#[test]
fn what_is_missing_is_said() -> Result<()> {
    for format in ["table", "json", "jsonl", "csv"] {
        let line = ["timeline", "--by", "device", "-n", "1", "--format", format];
        let rows = Rows { timeline: [timeline("Kindle"), timeline("Roomba")].concat(), ..Rows::default() };
        let answer = written(&line, terminal(Some(80)), &incomplete(), &[rows], true)?;
        golden(&format!("incomplete.{format}.txt"), &both(&answer))?;
    }
    Ok(())
}

#[test]
fn an_empty_answer_says_where_to_look() -> Result<()> {
    let mut text = String::new();
    let unbounded = Header { since_ns: None, until_ns: None, ..complete() };
    let silent = Header { coverage: Some(Default::default()), ..complete() };
    for (line, header) in [
        (vec!["devices"], complete()),
        (vec!["devices", "--device", "Kindle", "--net", "192.0.2.0/24"], complete()),
        (vec!["devices"], unbounded.clone()),
        (vec!["timeline", "--group", "iot"], unbounded.clone()),
        (vec!["packets"], silent.clone()),
        (vec!["packets"], Header { stored_from_ns: Some(0), stored_until_ns: Some(1_000_000_000), ..silent }),
        (vec!["devices", "--format", "json"], unbounded),
        (vec!["devices", "--format", "jsonl"], complete()),
        (vec!["devices", "--format", "csv"], complete()),
    ] {
        let answer = written(&line, terminal(Some(80)), &header, &[], false)?;
        text.push_str(&format!("$ iotq {}\n{}", line.join(" "), both(&answer)));
    }
    golden("empty.txt", &text)
}

#[test]
fn several_keys_are_small_plots() -> Result<()> {
    let mut rows = Rows::default();
    for (key, factor) in [("Kindle", 1), ("Roomba", 0), ("A lamp with a very long name, upstairs", 1000), ("", 5)] {
        rows.timeline.extend(
            timeline(key)
                .into_iter()
                .map(|point| iotq_proto::v1::TimelinePoint { packets: point.packets * factor + 1, ..point }),
        );
    }
    let answer = written(&["timeline", "--by", "device"], terminal(Some(80)), &complete(), &[rows.clone()], false)?;
    golden("timeline-by-device.table.txt", &answer.out)?;
    let bytes = written(&["timeline", "--by", "device", "--bytes"], terminal(Some(60)), &complete(), &[rows], false)?;
    golden("timeline-by-device-bytes.table.txt", &bytes.out)
}

#[test]
fn colours_come_only_when_wanted() -> Result<()> {
    let mut text = String::new();
    for (question, rows) in answers() {
        let mut colourful = terminal(Some(80));
        colourful.color = true;
        let answer = written(&[question], colourful, &complete(), &[rows], false)?;
        text.push_str(&answer.out.replace('\x1b', "ESC"));
    }
    golden("colours.txt", &text)
}

#[test]
fn long_tables_are_not_kept_in_memory() -> Result<()> {
    // The widths follow from the first thousand rows: later ones are cut to them.
    let (_, rows) = answers().swap_remove(0);
    let many = vec![Rows { top_talkers: [rows.top_talkers[0].clone()].into(), ..Rows::default() }; 1000];
    let answer = written(&["top-talkers"], terminal(None), &complete(), &[many, vec![rows]].concat(), false)?;
    assert_eq!(answer.out.lines().count(), 1004);
    assert!(answer.out.contains("Kindle"));
    assert!(answer.out.contains('…'));
    Ok(())
}

#[test]
fn help_fits_and_ends_in_an_example() -> Result<()> {
    let mut command = help::command();
    golden("help/iotq.txt", &command.render_long_help().to_string())?;
    all_help(&command, "")
}

fn all_help(command: &Command, prefix: &str) -> Result<()> {
    for subcommand in command.get_subcommands().filter(|it| it.get_name() != "help") {
        let name = format!("{prefix}{}", subcommand.get_name());
        let mut subcommand = subcommand.clone().term_width(80);
        let (short, long) = (subcommand.render_help().to_string(), subcommand.render_long_help().to_string());
        golden(&format!("help/{name}.txt"), &long)?;
        for text in [short, long] {
            assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
            let (_, example) = text.rsplit_once("\n\n").context("paragraphs")?;
            assert!(example.starts_with("Example") && example.contains("iotq "), "{name}");
        }
        all_help(&subcommand, &format!("{name}-"))?;
    }
    Ok(())
}

#[test]
fn what_selects_nothing_is_said() -> Result<()> {
    let (_, rows) = answers().into_iter().find(|(question, _)| *question == "status").context("status")?;
    for (line, note) in [
        (vec!["status"], ""),
        (
            vec!["status", "--since", "1h", "--device", "Kindle"],
            "note: this is about everything that is stored, whatever is selected (--since, --device)\n",
        ),
    ] {
        let answer = written(&line, terminal(Some(80)), &complete(), std::slice::from_ref(&rows), false)?;
        assert_eq!(answer.notes, note);
    }
    Ok(())
}
