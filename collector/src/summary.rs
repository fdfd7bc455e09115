//! What `replay` says at its end.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{self, Write},
    path::PathBuf,
};

use iotq_proto::LossStage;
use serde::Serialize;

use crate::{args::OutputFormat, totals::Totals};

/// What became of all frames that were read.
#[derive(Debug)]
pub struct Summary {
    /// In the order they were named.
    pub files: Vec<FileReport>,
    /// What became of their frames. In a dry run, what would have.
    pub totals: Totals,
    /// Batches that are stored; in a dry run, that were sealed.
    pub batches: u64,
    /// Nothing was sent.
    pub dry_run: bool,
}

/// One file.
#[derive(Clone, Debug, Default, Serialize)]
pub struct FileReport {
    /// As typed.
    #[serde(serialize_with = "lossy")]
    pub path: PathBuf,
    /// Frames that were read from it.
    pub frames: u64,
    /// Why it was not read to its end.
    pub error: Option<String>,
}

impl Summary {
    /// Frames that were read, and are in no batch that anybody answered for, are
    /// lost too: whatever happened, the summary balances.
    pub fn balance(&mut self) {
        let read: u64 = self.files.iter().map(|file| file.frames).sum();
        let missing = read.saturating_sub(self.totals.frames);
        if missing > 0 {
            self.totals.frames += missing;
            *self.totals.lost.entry(LossStage::Unacknowledged).or_default() += missing;
        }
    }

    /// Whether every frame of every file was stored or is none to store.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let lost_here = [LossStage::Rejected, LossStage::Unacknowledged];
        self.files.iter().all(|file| file.error.is_none())
            && !lost_here.iter().any(|stage| self.totals.lost.contains_key(stage))
    }

    /// Writes it; a reader that has gone is no failure.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, format: OutputFormat, mut to: impl Write) -> io::Result<()> {
        let text = match format {
            OutputFormat::Table => self.as_table(),
            OutputFormat::Json => self.as_json()?,
        };
        match to.write_all(text.as_bytes()).and_then(|()| to.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written,
        }
    }

    fn as_json(&self) -> io::Result<String> {
        let totals = &self.totals;
        let json = Json {
            files: &self.files,
            frames: totals.frames,
            stored_packets: totals.packets,
            no_ip: totals.no_ip_by_name(),
            undecoded: totals.undecoded.iter().map(|(reason, frames)| (reason.label(), *frames)).collect(),
            lost: totals.lost.iter().map(|(stage, packets)| (stage.label(), *packets)).collect(),
            batches: self.batches,
            clamped_times: totals.clamped_times,
            dry_run: self.dry_run,
        };
        let mut line = serde_json::to_string(&json)?;
        line.push('\n');
        Ok(line)
    }

    fn as_table(&self) -> String {
        let totals = &self.totals;
        let mut text = String::new();
        let stored = if self.dry_run { "would be stored" } else { "stored" };
        let labelled = |counts: Vec<(String, u64)>| {
            let texts: Vec<String> =
                counts.into_iter().map(|(name, count)| format!("{name} {}", grouped(count))).collect();
            texts.join(", ")
        };
        let no_ip = labelled(totals.no_ip_by_name().into_iter().collect());
        let undecoded = labelled(totals.undecoded.iter().map(|(key, n)| (key.label().to_owned(), *n)).collect());
        let lost = labelled(totals.lost.iter().map(|(key, n)| (key.label().to_owned(), *n)).collect());
        let rows = [
            ("frames", totals.frames, String::new()),
            (stored, totals.packets, String::new()),
            ("without IP", totals.no_ip_frames(), no_ip),
            ("undecoded", totals.undecoded_frames(), undecoded),
            ("lost", totals.lost_packets(), lost),
            ("batches", self.batches, String::new()),
        ];
        for (name, count, parts) in rows {
            let line = format!("{name:<16}{:>15}   {parts}", grouped(count));
            // Writing to a `String` cannot fail.
            let _ = writeln!(text, "{}", line.trim_end());
        }
        if totals.clamped_times > 0 {
            let _ = writeln!(
                text,
                "{} packets have times that cannot be stored; they are kept at the nearest that can",
                grouped(totals.clamped_times)
            );
        }
        if self.dry_run {
            let _ = writeln!(text, "dry run: nothing was sent");
        }
        text
    }
}

#[derive(Serialize)]
struct Json<'a> {
    files: &'a [FileReport],
    frames: u64,
    stored_packets: u64,
    no_ip: BTreeMap<String, u64>,
    undecoded: BTreeMap<&'static str, u64>,
    lost: BTreeMap<&'static str, u64>,
    batches: u64,
    clamped_times: u64,
    dry_run: bool,
}

/// File names need not be UTF-8; JSON has to.
fn lossy<S: serde::Serializer>(path: &std::path::Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

/// With commas between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use iotq_proto::UndecodedReason;

    use super::*;

    fn summary() -> Summary {
        Summary {
            files: vec![
                FileReport { path: "monday.pcap".into(), frames: 1200, error: None },
                FileReport { path: "-".into(), frames: 34, error: Some("cut short".into()) },
            ],
            totals: Totals {
                frames: 1230,
                packets: 1226,
                no_ip: BTreeMap::from([(0x0806, 3)]),
                undecoded: BTreeMap::from([(UndecodedReason::IpVersion, 1)]),
                ..Totals::default()
            },
            batches: 2,
            dry_run: false,
        }
    }

    fn written(summary: &Summary, format: OutputFormat) -> String {
        let mut written = Vec::new();
        summary.write(format, &mut written).unwrap();
        String::from_utf8(written).unwrap()
    }

    #[test]
    fn what_nobody_answered_for_is_lost() {
        let mut summary = summary();
        assert!(!summary.is_complete());
        summary.balance();
        assert_eq!(summary.totals.frames, 1234);
        assert_eq!(summary.totals.lost, BTreeMap::from([(LossStage::Unacknowledged, 4)]));
    }

    #[test]
    fn json_is_one_line_with_the_promised_names() {
        let mut summary = summary();
        summary.balance();
        assert_eq!(
            written(&summary, OutputFormat::Json),
            "{\"files\":[{\"path\":\"monday.pcap\",\"frames\":1200,\"error\":null},\
             {\"path\":\"-\",\"frames\":34,\"error\":\"cut short\"}],\"frames\":1234,\"stored_packets\":1226,\
             \"no_ip\":{\"0x0806\":3},\"undecoded\":{\"ip_version\":1},\"lost\":{\"unacknowledged\":4},\
             \"batches\":2,\"clamped_times\":0,\"dry_run\":false}\n"
        );
    }

    #[test]
    fn the_table_is_for_reading() {
        let table = "\
frames                    1,230
stored                    1,226
without IP                    3   0x0806 3
undecoded                     1   ip_version 1
lost                          0
batches                       2
";
        assert_eq!(written(&summary(), OutputFormat::Table), table);
    }

    #[test]
    fn a_reader_that_has_gone_is_no_failure() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        assert!(summary().write(OutputFormat::Table, Gone).is_ok());
    }
}
