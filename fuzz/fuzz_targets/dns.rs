//! DNS, multicast DNS and LLMNR over UDP.
#![no_main]

use iotq_fuzz::{check, seeds, wire};
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: seeds::payloads(wire::UDP, PORTS), |octets: &[u8]| {
    check::names(octets, wire::Wire::new(wire::UDP, PORTS));
});

const PORTS: &[u16] = &[53, 5353, 5355];
