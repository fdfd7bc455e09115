//! DHCP over IPv4 and IPv6: what is read as which depends on the address only, so all is read as both.
#![no_main]

use iotq_fuzz::{check, seeds, wire};
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: seeds::payloads(wire::UDP, PORTS), |octets: &[u8]| {
    check::names(octets, wire::Wire::new(wire::UDP, PORTS));
});

const PORTS: &[u16] = &[67, 547, 68, 546];
