//! `make torture`: everything goes wrong at random moments, and nothing is lost or
//! there twice.
//!
//! In a network and a mount namespace of its own: an analyzer on a small disk, two
//! live collectors on a cable, replays one after the other, and a proxy on each of
//! two paths to the analyzer. A seed decides what is done to them and when; the same
//! seed does the same, as far as the machine lets it. At the end all is let recover,
//! and what is stored is compared with what was sent, flow by flow.
//!
//! One analyzer, not several: embedded stores are one analyzer's, and a collector that
//! goes from one store to another may leave a batch in both (ARCHITECTURE.md).

mod audit;
mod deeds;
mod episodes;
mod journal;
mod replays;
mod sender;
mod sql;
mod world;

use std::{
    fs,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sched::{CloneFlags, unshare};

use self::{
    audit::audit,
    deeds::{Deed, Undo},
    sender::Sender,
    world::World,
};
use crate::{
    random::Random,
    system::{Namespace, PATIENCE},
};

/// Enters namespaces of our own, with a cable. To be called before there is a thread.
///
/// # Errors
/// If this is not root's process, or a command fails.
pub fn enter_namespaces() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).context("no namespaces: root is needed")?;
    command("mount", &["--make-rprivate", "/"])?;
    for scope in ["all", "default"] {
        // The kernel is to send nothing on its own. Without IPv6 there is no such file.
        let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{scope}/disable_ipv6"), "1");
    }
    let (near, far) = (Namespace::GENERATOR, Namespace::MIRROR);
    command("ip", &["link", "set", "lo", "up"])?;
    command("ip", &["link", "add", near, "type", "veth", "peer", "name", far])?;
    command("ip", &["link", "set", near, "up"])?;
    command("ip", &["link", "set", far, "up"])
}

/// Tortures for so long. What was done; an error if anything is missing, doubled or otherwise wrong.
///
/// # Errors
/// If there is a fault, or it could not be tried.
pub fn torture(seed: u64, secs: u64) -> Result<String> {
    let random = Random::new(seed);
    let mut world = World::new(&random)?;
    let mut log = OnPanic(seed, None);
    let result = run(&mut world, &random, Duration::from_secs(secs), &mut log);
    log.0 = 0;
    match result {
        Ok(summary) if world.journal.faults().is_empty() => Ok(summary),
        result => {
            eprintln!("{}", world.journal);
            if let Err(error) = result {
                world.journal.fault(format!("{error:#}"));
            }
            for fault in world.journal.faults() {
                eprintln!("torture: {fault}");
            }
            bail!("{} faults; TORTURE_SEED={seed} does the same again", world.journal.faults().len())
        }
    }
}

fn run(world: &mut World, random: &Random, lasts: Duration, log: &mut OnPanic) -> Result<String> {
    log.1 = Some(Instant::now());
    world.launch_analyzer();
    wait(world, PATIENCE, "the analyzer is ready", false, |world| world.analyzer.is_ready())?;
    for which in 0..world.live.len() {
        world.start_live(which);
    }
    wait(world, PATIENCE, "both collectors capture", false, |world| {
        world.live.iter().all(|live| live.process.as_ref().is_some_and(|it| it.stderr().contains("capturing")))
    })?;
    // Their threads have to be there, too.
    thread::sleep(Duration::from_millis(500));
    let sender = Sender::start(Namespace::GENERATOR, random.fork("sender"))?;

    let mut deeds = random.fork("deeds");
    let mut undos: Vec<(Instant, Undo)> = Vec::new();
    let end = Instant::now() + lasts;
    let mut next_at = Instant::now() + Duration::from_secs(1);
    let mut count = 0_u32;
    while Instant::now() < end {
        let now = Instant::now();
        for (_, undo) in undos.extract_if(.., |(at, _)| *at <= now) {
            undo.act(world);
        }
        if now >= next_at {
            let deed = Deed::choose(&mut deeds);
            if let Some((pause, undo)) = deed.act(world, &mut deeds) {
                undos.push((now + pause, undo));
            }
            count += 1;
            next_at = now + Duration::from_millis(100 + deeds.below(1_500));
        }
        world.tend(true)?;
        thread::sleep(TICK);
    }
    world.journal.note("the end: everything is let recover");
    for (_, undo) in undos {
        undo.act(world);
    }
    let sent = sender.stop();
    recover(world)?;
    let told = audit(world, &sent)?;
    for (name, bytes) in world.peak_bytes.clone() {
        if bytes > MAX_BYTES {
            world.journal.fault(format!("{name} took {} MB of memory", bytes / 1_000_000));
        }
    }
    let peaks: Vec<_> =
        world.peak_bytes.iter().map(|(name, bytes)| format!("{name} {} MB", bytes / 1_000_000)).collect();
    Ok(format!("{count} deeds\n{told}memory at most: {}", peaks.join(", ")))
}

/// Until everything that was captured is stored and all collectors have ended.
fn recover(world: &mut World) -> Result<()> {
    wait(world, RECOVERY, "the analyzer is ready again", false, |world| world.analyzer.is_ready())?;
    wait(world, RECOVERY, "the last replay ends", false, |world| world.replays.current.is_none())?;
    let mut drain = world.replays.drain()?;
    wait(world, RECOVERY, "what replays left is sent", false, |_| !drain.is_running())?;
    drain.wait(Duration::ZERO).assert_code(0);
    wait(world, RECOVERY, "nothing waits in a spool", false, |world| world.waiting() == 0)?;
    for live in &mut world.live {
        live.is_wanted = false;
        let Some(mut process) = live.process.take() else { continue };
        process.terminate();
        let finished = process.wait(PATIENCE);
        world.journal.check_log(live.name, &finished.stderr);
        ensure!(finished.code() == Some(0), "{} ended with {:?}: {}", live.name, finished.code(), finished.stderr);
        ensure!(live.waiting() == 0, "{} left batches in its spool: {}", live.name, finished.stderr);
    }
    Ok(())
}

/// Looks after the programs until something is so.
fn wait(
    world: &mut World,
    limit: Duration,
    what: &str,
    replay_on: bool,
    mut is_so: impl FnMut(&mut World) -> bool,
) -> Result<()> {
    let began = Instant::now();
    while !is_so(world) {
        world.tend(replay_on)?;
        if began.elapsed() > limit {
            let log = world.analyzer.log();
            bail!("not within {} s: {what}; the analyzer's log: {}", limit.as_secs(), last_lines(&log));
        }
        thread::sleep(TICK);
    }
    world.journal.note(format!("{what}, after {} ms", began.elapsed().as_millis()));
    Ok(())
}

fn last_lines(log: &str) -> String {
    let lines: Vec<_> = log.lines().rev().take(10).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}

fn command(program: &str, arguments: &[&str]) -> Result<()> {
    let output = Command::new(program).args(arguments).output().with_context(|| format!("{program} not started"))?;
    ensure!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Says the seed when a helper of the tests panics.
struct OnPanic(u64, Option<Instant>);

impl Drop for OnPanic {
    fn drop(&mut self) {
        if let (true, Some(began)) = (thread::panicking(), self.1) {
            eprintln!(
                "torture: failed after {} s; TORTURE_SEED={} does the same again",
                began.elapsed().as_secs(),
                self.0
            );
        }
    }
}

const TICK: Duration = Duration::from_millis(20);

/// A machine busy with other things may need it.
const RECOVERY: Duration = Duration::from_secs(240);

/// What a collector, and an analyzer without its engine, may take (issue 4).
const MAX_BYTES: u64 = 256 << 20;
