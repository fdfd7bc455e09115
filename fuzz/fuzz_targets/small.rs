//! Small datagrams: SSDP, NetBIOS, NTP; and what begins HTTP and MQTT streams.
#![no_main]

use iotq_fuzz::{check, seeds, wire};
use libfuzzer_sys::fuzz_target;

use iotq_collector::names::{Progress, http, mqtt};

fuzz_target!(init: seeds::payloads(wire::UDP, PORTS), |octets: &[u8]| {
    check::names(octets, wire::Wire::new(wire::UDP, PORTS));
    if let Progress::Done(host) = http::host(octets) {
        assert!(host.len() <= 255 && host.bytes().all(|octet| octet.is_ascii_graphic()));
    }
    if let Progress::Done(hash) = mqtt::client_id_hash(octets) {
        assert!(matches!(hash.len(), 0 | 16));
    }
});

const PORTS: &[u16] = &[1900, 137, 123];
