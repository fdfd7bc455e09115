//! The report: golden, empty, and with text that strangers chose.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use clap::Parser as _;
use iotq_cli::{
    args::Args,
    client::AskError,
    config::Config,
    report::{Findings, Report, gather, render},
};
use iotq_proto::v1::{Header, Rows, Trailer, answer::Kind, question::Ask};
use proptest::prelude::*;
use roxmltree::{Document, ParsingOptions};

use crate::{
    ask::terminal,
    golden::golden,
    hostile,
    rows::{answers, complete, incomplete},
};

fn config(line: &[&str]) -> Result<Config> {
    let args = Args::try_parse_from(["iotq", "report"].iter().chain(line))?;
    let now = "2026-05-01T14:00:00Z".parse().context("now")?;
    Ok(Config::new(&args.common, &Report::wants(), now, terminal(None))?)
}

/// The page made of these answers.
fn page(header: &Header, rows: impl Fn(&str) -> Rows + Sync) -> Result<String> {
    let ask = |_: &Config, ask: Ask| {
        let rows = rows(name(&ask));
        let kinds = [
            Kind::Header(header.clone()),
            Kind::Rows(rows),
            Kind::Trailer(Trailer { truncated: true, ..Trailer::default() }),
        ];
        kinds.map(Ok::<_, AskError>)
    };
    let config = config(&[])?;
    Ok(render(&gather(&config, ask)?, &config)?)
}

fn name(ask: &Ask) -> &'static str {
    match ask {
        Ask::Devices(_) => "devices",
        Ask::TopTalkers(_) => "top-talkers",
        Ask::Timeline(_) => "timeline",
        Ask::Destinations(_) => "destinations",
        Ask::Keepalives(_) => "keepalives",
        Ask::Connections(_) => "connections",
        Ask::Unanswered(_) => "unanswered",
        Ask::TimeServers(_) => "time-servers",
        Ask::FirstSeen(_) => "first-seen",
        Ask::Diff(_) => "diff",
        Ask::Tls(_) => "tls",
        other => panic!("{other:?}"),
    }
}

/// As XML, which forgives less than a browser: an unescaped `<` or `&` fails.
fn parsed(page: &str) -> Result<Document<'_>> {
    let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
    Document::parse_with_options(page, options).with_context(|| page.to_owned())
}

#[test]
fn a_household_on_one_page() -> Result<()> {
    let answer =
        |name: &str| answers().into_iter().find(|(it, _)| *it == name).map(|(_, rows)| rows).unwrap_or_default();
    let page = page(&incomplete(), answer)?;
    golden("report.html", &page)?;
    let document = parsed(&page)?;
    // It can be kept, mailed and opened anywhere: nothing is loaded, nothing runs.
    for node in document.descendants().filter(roxmltree::Node::is_element) {
        assert!(!matches!(node.tag_name().name(), "script" | "link" | "img" | "iframe" | "object" | "form"));
        for attribute in node.attributes() {
            assert!(!matches!(attribute.name(), "src" | "style" | "onclick" | "onload"), "{attribute:?}");
            assert!(attribute.name() != "href" || attribute.value().starts_with('#'), "{attribute:?}");
        }
    }
    assert!(!page.contains("url(") && !page.contains("@import"));
    // For those who hear it read: headings, captions, scopes, titles.
    let has = |node: &roxmltree::Node<'_, '_>, child: &str| node.children().any(|it| it.has_tag_name(child));
    for node in document.descendants() {
        match node.tag_name().name() {
            "table" => assert!(has(&node, "caption")),
            "section" => assert!(has(&node, "h2")),
            "th" => assert!(node.attribute("scope").is_some()),
            "svg" => assert!(has(&node, "title") || node.attribute("aria-hidden") == Some("true")),
            _ => {}
        }
    }
    let ids: Vec<_> = document.descendants().filter_map(|node| node.attribute("id")).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{ids:?}");
    Ok(())
}

#[test]
fn an_empty_house_is_said_in_sentences() -> Result<()> {
    let page = page(&complete(), |_| Rows::default())?;
    golden("report-empty.html", &page)?;
    let document = parsed(&page)?;
    assert!(!document.descendants().any(|node| node.has_tag_name("table")));
    for section in document.descendants().filter(|node| node.has_tag_name("section")) {
        assert!(section.children().any(|node| node.has_tag_name("p")), "{:?}", section.attribute("aria-labelledby"));
    }
    Ok(())
}

#[test]
fn the_limit_says_how_many_rows_a_table_has() -> Result<()> {
    let device = answers().swap_remove(1).1.devices.swap_remove(0);
    let mut findings = Findings::default();
    findings.devices.rows = vec![device; 40];
    for (line, rows, more) in
        [(vec![], 25, "And 15 others."), (vec!["-n", "39"], 39, "And one other."), (vec!["-n", "0"], 40, "")]
    {
        let page = render(&findings, &config(&line)?)?;
        assert_eq!(page.matches("<th scope=\"row\">").count(), rows);
        assert!(page.contains(more) && (!more.is_empty() || !page.contains(" others.")), "{more}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_strangers_say_stays_text(
        texts in proptest::collection::vec(hostile::text(), 8),
        number: u64,
        octets in proptest::collection::vec(any::<u8>(), 14..18),
    ) {
        let header = Header { notes: texts.clone(), ..incomplete() };
        let page = page(&header, |name| hostile::rows(name, &texts, number, &octets)).expect("any answer can be shown");
        let document = parsed(&page).expect("well-formed");
        let known = "html head meta title style body header h1 p div nav ol li a main section h2 svg desc text g rect line \
                     table caption thead tr th tbody td footer";
        let known: BTreeSet<_> = known.split_whitespace().collect();
        for node in document.descendants().filter(roxmltree::Node::is_element) {
            prop_assert!(known.contains(node.tag_name().name()), "{}", node.tag_name().name());
        }
        prop_assert!(!page.chars().any(|char| char.is_control() && char != '\n'), "{page}");
        prop_assert!(!page.contains(['\u{202e}', '\u{2028}']), "{page}");
    }
}
