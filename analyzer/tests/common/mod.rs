//! Where the engine is, for tests that need it.

use std::{
    env,
    path::{Path, PathBuf},
};

use iotq_analyzer::config::ENGINE_VERSION;

/// The program under test.
pub(crate) fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_iotq-analyzer"))
}

/// `None` where there is no engine: then the test says so and passes, unless it must run.
pub(crate) fn library() -> Option<PathBuf> {
    let cache = env::var_os("IOTQ_CACHE").map_or_else(|| env::home_dir().unwrap().join(".cache/iotq"), PathBuf::from);
    let library = cache.join("engine").join(ENGINE_VERSION).join("libchdb.so");
    if library.is_file() {
        return Some(library);
    }
    let must = env::var_os("CI").is_some() || env::var_os("IOTQ_REQUIRE_ENGINE").is_some();
    assert!(!must, "no engine at {}: run `make engine`", library.display());
    eprintln!("skipped: no engine at {}: run `make engine`", library.display());
    None
}
