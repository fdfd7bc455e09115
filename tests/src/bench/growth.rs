//! One analyzer and more and more collectors: batches a second, memory, and how long until a batch is seen.
//!
//! The collectors are simulated: a task each, real gRPC over loopback. Each sends a small batch a second,
//! as a quiet port does whose traffic somebody watches.

use std::{
    fmt::Write as _,
    net::Ipv6Addr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use iotq_proto::v1::{self, ingest_client::IngestClient, push_request, push_response};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use super::{cpu_secs, peak_rss};
use crate::system::{Analyzer, Setup};

/// How many, and for how long.
#[derive(Clone, Debug)]
pub struct Growth {
    /// Collectors of each step.
    pub collectors: Vec<u32>,
    /// How long each step lasts.
    pub lasts: Duration,
}

impl Growth {
    /// Measures each step on a store of its own, and returns a table in Markdown.
    ///
    /// # Errors
    /// If a batch is not acknowledged.
    pub fn run(&self) -> Result<String> {
        let mut report = String::new();
        writeln!(report, "### small batches of many collectors: one a second each, of {SLICES} slices\n")?;
        writeln!(
            report,
            "| collectors | batches/s | until it is stored and seen, ms: median | 99 % | worst | CPU s a second: analyzer | \
             ClickHouse | peak RSS, MiB: analyzer | ClickHouse |"
        )?;
        writeln!(report, "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        for collectors in &self.collectors {
            let mut analyzer = Analyzer::start(Setup::default());
            analyzer.leave_folder();
            let engine = analyzer.engine_id().context("the analyzer has no engine")?;
            let before = [analyzer.id(), engine].map(cpu_secs);
            let started = Instant::now();
            let mut took = runtime.block_on(send_all(&analyzer.url(), *collectors, self.lasts))?;
            let lasted = started.elapsed().as_secs_f64();
            took.sort_unstable();
            let sent = u32::try_from(took.len())?;
            let at =
                |share: usize| took.get((took.len() * share / 100).min(took.len() - 1)).map_or(0, Duration::as_millis);
            let [own, engines] = [analyzer.id(), engine].map(cpu_secs);
            writeln!(
                report,
                "| {collectors} | {:.0} | {} | {} | {} | {:.2} | {:.2} | {:.0} | {:.0} |",
                f64::from(sent) / lasted,
                at(50),
                at(99),
                at(100),
                (own - before[0]) / lasted,
                (engines - before[1]) / lasted,
                peak_rss(analyzer.id()),
                peak_rss(engine)
            )?;
            eprintln!("{collectors} collectors: {sent} batches in {lasted:.1} s, median {} ms", at(50));
        }
        report.push('\n');
        Ok(report)
    }
}

/// How long each batch took from being sent to its acknowledgement: then it is stored, and questions see it.
async fn send_all(url: &str, collectors: u32, lasts: Duration) -> Result<Vec<Duration>> {
    // As proxies and hosts do: a connection carries some streams.
    let mut channels = Vec::new();
    for _ in 0..collectors.div_ceil(STREAMS_A_CONNECTION) {
        channels.push(Channel::from_shared(url.to_owned())?.connect().await?);
    }
    let mut tasks = JoinSet::new();
    for number in 0..collectors {
        let channel = channels.get((number / STREAMS_A_CONNECTION) as usize).context("a channel each")?.clone();
        tasks.spawn(send(channel, number, collectors, lasts));
    }
    let mut all = Vec::new();
    while let Some(took) = tasks.join_next().await {
        all.extend(took??);
    }
    ensure!(!all.is_empty(), "nothing was sent");
    Ok(all)
}

async fn send(channel: Channel, number: u32, of: u32, lasts: Duration) -> Result<Vec<Duration>> {
    // Not all in the same moment.
    sleep(Duration::from_secs(1) * number / of).await;
    let collector = format!("house-{number}");
    let (requests, outgoing) = mpsc::channel(4);
    let hello = v1::Hello { collector: collector.clone(), epoch: 1, live: true, ..v1::Hello::default() };
    requests.send(request(push_request::Kind::Hello(hello))).await?;
    let mut answers = IngestClient::new(channel).push(ReceiverStream::new(outgoing)).await?.into_inner();
    ensure!(answers.message().await?.is_some(), "{collector} is not welcome");
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (started, mut took) = (Instant::now(), Vec::new());
    for seq in 1.. {
        ticks.tick().await;
        if started.elapsed() >= lasts {
            break;
        }
        let sent_at = Instant::now();
        requests.send(request(push_request::Kind::Batch(batch(&collector, number, seq)?))).await?;
        loop {
            match answers.message().await?.and_then(|answer| answer.kind) {
                Some(push_response::Kind::Ack(_)) => break,
                Some(push_response::Kind::Reject(reject)) => bail!("{collector}: {reject:?}"),
                Some(_) => {}
                None => bail!("{collector}: the stream has ended"),
            }
        }
        took.push(sent_at.elapsed());
    }
    Ok(took)
}

fn request(kind: push_request::Kind) -> v1::PushRequest {
    v1::PushRequest { kind: Some(kind) }
}

/// A second of a quiet house: devices that say something to their clouds.
fn batch(collector: &str, house: u32, seq: u64) -> Result<v1::Batch> {
    let now_ns = i64::try_from(jiff::Timestamp::now().as_nanosecond())?;
    let second = now_ns / 1_000_000_000;
    let count = SLICES as usize;
    let ips = |prefix: [u8; 3], last: fn(u32) -> u8| -> Vec<u8> {
        let address = |slice| {
            Ipv6Addr::from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, prefix[0], prefix[1], prefix[2], last(slice)])
        };
        (0..SLICES).flat_map(|slice| address(slice).octets()).collect()
    };
    let house_byte = u8::try_from(house % 256)?;
    let packets = count * PACKETS_A_SLICE;
    Ok(v1::Batch {
        collector: collector.to_owned(),
        epoch: 1,
        seq,
        sealed_at_ns: now_ns,
        covered_from_at_ns: Some(second * 1_000_000_000),
        covered_until_at_ns: Some((second + 1) * 1_000_000_000),
        frames: packets as u64,
        slices: Some(v1::FlowSlices {
            second: vec![second; count],
            vlan_id: vec![0xffff; count],
            a_mac: (0..SLICES).map(|slice| 0x0200_0000_0000 | u64::from(house) << 8 | u64::from(slice % 20)).collect(),
            b_mac: vec![0x5e00_5302; count],
            a_ip: ips([10, 7, house_byte], |slice| u8::try_from(slice % 20).unwrap_or(0) + 10),
            b_ip: ips([198, 51, 100], |slice| u8::try_from(slice % 250).unwrap_or(0) + 1),
            ip_version: vec![4; count],
            protocol: vec![6; count],
            has_ports: vec![1; count],
            a_port: (0..SLICES).map(|slice| 49_152 + slice).collect(),
            b_port: vec![443; count],
            packets: vec![u32::try_from(PACKETS_A_SLICE)?; count],
            offset_ns: (0..packets).map(|packet| u32::try_from(packet).unwrap_or(0) * 1000).collect(),
            wire_bytes: vec![120; packets],
            payload_bytes: vec![54; packets],
            tcp_flags: vec![0x18; packets],
            from_a: (0..packets).map(|packet| u8::try_from(packet % 2).unwrap_or(0)).collect(),
        }),
        ..v1::Batch::default()
    })
}

const SLICES: u32 = 50;
const PACKETS_A_SLICE: usize = 6;
/// An analyzer takes 256 connections of one host, and as many streams of each as HTTP/2 allows.
const STREAMS_A_CONNECTION: u32 = 50;
