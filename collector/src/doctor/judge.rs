//! What follows from what was counted. Touches nothing: the same evidence, the same judgement.

use std::time::Duration;

use serde::Serialize;

use super::{host::Host, tally::Tallied};

/// All that is known.
#[derive(Clone, Debug, Serialize)]
pub struct Evidence {
    /// Where was listened.
    pub interface: String,
    /// For how long.
    #[serde(skip)]
    pub listened: Duration,
    /// What the system says.
    pub host: Host,
    /// What did not arrive here.
    pub drops: Drops,
    /// What did.
    pub tallied: Tallied,
    /// How late it is.
    #[serde(skip)]
    pub clock: Clock,
}

/// Frames that were lost while listening.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Drops {
    /// No room in the kernel's ring.
    pub kernel: u64,
    /// No room in the interface.
    pub interface: u64,
    /// Damaged, or too long. `None`: not known.
    pub damaged: Option<u64>,
}

/// How late it is, here and there.
#[derive(Clone, Debug)]
pub struct Clock {
    /// Seconds since 1970, here.
    pub host_secs: i64,
    /// The analyzer that answered, and what has to be added to this clock to get its. Else why
    /// there is none.
    pub offset: Result<(String, i64), String>,
}

/// How it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Answers will be worse than they could be.
    Warn,
    /// Answers will be wrong, or there are none.
    Fail,
    /// It could not be told.
    Unknown,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Check {
    /// Which; always the same word.
    pub check: &'static str,
    /// How it is.
    pub verdict: Verdict,
    /// What was seen, with figures.
    pub seen: String,
    /// What to do. Empty: nothing.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub advice: String,
}

/// Judges, the first things first.
#[must_use]
pub fn judge(evidence: &Evidence) -> Vec<Check> {
    vec![
        link(evidence),
        promiscuous(evidence),
        traffic(evidence),
        foreign(evidence),
        directions(evidence),
        vlans(evidence),
        doubles(evidence),
        drops(evidence),
        offloads(evidence),
        clock(evidence),
    ]
}

fn check(check: &'static str, verdict: Verdict, seen: impl Into<String>, advice: impl Into<String>) -> Check {
    Check { check, verdict, seen: seen.into(), advice: advice.into() }
}

fn link(evidence: &Evidence) -> Check {
    let (interface, host) = (&evidence.interface, &evidence.host);
    if host.is_loopback {
        return check(
            "link",
            Verdict::Fail,
            format!("{interface} is this host's loopback: nothing of the network passes there"),
            "listen where the mirror's cable is: `iotq-collector interfaces` lists what there is",
        );
    }
    let mtu = host.mtu.map_or(String::new(), |mtu| format!(", MTU {mtu}"));
    match (host.has_link, host.speed_mbits, host.duplex.as_deref()) {
        (Some(false), ..) => check(
            "link",
            Verdict::Fail,
            format!("{interface} has no link"),
            "plug the cable in, and see that the switch's port is not shut down",
        ),
        (Some(true), speed, Some("half")) => check(
            "link",
            Verdict::Warn,
            format!(
                "{interface} has a link of {}half duplex{mtu}",
                speed.map_or(String::new(), |it| format!("{it} Mbit/s, "))
            ),
            "set both ends to negotiate: at half duplex a mirror loses what collides",
        ),
        (Some(true), Some(speed), _) => {
            check("link", Verdict::Ok, format!("{interface} has a link of {speed} Mbit/s{mtu}"), "")
        }
        (Some(true), None, _) => check("link", Verdict::Ok, format!("{interface} has a link{mtu}"), ""),
        (None, ..) => {
            check("link", Verdict::Unknown, format!("the system says nothing about a link of {interface}"), "")
        }
    }
}

fn promiscuous(evidence: &Evidence) -> Check {
    let interface = &evidence.interface;
    match evidence.host.is_promiscuous {
        Some(true) => check("promiscuous", Verdict::Ok, format!("{interface} lets frames for others through"), ""),
        Some(false) => check(
            "promiscuous",
            Verdict::Fail,
            format!("{interface} keeps frames for others out, though it was asked not to"),
            format!("`ip link set {interface} promisc on`; in a virtual machine its host has to allow it too"),
        ),
        None => check("promiscuous", Verdict::Unknown, format!("the system does not say for {interface}"), ""),
    }
}

fn traffic(evidence: &Evidence) -> Check {
    let (seen, secs) = (&evidence.tallied, evidence.listened.as_secs_f64());
    if seen.frames == 0 {
        return check(
            "traffic",
            Verdict::Fail,
            format!("nothing arrived in {secs:.0} s"),
            "see that the switch mirrors to this port, that the cable is in it, and that devices are on; then listen longer (-d 60)",
        );
    }
    let figures = if seen.has_macs {
        format!(
            "{} frames in {secs:.0} s: {} between others, {} broadcast or multicast, {} this host's own",
            seen.frames, seen.foreign, seen.group, seen.own
        )
    } else {
        format!("{} frames in {secs:.0} s", seen.frames)
    };
    check("traffic", Verdict::Ok, figures, "")
}

