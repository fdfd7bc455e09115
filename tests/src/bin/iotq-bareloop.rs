//! The least that reading a capture with libpcap can cost: its loop, and a sum.
//! The measure that the collector is held against.

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    let Some(path) = env::args_os().nth(1) else {
        eprintln!("usage: iotq-bareloop FILE");
        return ExitCode::from(2);
    };
    let mut capture = match pcap::Capture::from_file(path) {
        Ok(capture) => capture,
        Err(error) => {
            eprintln!("iotq-bareloop: {error}");
            return ExitCode::FAILURE;
        }
    };
    let (mut packets, mut wire_bytes) = (0_u64, 0_u64);
    while let Ok(packet) = capture.next_packet() {
        packets += 1;
        wire_bytes += u64::from(packet.header.len);
    }
    println!("{packets} packets, {wire_bytes} octets");
    ExitCode::SUCCESS
}
