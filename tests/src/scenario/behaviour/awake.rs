//! A device that sleeps most of the time, and what it does when it is awake.

use super::{
    at_home::{announce_name, find_router, reboot_lease},
    outside::{check_time, note_check_ins, resolve},
};
use crate::{
    random::Random,
    scenario::{
        Cloud, Device, MILLI_NS, SECOND_NS,
        stage::Stage,
        talk::{SEGMENT_BYTES, Talk},
    },
    traffic::{tcp::Side, tls},
};

pub(super) fn wake_up(
    device: &Device,
    stage: &mut Stage,
    (from_ns, until_ns): (i64, i64),
    packets: u64,
    (peers, time_server): (&[Cloud], &Cloud),
    random: &mut Random,
) {
    let asleep = stage.packets_of(device);
    let mut at_ns = from_ns + 40 * MILLI_NS;
    reboot_lease(device, stage, at_ns, random);
    find_router(device, stage, at_ns + 60 * MILLI_NS);
    announce_name(device, stage, at_ns + 200 * MILLI_NS, "_amzn-wplay._tcp", true);
    let asked_ns = check_time(device, stage, at_ns + 400 * MILLI_NS, time_server, random);
    note_check_ins(device, stage, time_server, asked_ns.into_iter().collect());
    let mut talks = Vec::new();
    for peer in peers {
        at_ns += SECOND_NS;
        let resolved_ns = resolve(device, stage, at_ns, peer, random);
        talks.push(Talk::open(device, stage, resolved_ns, (peer, 443), random));
    }
    // What is left, but for the farewells, is said in bursts over all the minutes,
    // the last of them well before the end.
    let farewells = 3 * talks.len() as u64;
    let left = (packets + asleep).saturating_sub(stage.packets_of(device) + farewells);
    let bursts = left.div_ceil(BURST_PACKETS).max(1);
    let mut burst_ns = at_ns + 2 * SECOND_NS;
    let pause_ns = (until_ns - 12 * SECOND_NS - burst_ns) / i64::try_from(bursts).unwrap_or(1);
    for said in 0..left {
        let (burst, in_burst) = (said / BURST_PACKETS, said % BURST_PACKETS);
        // The last service gets most of it.
        let most = talks.len().saturating_sub(1);
        let which = if burst % 6 == 0 { usize::try_from(burst / 6).unwrap_or(0) % (most + 1) } else { most };
        let Some(talk) = talks.get_mut(which) else { break };
        if in_burst == 0 && said > 0 {
            burst_ns += pause_ns;
        }
        let at_ns = burst_ns + i64::try_from(in_burst).unwrap_or(0) * 21 * MILLI_NS;
        let _in_time = match in_burst {
            0 => talk.say(stage, at_ns, Side::Client, &tls::application_data(420, random)),
            2 | 5 | 8 | 10 => {
                talk.ack(stage, at_ns, Side::Client);
                true
            }
            _ => talk.say(stage, at_ns, Side::Server, &random.octets(SEGMENT_BYTES)),
        };
    }
    for (index, talk) in talks.iter_mut().enumerate() {
        let at_ns = until_ns - 8 * SECOND_NS + i64::try_from(index).unwrap_or(0) * SECOND_NS;
        talk.close(stage, at_ns, Side::Client);
    }
}

/// Packets of a burst of application data.
const BURST_PACKETS: u64 = 12;
