//! How complete the data behind a report are.

use iotq_proto::v1::Gap;

use crate::{
    render::{Cell, Column, gap_in_words, incomplete, length, lost_by_stage},
    report::{
        findings::Findings,
        page::{Section, Table, Tables},
    },
};

pub(super) fn completeness(findings: &Findings, tables: &Tables<'_>) -> Section {
    type LossCol = Column<(String, u64)>;
    type GapCol = Column<Gap>;
    let coverage = findings.header.coverage.clone().unwrap_or_default();
    let section = Section::new("complete", "How complete this is");
    let frames = Cell::Count(coverage.frames).in_table(tables.time_zone);
    let mut section = match incomplete(&coverage, tables.time_zone) {
        None => section.says(format!("Nothing is missing: {frames} frames were seen, and none was lost.")),
        Some(missing) => section.says(format!("Not everything was seen: {missing}.")),
    };
    for note in &findings.header.notes {
        section.says.push(Cell::text(note).in_table(tables.time_zone));
    }
    let gap_columns = vec![
        GapCol::drawn("Collector", |it| Cell::text(&it.collector)),
        GapCol::drawn("From", |it| Cell::Time(it.from_at_ns)),
        GapCol::drawn("To", |it| Cell::Time(it.until_at_ns)),
        GapCol::drawn("For", |it| {
            #[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
            let secs = it.until_at_ns.saturating_sub(it.from_at_ns) as f64 / 1e9;
            Cell::text(&length(secs))
        })
        .on_the_right(),
        GapCol::drawn("Why", |it| Cell::text(&gap_in_words(it))),
    ];
    let loss_columns = vec![
        LossCol::drawn("Lost where", |it| Cell::text(&it.0)),
        LossCol::drawn("Packets", |it| Cell::Count(it.1)).on_the_right(),
    ];
    let losses: Vec<_> = match lost_by_stage(&coverage.lost_by_stage) {
        Cell::Object(entries) => entries
            .into_iter()
            .filter_map(|(stage, cell)| match cell {
                Cell::Count(packets) => Some((stage.replace('_', " "), packets)),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    };
    let found: [Table; 2] = [
        tables.table("Packets that were lost", loss_columns, &losses, false),
        tables.table("Times of which nothing is known", gap_columns, &coverage.gaps, false),
    ];
    section.tables.extend(found.into_iter().filter(|table| !table.rows.is_empty()));
    section
}
