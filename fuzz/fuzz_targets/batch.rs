//! Messages of collectors, as the analyzer reads and checks them.
#![no_main]

use iotq_fuzz::seeds;
use iotq_proto::{CheckedBatch, v1};
use libfuzzer_sys::fuzz_target;
use prost::Message as _;

fuzz_target!(init: seeds::batches(), |octets: &[u8]| {
    let Ok(message) = v1::Batch::decode(octets) else { return };
    let again = v1::Batch::decode(message.encode_to_vec().as_slice()).expect("what was encoded can be decoded");
    assert_eq!(message, again);
    if let Ok(batch) = CheckedBatch::try_from(message) {
        assert!(batch.packets() <= batch.batch().frames);
        CheckedBatch::try_from(batch.batch().clone()).expect("what was accepted once is accepted again");
    }
});
