//! What has to be said about an answer, on standard error: what is missing from
//! it, and where to look for more.

use std::io::Write;

use iotq_proto::{
    GapReason, LossStage,
    v1::{Coverage, Gap, Header, LossCount, Selection},
};
use jiff::tz::TimeZone;

use super::{
    Cell, label_counts, safe,
    units::{Zoned, count},
};
use crate::{args::Format, config::Config};

/// Writes all notes there are.
pub(super) fn write_all(
    notes: &mut impl Write,
    config: &Config,
    header: &Header,
    rows: u64,
    truncated: bool,
    nothing: Option<&str>,
) {
    let time_zone = &config.terminal.time_zone;
    for note in &header.notes {
        write(notes, &safe(note));
    }
    if rows == 0 && config.format == Format::Table && !config.follow {
        write(notes, &nothing_matched(header, &config.selection, time_zone, nothing));
    }
    // In JSON the answer itself says so.
    if truncated && config.format != Format::Json {
        write(notes, &format!("there are more rows than the {} shown; -n 0 shows all", count(rows)));
    }
    if let Some(line) = header.coverage.as_ref().and_then(|coverage| incomplete(coverage, time_zone)) {
        write(notes, &format!("incomplete: {line}"));
    }
}

/// Writes one note. Standard error may be closed: then nobody wants to know.
pub(super) fn write(notes: &mut impl Write, line: &str) {
    let _ = writeln!(notes, "note: {line}");
}

/// Writes what a query was for, and what it read.
pub(super) fn explain(notes: &mut impl Write, line: &str) {
    let _ = writeln!(notes, "explain: {}", safe(line));
}

/// Packets by the stage that lost them.
pub(crate) fn lost_by_stage(counts: &[LossCount]) -> Cell {
    label_counts(counts.iter().map(|count| {
        let label = LossStage::try_from(count.stage)
            .map_or_else(|_| format!("stage-{}", count.stage), |stage| stage.label().to_owned());
        (label, count.packets)
    }))
}

/// Why there are no rows, in the question's own words if it has some.
fn nothing_matched(header: &Header, selection: &Selection, time_zone: &TimeZone, own: Option<&str>) -> String {
    let at = |at_ns| Zoned { at_ns, time_zone };
    let range = match (header.since_ns, header.until_ns) {
        (Some(since), Some(until)) => format!("from {} to {}", at(since), at(until)),
        (Some(since), None) => format!("from {} on", at(since)),
        (None, Some(until)) => format!("before {}", at(until)),
        (None, None) => "at any time".to_owned(),
    };
    let Selection { devices, groups, nets, collectors, .. } = selection;
    let filters = [
        ("--device", devices.is_empty()),
        ("--group", groups.is_empty()),
        ("--net", nets.is_empty()),
        ("--collector", collectors.is_empty()),
    ];
    let filters: Vec<_> = filters.iter().filter(|(_, unused)| !unused).map(|(flag, _)| *flag).collect();
    let bounded = header.since_ns.is_some() || header.until_ns.is_some();
    let nobody_reported = header.coverage.as_ref().is_some_and(|coverage| coverage.collectors_reporting == 0);
    match (header.stored_from_ns, header.stored_until_ns) {
        (Some(from), Some(until)) if nobody_reported => {
            return format!(
                "nothing was recorded {range}; what is stored is from {} to {}: --since all shows it",
                at(from),
                at(until)
            );
        }
        (None, None) if nobody_reported && collectors.is_empty() => {
            return "nothing is stored yet; `iotq status` shows the collectors".to_owned();
        }
        _ => {}
    }
    if let Some(own) = own {
        return format!("{own} {range}");
    }
    match (bounded, filters.is_empty()) {
        (true, true) => format!("nothing matched {range}; --since 7d or --since all look further"),
        (true, false) => format!("nothing matched {range}; try --since all, or without {}", filters.join(" ")),
        (false, true) => format!("nothing matched {range}"),
        (false, false) => format!("nothing matched {range}; try without {}", filters.join(" ")),
    }
}

/// What is missing, in one line; `None`: nothing.
pub(crate) fn incomplete(coverage: &Coverage, time_zone: &TimeZone) -> Option<String> {
    let Coverage { collectors_expected: expected, collectors_reporting: reporting, frames, .. } = *coverage;
    let mut parts = Vec::new();
    if reporting == 0 {
        parts.push("no collector reported on this time".to_owned());
    } else if reporting < expected {
        parts.push(format!("only {reporting} of {expected} collectors reported on this time"));
    }
    if coverage.lost_packets > 0 {
        let stages = lost_by_stage(&coverage.lost_by_stage).in_table(time_zone);
        parts.push(format!("{} of {} frames were lost ({stages})", count(coverage.lost_packets), count(frames)));
    }
    if coverage.undecoded > 0 {
        parts.push(format!("{} of {} frames could not be decoded", count(coverage.undecoded), count(frames)));
    }
    match coverage.gaps.as_slice() {
        [] => {}
        gaps if gaps.len() <= GAPS_SHOWN => parts.extend(gaps.iter().map(|gap| unknown(gap, time_zone))),
        [first, rest @ ..] => parts.push(format!("{} (and {} more gaps)", unknown(first, time_zone), rest.len())),
    }
    if parts.is_empty() { None } else { Some(parts.join("; ")) }
}

fn unknown(gap: &Gap, time_zone: &TimeZone) -> String {
    format!("{} knows nothing {}", safe(&gap.collector), stretch(gap, time_zone))
}

/// From when to when, and why nothing is known of it.
pub(super) fn stretch(gap: &Gap, time_zone: &TimeZone) -> String {
    let at = |at_ns| Zoned { at_ns, time_zone };
    let why = gap_in_words(gap);
    let why = if why.is_empty() { why } else { format!(" ({why})") };
    format!("from {} to {}{why}", at(gap.from_at_ns), at(gap.until_at_ns))
}

/// Why a collector knows nothing of a stretch; empty: the analyzer does not say.
pub(crate) fn gap_in_words(gap: &Gap) -> String {
    match gap.reason() {
        GapReason::Unspecified => String::new(),
        GapReason::NotRunning => "it was not running".to_owned(),
        GapReason::BatchesMissing => format!("batches are missing: {}", count(gap.missing_batches)),
        GapReason::ClockJumped => "its clock jumped, or the host slept".to_owned(),
        GapReason::Silent => "nothing has come since".to_owned(),
    }
}

/// More would hide the rest of the line.
const GAPS_SHOWN: usize = 3;
