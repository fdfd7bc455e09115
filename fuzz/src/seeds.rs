//! Seeds from real captures, written anew before each run: captures are named by
//! path (`IOTQ_CAPTURES`) and never part of the project.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use iotq_collector::{
    capture::file::{FileInput, FileReader},
    chunk::Aims,
    packet::Packet,
    window::Window,
};
use prost::Message as _;

use crate::{
    items,
    wire::{FROM_SERVER, SYN, V6},
};

/// Of each capture, the first payloads of the protocol between such ports.
pub fn payloads(protocol: u8, ports: &[u16]) {
    write_each(|path| {
        let mut seed = Vec::new();
        let mut reader = FileReader::open(&FileInput::from(path)).ok()?;
        while let Ok(Some(chunk)) = reader.read_chunk(1000) {
            for picked in &chunk.picked {
                let packet = chunk.packets.get(usize::try_from(picked.packet).ok()?)?;
                let Some(selector) = selector(packet, protocol, ports) else {
                    continue;
                };
                if seed.len() < MAX_SEED {
                    items::write(&mut seed, selector, chunk.payload(*picked));
                }
            }
        }
        Some(seed)
    });
}

/// Of each capture, the first frames, if it is of the older format.
pub fn frames() {
    write_each(|path| {
        let octets = fs::read(path).ok()?;
        let be = match octets.first_chunk()? {
            [0xa1, 0xb2, 0xc3 | 0x3c, 0xd4 | 0x4d] => true,
            [0xd4 | 0x4d, 0xc3 | 0x3c, 0xb2, 0xa1] => false,
            _ => return None,
        };
        let number = |at: usize| -> Option<u32> {
            let octets = *octets.get(at..)?.first_chunk()?;
            Some(if be { u32::from_be_bytes(octets) } else { u32::from_le_bytes(octets) })
        };
        let link_type = u8::try_from(number(20)?).ok()?;
        let mut seed = Vec::new();
        let mut at = 24;
        while let Some(captured) = number(at + 8).filter(|_| seed.len() < MAX_SEED) {
            let captured = usize::try_from(captured).ok()?;
            let Some(frame) = octets.get(at + 16..).and_then(|rest| rest.get(..captured)) else {
                break;
            };
            items::write(&mut seed, link_type, frame);
            at += 16 + captured;
        }
        Some(seed)
    });
}

/// Of each capture, its last batch, which is a small one.
pub fn batches() {
    write_each(|path| {
        let mut reader = FileReader::open(&FileInput::from(path)).ok()?;
        let mut window = Window::new(Aims::default());
        let mut batches = Vec::new();
        while let Ok(Some(chunk)) = reader.read_chunk(50) {
            window.add(&chunk, &mut batches);
            if batches.is_empty() {
                window.finish(&mut batches);
            }
        }
        batches.into_iter().next().map(|batch| {
            let batch = iotq_proto::v1::Batch { collector: "seed".to_owned(), epoch: 1, seq: 1, ..batch };
            batch.encode_to_vec()
        })
    });
}

/// Texts of the project's own, by name.
pub fn texts(texts: &[(&str, &str)]) {
    let Some(seeds) = env::var_os("IOTQ_FUZZ_SEEDS").map(PathBuf::from) else { return };
    fs::create_dir_all(&seeds).expect("the folder of seeds can be made");
    for (name, text) in texts {
        fs::write(seeds.join(name), text).expect("seeds can be written");
    }
}

/// The selector that makes such a packet again.
fn selector(packet: &Packet, protocol: u8, ports: &[u16]) -> Option<u8> {
    let key = &packet.key;
    let at = |port: u16| ports.iter().position(|known| *known == port).and_then(|at| u8::try_from(at).ok());
    let (server, is_a) = at(key.a_port).map(|at| (at, true)).or_else(|| at(key.b_port).map(|at| (at, false)))?;
    let syn = packet.tcp_flags != Packet::NO_TCP_FLAGS && packet.tcp_flags & 2 != 0;
    let from_server = if packet.from_a == is_a { FROM_SERVER } else { 0 };
    let version = if key.ip_version == 6 { V6 } else { 0 };
    (key.protocol == protocol).then_some(server | from_server | version | if syn { SYN } else { 0 })
}

/// Writes what is made of each capture into the folder that `IOTQ_FUZZ_SEEDS`
/// names; without one or the other there are none.
fn write_each(make: impl Fn(&Path) -> Option<Vec<u8>>) {
    let (Some(captures), Some(seeds)) = (env::var_os("IOTQ_CAPTURES"), env::var_os("IOTQ_FUZZ_SEEDS")) else {
        return;
    };
    let (captures, seeds) = (PathBuf::from(captures), PathBuf::from(seeds));
    let Ok(entries) = fs::read_dir(&captures) else {
        eprintln!("no captures in {}", captures.display());
        return;
    };
    fs::create_dir_all(&seeds).expect("the folder of seeds can be made");
    let mut count = 0;
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_file()) {
        if let (Some(name), Some(seed)) = (path.file_name(), make(&path).filter(|seed| !seed.is_empty())) {
            fs::write(seeds.join(name), seed).expect("seeds can be written");
            count += 1;
        }
    }
    eprintln!("{count} seeds from {}", captures.display());
}

/// libFuzzer likes small inputs; a good part of a capture's variety is in its first packets.
const MAX_SEED: usize = 16 << 10;
