//! TCP streams in order and out of it: TLS, HTTP, MQTT, DNS.
#![no_main]

use iotq_fuzz::{check, seeds, wire};
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: seeds::payloads(wire::TCP, PORTS), |octets: &[u8]| {
    check::names(octets, wire::Wire::new(wire::TCP, PORTS));
});

const PORTS: &[u16] = &[443, 53, 80, 1883, 8883];
