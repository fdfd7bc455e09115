//! The three programs as processes: started, asked, killed.
//!
//! Each test has its own folders and ports. Nothing is waited for by sleeping for
//! a while: a value is awaited, with a deadline. What was started is ended when the
//! test ends, however it ends; if it fails, the programs' logs are printed.

mod analyzer;
mod clickhouse;
mod collector;
mod disk;
mod namespace;
mod process;
mod proxy;

use std::{
    env,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

pub use analyzer::{Analyzer, Setup};
pub use clickhouse::{ClickHouse, Cluster};
pub use collector::{Live, Replay, replay, replay_fed, replay_in_background};
pub use disk::SmallDisk;
pub use namespace::Namespace;
pub use process::{Finished, Process, run};
pub use proxy::{Faults, Proxy, Towards};

/// How long a program may take to start, answer or stop. Far more than it needs:
/// the machine may be busy with other tests.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Whether a test that needs the ClickHouse engine can run. Without the engine it
/// is skipped, with a message; where tests must not be skipped that is a failure.
///
/// # Panics
/// If there is no engine and `CI` or `IOTQ_REQUIRE_ENGINE` is set.
#[must_use]
pub fn has_engine() -> bool {
    if engine().is_some() {
        return true;
    }
    let must = ["CI", "IOTQ_REQUIRE_ENGINE"].iter().any(|name| env::var_os(name).is_some());
    assert!(!must, "the ClickHouse engine is missing: run `make engine`");
    eprintln!("skipped: the ClickHouse engine is missing (`make engine` fetches it)");
    false
}

/// Whether a test that needs a network namespace can run: it takes root.
///
/// # Panics
/// If it cannot and `CI` or `IOTQ_REQUIRE_LIVE` is set.
#[must_use]
pub fn can_capture() -> bool {
    let missing = if !nix::unistd::Uid::effective().is_root() {
        "root"
    } else if !has_command("ip") {
        "iproute2"
    } else if !has_command("tcpreplay") {
        "tcpreplay"
    } else {
        return true;
    };
    let must = ["CI", "IOTQ_REQUIRE_LIVE"].iter().any(|name| env::var_os(name).is_some());
    assert!(!must, "live capture cannot be tested without {missing}");
    eprintln!("skipped: live capture cannot be tested without {missing}");
    false
}

/// The program of this name that was built along with the test.
///
/// # Panics
/// If it is not there.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let test = env::current_exe().expect("the test's own path is known");
    // Tests lie in target/PROFILE/deps, programs in target/PROFILE.
    let found = test.ancestors().skip(1).take(2).map(|folder| folder.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{name} is not built: run `cargo build --workspace` first"))
}

/// The captures of other people, with tshark's answers; `None` if they are not there.
///
/// # Panics
/// If they are not there and `CI` or `IOTQ_CAPTURES` is set.
#[must_use]
pub fn captures() -> Option<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace");
    let named = env::var_os("IOTQ_CAPTURES").map(PathBuf::from);
    let must = named.is_some() || env::var_os("CI").is_some();
    let folder = named.unwrap_or_else(|| workspace.join("../shared/captures"));
    if folder.join("oracle").is_dir() {
        return Some(folder);
    }
    assert!(!must, "there are no captures in {}", folder.display());
    eprintln!("skipped: there are no captures in {}", folder.display());
    None
}

/// A port that nobody listens on, just now.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
    listener.local_addr().expect("a listener has an address").port()
}

/// Tries until there is a value.
///
/// # Panics
/// If there is none after [`PATIENCE`].
pub fn eventually<T>(what: &str, try_it: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, what, try_it)
}

/// Tries until there is a value.
///
/// # Panics
/// If there is none in time.
pub fn within<T>(limit: Duration, what: &str, mut try_it: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = try_it() {
            return value;
        }
        assert!(started.elapsed() < limit, "not within {limit:?}: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Where `make engine` puts the engine, as `serve` finds it.
fn engine() -> Option<PathBuf> {
    let versions = std::fs::read_dir(engines()?).ok()?;
    versions.flatten().map(|version| version.path().join("libchdb.so")).find(|path| path.is_file())
}

/// The folder with an engine's folder a version.
fn engines() -> Option<PathBuf> {
    let cache = env::var_os("IOTQ_CACHE")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cache/iotq")))?;
    std::path::absolute(cache.join("engine")).ok()
}

fn has_command(name: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join(name).is_file())
}