fn foreign(evidence: &Evidence) -> Check {
    let seen = &evidence.tallied;
    let from = format!("{} unicast frames between others, from {} senders", seen.foreign, seen.foreign_senders);
    match seen.foreign {
        _ if seen.frames == 0 => check(FOREIGN, Verdict::Unknown, "nothing arrived", ""),
        _ if !seen.has_macs => check(
            FOREIGN,
            Verdict::Unknown,
            "frames of this link do not name both ends",
            "listen on the Ethernet interface itself, not on `any` or a tunnel",
        ),
        0 => check(
            FOREIGN,
            Verdict::Fail,
            format!("none of {} frames is a unicast between others", seen.frames),
            "this is an ordinary port: have the switch mirror (\"SPAN\") the port to the router to it",
        ),
        1..FEW_FRAMES => check(
            FOREIGN,
            Verdict::Warn,
            format!("only {from}"),
            "a switch floods some to all ports: see that this one is the mirror's, and listen longer (-d 60)",
        ),
        _ => check(FOREIGN, Verdict::Ok, from, ""),
    }
}

fn directions(evidence: &Evidence) -> Check {
    let seen = &evidence.tallied.conversations;
    let all = seen.both + seen.one_way;
    let figures = format!(
        "{} of {all} conversations in both directions, {} in one although the other end answered",
        seen.both, seen.one_way_answered
    );
    let one_sided = "have the switch mirror both directions (received and sent, \"rx and tx\") of the port";
    if all == 0 {
        check(DIRECTIONS, Verdict::Unknown, "no conversation between others was seen", "")
    } else if seen.both == 0 && seen.one_way_answered > 0 {
        check(DIRECTIONS, Verdict::Fail, figures, one_sided)
    } else if seen.both == 0 {
        let verdict = if seen.one_way >= MANY_ONE_WAY { Verdict::Warn } else { Verdict::Unknown };
        let advice = "listen longer (-d 60), while somebody uses a device; if it stays so, see that the switch mirrors both directions";
        check(DIRECTIONS, verdict, format!("{figures}: too little to tell"), advice)
    } else if seen.one_way_answered * FEW_IN >= all {
        let advice = format!("{one_sided}, and of all ports: what some devices hear is missing");
        check(DIRECTIONS, Verdict::Warn, figures, advice)
    } else {
        check(DIRECTIONS, Verdict::Ok, figures, "")
    }
}

fn vlans(evidence: &Evidence) -> Check {
    let seen = &evidence.tallied;
    let tagged: u64 = seen.tagged.values().sum();
    let names: Vec<String> = seen.tagged.keys().take(SHOWN_VLANS).map(ToString::to_string).collect();
    let more = if seen.tagged.len() > SHOWN_VLANS {
        format!(" and {} more", seen.tagged.len() - SHOWN_VLANS)
    } else {
        String::new()
    };
    if seen.conversations.half_tagged > 0 {
        return check(
            "vlans",
            Verdict::Warn,
            format!("{} conversations have tags in one direction only", seen.conversations.half_tagged),
            "iotq leaves the VLAN out of such devices' identity; better have the switch keep tags in both directions (Cisco: `encapsulation replicate`)",
        );
    }
    match (tagged, seen.untagged) {
        (0, 0) => check("vlans", Verdict::Unknown, "no IP packet was seen", ""),
        (0, untagged) => check("vlans", Verdict::Ok, format!("no tags on {untagged} IP packets"), ""),
        (tagged, untagged) => {
            let figures = format!("VLAN {}{more}: {tagged} IP packets with tags, {untagged} without", names.join(", "));
            check("vlans", Verdict::Ok, figures, "")
        }
    }
}

fn doubles(evidence: &Evidence) -> Check {
    let seen = &evidence.tallied;
    let figures =
        format!("{} of {} frames came twice, {} more with other link headers", seen.doubled, seen.frames, seen.copied);
    let doubled = seen.doubled + seen.copied;
    let advice = if seen.doubled >= seen.copied {
        "mirror each frame once: either both directions of the router's port, or one direction of all ports"
    } else {
        "mirror one side of the router only, or one of the VLANs: packets are seen before and after they are forwarded"
    };
    if seen.frames == 0 {
        check("doubles", Verdict::Unknown, "nothing arrived", "")
    } else if doubled * MANY_IN >= seen.frames && doubled >= FEW_DOUBLES {
        check("doubles", Verdict::Fail, figures, advice)
    } else if doubled * FEW_IN >= seen.frames && doubled >= FEW_DOUBLES {
        check("doubles", Verdict::Warn, figures, advice)
    } else {
        check("doubles", Verdict::Ok, figures, "")
    }
}

