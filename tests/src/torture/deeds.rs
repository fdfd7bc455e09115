//! What is done to the parts, and how it is undone.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::world::{MORTAL, World};
use crate::{
    random::Random,
    system::{Faults, Towards},
};

/// One thing that goes wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Deed {
    KillAnalyzer,
    StopAnalyzer,
    EndAnalyzer,
    KillEngine,
    StopEngine,
    KillLive,
    EndLive,
    StopLive(usize),
    KillReplay,
    StopReplay,
    Cut(usize),
    HalfClose(usize, Towards),
    Swallow(usize, Towards),
    Slow(usize),
    Delay(usize),
    FillStore,
    FillSpools,
}

/// What ends it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Undo {
    StartAnalyzer,
    StartLive,
    ContinueAnalyzer,
    ContinueEngine(u32),
    ContinueLive(usize),
    ContinueReplay,
    Mend(usize),
    FreeStore,
    FreeSpools,
}

impl Deed {
    pub(super) fn choose(random: &mut Random) -> Self {
        let which = usize::try_from(random.below(2)).unwrap_or(0);
        let towards = if random.below(2) == 0 { Towards::Server } else { Towards::Client };
        match random.below(28) {
            0..=2 => Self::KillAnalyzer,
            3 => Self::StopAnalyzer,
            4 => Self::EndAnalyzer,
            5..=7 => Self::KillEngine,
            8 | 9 => Self::StopEngine,
            10 | 11 => Self::KillLive,
            12 => Self::EndLive,
            13 => Self::StopLive(which),
            14 => Self::KillReplay,
            15 => Self::StopReplay,
            16 | 17 => Self::Cut(which),
            18 => Self::HalfClose(which, towards),
            // Acknowledgements twice as often as batches: these have to be sent again.
            19 | 20 => Self::Swallow(which, Towards::Client),
            21 => Self::Swallow(which, towards),
            22 => Self::Slow(which),
            23 => Self::Delay(which),
            24 | 25 => Self::FillStore,
            _ => Self::FillSpools,
        }
    }

    /// Does it, unless that cannot be now. How it is to be undone, and after how long.
    pub(super) fn act(self, world: &mut World, random: &mut Random) -> Option<(Duration, Undo)> {
        // Always the same numbers, whatever can be done: later decisions do not depend on it.
        let pause = Duration::from_millis(100 + random.below(3000));
        let amount = random.below(100);
        let undo = self.try_to_act(world, amount);
        let done = if undo.is_some() { "" } else { " (nothing to undo)" };
        world.journal.note(format!("{self:?} for {} ms{done}", pause.as_millis()));
        undo.map(|undo| (pause, undo))
    }

    fn try_to_act(self, world: &mut World, amount: u64) -> Option<Undo> {
        match self {
            Self::KillAnalyzer | Self::EndAnalyzer | Self::StopAnalyzer => {
                let signal = match self {
                    Self::KillAnalyzer => Signal::SIGKILL,
                    Self::EndAnalyzer => Signal::SIGTERM,
                    _ => Signal::SIGSTOP,
                };
                let process = world.analyzer.process()?;
                if !process.is_running() {
                    return None;
                }
                process.signal(signal);
                if signal == Signal::SIGSTOP {
                    return Some(Undo::ContinueAnalyzer);
                }
                world.is_wanted = false;
                Some(Undo::StartAnalyzer)
            }
            Self::KillEngine => {
                world.signal_engine(Signal::SIGKILL)?;
                None
            }
            Self::StopEngine => world.signal_engine(Signal::SIGSTOP).map(Undo::ContinueEngine),
            Self::KillLive | Self::EndLive => {
                let live = world.live.iter_mut().find(|live| live.name == MORTAL)?;
                let process = live.process.as_mut().filter(|_| live.is_wanted)?;
                process.signal(if self == Self::KillLive { Signal::SIGKILL } else { Signal::SIGTERM });
                live.is_wanted = false;
                Some(Undo::StartLive)
            }
            Self::StopLive(which) => {
                let process = world.live[which].process.as_mut()?;
                process.is_running().then(|| process.signal(Signal::SIGSTOP))?;
                Some(Undo::ContinueLive(which))
            }
            Self::KillReplay => {
                let replay = world.replays.current.as_mut()?;
                replay.process.is_running().then(|| replay.process.signal(Signal::SIGKILL))?;
                replay.is_killed = true;
                None
            }
            Self::StopReplay => {
                let replay = world.replays.current.as_mut()?;
                replay.process.is_running().then(|| replay.process.signal(Signal::SIGSTOP))?;
                Some(Undo::ContinueReplay)
            }
            Self::Cut(proxy) => {
                world.proxies[proxy].cut();
                None
            }
            Self::HalfClose(proxy, towards) => {
                world.proxies[proxy].half_close(towards);
                None
            }
            Self::Swallow(proxy, towards) => {
                world.proxies[proxy].set(Faults { swallow: Some(towards), ..Faults::default() });
                Some(Undo::Mend(proxy))
            }
            Self::Slow(proxy) => {
                let bytes_per_sec = Some(2_000 + 1_000 * amount);
                world.proxies[proxy].set(Faults { bytes_per_sec, ..Faults::default() });
                Some(Undo::Mend(proxy))
            }
            Self::Delay(proxy) => {
                let delay = Duration::from_millis(5 * amount);
                world.proxies[proxy].set(Faults { delay, ..Faults::default() });
                Some(Undo::Mend(proxy))
            }
            Self::FillStore => {
                world.store_disk.fill();
                world.full_at[0] = Some(Instant::now());
                Some(Undo::FreeStore)
            }
            Self::FillSpools => {
                world.spool_disk.fill();
                world.full_at[1] = Some(Instant::now());
                Some(Undo::FreeSpools)
            }
        }
    }
}

impl Undo {
    pub(super) fn act(self, world: &mut World) {
        world.journal.note(format!("{self:?}"));
        match self {
            Self::StartAnalyzer => {
                if let Some(process) = world.analyzer.process() {
                    let log = process.stderr();
                    world.journal.check_log("the analyzer", &log);
                }
                world.launch_analyzer();
            }
            Self::StartLive => {
                if let Some(which) = world.live.iter().position(|live| live.name == MORTAL && !live.is_wanted) {
                    if let Some(process) = &world.live[which].process {
                        world.journal.check_log(MORTAL, &process.stderr());
                    }
                    world.start_live(which);
                }
            }
            Self::ContinueAnalyzer => {
                if let Some(process) =
                    world.analyzer.process().and_then(|process| process.is_running().then_some(process))
                {
                    process.signal(Signal::SIGCONT);
                }
            }
            Self::ContinueEngine(id) => {
                // Another may have its number by now; a signal to go on does that one no harm.
                if let Ok(id) = i32::try_from(id) {
                    let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), Signal::SIGCONT);
                }
            }
            Self::ContinueLive(which) => {
                if let Some(process) =
                    world.live[which].process.as_mut().and_then(|process| process.is_running().then_some(process))
                {
                    process.signal(Signal::SIGCONT);
                }
            }
            Self::ContinueReplay => {
                if let Some(replay) =
                    world.replays.current.as_mut().and_then(|replay| replay.process.is_running().then_some(replay))
                {
                    replay.process.signal(Signal::SIGCONT);
                }
            }
            Self::Mend(proxy) => world.proxies[proxy].set(Faults::default()),
            Self::FreeStore => {
                world.store_disk.free();
                world.full_at[0] = Some(Instant::now());
            }
            Self::FreeSpools => {
                world.spool_disk.free();
                world.full_at[1] = Some(Instant::now());
            }
        }
    }
}
