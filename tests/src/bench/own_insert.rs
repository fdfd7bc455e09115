//! ClickHouse's own insert of the rows a capture becomes: the limit of the whole path.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Result, ensure};

use super::{Cost, cpu_secs, peak_rss};
use crate::system::{Analyzer, ClickHouse, Setup, program};

/// Stores the capture once, and keeps its rows as Native files in a folder.
pub(super) fn save_rows(capture: &Path, folder: &Path) -> Result<()> {
    let server = ClickHouse::start();
    let analyzer = Analyzer::start(Setup { clickhouse: Some(server.url()), ..Setup::default() });
    let status = Command::new(program("iotq-collector"))
        .args(["replay", "--name", "bench", "--analyzer", &analyzer.url()])
        .arg(capture)
        .stderr(Stdio::null())
        .status()?;
    ensure!(status.success(), "the collector ended with {status}");
    std::fs::create_dir_all(folder)?;
    for table in TABLES {
        server.query_to(&format!("SELECT * FROM iotq.{table} FORMAT Native"), &file(folder, table))?;
    }
    Ok(())
}

/// Inserts them into the same tables, with the same views behind them, a statement a table.
pub(super) fn insert_rows(folder: &Path) -> Result<Cost> {
    let mut server = ClickHouse::start();
    server.leave_folder();
    // Makes the tables, and is gone.
    drop(Analyzer::start(Setup { clickhouse: Some(server.url()), ..Setup::default() }));
    let before = cpu_secs(server.id());
    let started = Instant::now();
    for table in TABLES {
        server.insert_file(&format!("INSERT INTO iotq.{table} FORMAT Native"), &file(folder, table))?;
    }
    Ok(Cost {
        wall_secs: started.elapsed().as_secs_f64(),
        cpu_secs: cpu_secs(server.id()) - before,
        peak_rss_mib: peak_rss(server.id()),
        ..Cost::default()
    })
}

fn file(folder: &Path, table: &str) -> PathBuf {
    folder.join(format!("{table}.native"))
}

const TABLES: [&str; 9] =
    ["slices", "sightings", "no_ip", "connections", "dns", "peer_names", "tls_hellos", "time_requests", "batches"];
