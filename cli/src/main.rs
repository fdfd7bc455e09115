//! The `iotq` command: glue around the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    iotq_cli::run(std::env::args_os())
}
