//! Files in the spool's folder, as a start finds them.
#![no_main]

use iotq_collector::spool::{Header, read_file};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    let path = std::env::temp_dir().join(format!("iotq-fuzz-spool-{}", std::process::id()));
    // As they are, and behind a header that fits them: checksums would else stop nearly all.
    std::fs::write(&path, octets).expect("the folder for temporary files takes one");
    let found = read_file(&path);
    assert_eq!(found.is_ok(), Header::read(&path).is_ok() && found.is_ok());
    let header = Header { epoch: 1, seq: 2, sealed_at_ns: 3, frames: 4 };
    let whole = [header.encode(octets), octets.to_vec()].concat();
    std::fs::write(&path, &whole).expect("the folder for temporary files takes one");
    let (read, message) = read_file(&path).expect("what was written can be read");
    assert_eq!((read, message.as_slice()), (header, octets));
});