fn drops(evidence: &Evidence) -> Check {
    let Drops { kernel, interface, damaged } = evidence.drops;
    let lost = kernel + interface + damaged.unwrap_or(0);
    let figures = format!(
        "{kernel} frames lost in the kernel, {interface} in the interface, {} damaged",
        damaged.map_or("?".to_owned(), |it| it.to_string())
    );
    let advice = if kernel >= interface && kernel > 0 {
        "this host is too slow or its ring too small: `run --buffer-bytes`, net.core.netdev_max_backlog, fewer other programs".to_owned()
    } else if interface > 0 {
        format!(
            "`ethtool -G {} rx 4096`, or a faster port: a mirror of both directions of a full link needs twice its speed",
            evidence.interface
        )
    } else {
        format!(
            "another cable, or a larger MTU (`ip link set {} mtu 2000`): with tags frames are longer",
            evidence.interface
        )
    };
    let all = evidence.tallied.frames + lost;
    match lost {
        0 => check("drops", Verdict::Ok, figures, ""),
        _ if lost * FEW_IN >= all => check("drops", Verdict::Fail, figures, advice),
        _ => check("drops", Verdict::Warn, figures, advice),
    }
}

fn offloads(evidence: &Evidence) -> Check {
    let seen = &evidence.tallied;
    match (seen.frames, evidence.host.mtu) {
        (0, _) => check("offloads", Verdict::Unknown, "nothing arrived", ""),
        (_, None) => check("offloads", Verdict::Unknown, "the system does not say which MTU it has", ""),
        _ if !seen.has_macs => check("offloads", Verdict::Unknown, "no Ethernet", ""),
        (_, Some(mtu)) if seen.above_mtu == 0 => check(
            "offloads",
            Verdict::Ok,
            format!("no frame above the MTU of {mtu}, the longest has {} octets", seen.longest_bytes),
            "",
        ),
        (_, Some(mtu)) => check(
            "offloads",
            Verdict::Warn,
            format!(
                "{} frames above the MTU of {mtu}, the longest has {} octets: put together before they were captured",
                seen.above_mtu, seen.longest_bytes
            ),
            format!(
                "`ethtool -K {} gro off lro off tso off gso off`: several packets are counted as one",
                evidence.interface
            ),
        ),
    }
}

fn clock(evidence: &Evidence) -> Check {
    let clock = &evidence.clock;
    let set = "set the clock, and keep it right: `timedatectl set-ntp true`, or chrony";
    match &clock.offset {
        _ if clock.host_secs < CLOCK_IS_SET_SECS => check(
            "clock",
            Verdict::Fail,
            format!("this host's clock says {} s since 1970: it was never set", clock.host_secs),
            set,
        ),
        Err(reason) => check(
            "clock",
            Verdict::Unknown,
            format!("no analyzer to compare with ({reason})"),
            "start one, or say where it is: --analyzer URL",
        ),
        Ok((analyzer, offset_ns)) => {
            let off_secs = offset_ns.unsigned_abs() as f64 / 1e9;
            let figures = match *offset_ns {
                0 => format!("as that of {analyzer}"),
                behind if behind > 0 => format!("{off_secs:.3} s behind that of {analyzer}"),
                _ => format!("{off_secs:.3} s ahead of that of {analyzer}"),
            };
            let verdict = match offset_ns.unsigned_abs() {
                0..=CLOCK_OK_NS => return check("clock", Verdict::Ok, figures, ""),
                off_ns if off_ns <= CLOCK_WARN_NS => Verdict::Warn,
                _ => Verdict::Fail,
            };
            check("clock", verdict, figures, set)
        }
    }
}

const FOREIGN: &str = "foreign_unicast";
const DIRECTIONS: &str = "both_directions";

/// A switch that does not know a MAC floods a frame or two, until it has heard its owner.
const FEW_FRAMES: u64 = 10;
/// So many conversations of which none was answered are strange even where answers are not owed.
const MANY_ONE_WAY: u64 = 10;
/// One in so many is more than chance.
const FEW_IN: u64 = 100;
/// One in so many makes figures wrong.
const MANY_IN: u64 = 10;
/// Fewer may be repetitions of a hasty sender.
const FEW_DOUBLES: u64 = 5;
const SHOWN_VLANS: usize = 8;
/// Answers show times to the second.
const CLOCK_OK_NS: u64 = 1_000_000_000;
/// What two collectors saw is compared by the minute.
const CLOCK_WARN_NS: u64 = 60_000_000_000;
/// 2020-01-01: a clock that tells less has not been set.
const CLOCK_IS_SET_SECS: i64 = 1_577_836_800;

#[cfg(test)]
mod tests;
