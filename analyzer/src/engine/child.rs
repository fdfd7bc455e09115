//! The child process that is the ClickHouse engine.
//!
//! The only file of iotq with `unsafe`: it loads `libchdb.so` and calls its one
//! function that is `clickhouse-local`'s command line.

use std::{
    ffi::{CString, c_char, c_int, c_void},
    fs::OpenOptions,
    io::{self, Read as _},
    os::unix::ffi::OsStrExt as _,
    path::Path,
    process::ExitCode,
    thread,
    time::Duration,
};

use iotq_proto::error::Chain;
use nix::{
    fcntl::{Flock, FlockArg},
    sys::signal::{Signal, kill},
    unistd::getpid,
};

use super::{parts, tokens};
use crate::args::EngineArgs;

/// Why the engine ended at once.
#[derive(Debug, thiserror::Error)]
enum ChildError {
    #[error("the folder {0} is still used by another engine")]
    Busy(String),
    #[error("lock in {path} not taken")]
    Lock {
        path: String,
        #[source]
        source: io::Error,
    },
    #[error("{path} is no ClickHouse engine for this machine")]
    Load {
        path: String,
        #[source]
        source: libloading::Error,
    },
    #[error("what earlier inserts left in {path} not read or not repaired")]
    Repair {
        path: String,
        #[source]
        source: io::Error,
    },
    #[error("a path holds a NUL")]
    Path(#[from] std::ffi::NulError),
}

/// Runs the engine until standard input closes; then this process is gone.
#[must_use]
pub fn main(args: &EngineArgs) -> ExitCode {
    watch_parent();
    match run(args) {
        // It runs for as long as its last query sleeps: half a lifetime.
        Ok(()) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{}", Chain(&error));
            ExitCode::FAILURE
        }
    }
}

/// Ends this process when the parent closed the pipe, however it came to that.
///
/// A parent-death signal would fire when the *thread* that spawned us ends.
fn watch_parent() {
    thread::spawn(|| {
        let mut byte = [0];
        while !matches!(io::stdin().read(&mut byte), Ok(0)) {}
        // Not `exit`: the engine's other threads would run on into destructors.
        // What was acknowledged is in the files; the rest is not promised.
        let _ = kill(getpid(), Signal::SIGKILL);
    });
}

fn run(args: &EngineArgs) -> Result<(), ChildError> {
    let _lock = lock(&args.path)?;
    let unreadable = |source| ChildError::Repair { path: args.path.display().to_string(), source };
    let aside = parts::set_aside(&args.path).map_err(unreadable)?;
    if aside > 0 {
        eprintln!("parts that were not written to their end: {aside} set aside");
    }
    let repaired = tokens::repair(&args.path).map_err(unreadable)?;
    if repaired != tokens::Repaired::default() {
        eprintln!("tokens of inserts: {} forgotten, {} damaged", repaired.orphans, repaired.damaged);
    }
    let arguments = [
        "clickhouse".to_owned(),
        format!("--config-file={}", args.config.display()),
        format!("--path={}", args.path.display()),
        "--multiquery".to_owned(),
        "--query".to_owned(),
        // `numbers` is the engine's life in seconds: 68 years.
        "SYSTEM START LISTEN HTTP; \
         SELECT sleepEachRow(1) FROM numbers(2147483647) SETTINGS max_block_size = 1 FORMAT Null"
            .to_owned(),
    ];
    let arguments: Vec<CString> = arguments.into_iter().map(CString::new).collect::<Result<_, _>>()?;
    call(&args.library, &arguments)
}

/// Waits for an engine of an analyzer that was killed a moment ago.
fn lock(path: &Path) -> Result<Flock<std::fs::File>, ChildError> {
    let failed = |source: io::Error| ChildError::Lock { path: path.display().to_string(), source };
    std::fs::create_dir_all(path).map_err(failed)?;
    let name = path.join("iotq-engine.lock");
    let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(name).map_err(failed)?;
    for _ in 0..100 {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err((same, _)) => file = same,
        }
        thread::sleep(Duration::from_millis(100));
    }
    Err(ChildError::Busy(path.display().to_string()))
}

#[expect(unsafe_code, reason = "a C library can be had no other way")]
fn call(library: &Path, arguments: &[CString]) -> Result<(), ChildError> {
    type QueryStableV2 = unsafe extern "C" fn(c_int, *mut *mut c_char) -> *mut c_void;

    let failed = |source| ChildError::Load {
        path: String::from_utf8_lossy(library.as_os_str().as_bytes()).into_owned(),
        source,
    };
    // SAFETY: running the library's initialisers is what this process is for; its
    // hash was verified when it was fetched (`deploy/engine.sh`).
    let engine = unsafe { libloading::Library::new(library) }.map_err(failed)?;
    // SAFETY: `chdb.h` of this version declares
    // `struct local_result_v2 * query_stable_v2(int argc, char ** argv)`.
    let query = unsafe { engine.get::<QueryStableV2>(b"query_stable_v2\0") }.map_err(failed)?;
    let mut pointers: Vec<*mut c_char> = arguments.iter().map(|argument| argument.as_ptr().cast_mut()).collect();
    let count = c_int::try_from(pointers.len()).unwrap_or(c_int::MAX);
    // SAFETY: `pointers` and the strings behind them live until the call returns;
    // the engine does not write to them. The result is leaked: we end now.
    let _ = unsafe { query(count, pointers.as_mut_ptr()) };
    Ok(())
}
