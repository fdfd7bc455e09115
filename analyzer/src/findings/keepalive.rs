//! From events to stretches with a period: the search that the documentation of [`super`] describes.

use super::{
    Beat, Keepalive, MERGE_SECS, Start, beacon,
    intervals::{crowds, deviation, median, secs_between},
};

/// One exchange, or one group of connections opened together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Event {
    /// Its first packet.
    at_ns: i64,
    /// Its last packet, or the last connection's begin.
    end_ns: i64,
    wire_bytes: u64,
    payload_bytes: u64,
    packets: u64,
    /// Whether it may be a beat; else it is a burst of application data.
    small: bool,
}

impl Event {
    fn of_beat(beat: &Beat) -> Self {
        Self {
            at_ns: beat.at_ns,
            end_ns: beat.end_ns.max(beat.at_ns),
            wire_bytes: beat.wire_bytes,
            payload_bytes: beat.payload_bytes,
            packets: beat.packets,
            small: true,
        }
    }

    fn of_start(start: &Start) -> Self {
        Self {
            at_ns: start.at_ns,
            end_ns: start.at_ns,
            wire_bytes: start.wire_bytes,
            payload_bytes: 0,
            packets: 0,
            small: true,
        }
    }

    fn absorb(&mut self, other: &Self) {
        self.end_ns = self.end_ns.max(other.end_ns);
        self.wire_bytes = self.wire_bytes.saturating_add(other.wire_bytes);
        self.payload_bytes = self.payload_bytes.saturating_add(other.payload_bytes);
        self.packets = self.packets.saturating_add(other.packets);
    }
}

/// The exchanges of one connection.
pub(super) fn exchanges(beats: &[Beat]) -> Vec<Event> {
    let mut events = merge(beats.iter().map(Event::of_beat).collect(), MERGE_SECS);
    for event in &mut events {
        event.small = event.payload_bytes <= BEAT_MAX_PAYLOAD_BYTES
            && event.payload_bytes <= event.packets.saturating_mul(PACKET_MAX_PAYLOAD_BYTES)
            && event.packets <= BEAT_MAX_PACKETS
            && secs_between(event.at_ns, event.end_ns) <= BEAT_MAX_SECS;
    }
    events
}

/// The groups of connections opened together.
pub(super) fn openings(starts: &[Start], merge_secs: f64) -> Vec<Event> {
    merge(starts.iter().map(Event::of_start).collect(), merge_secs)
}

/// Puts what is at most `secs` apart into one event, and forgets the oldest beyond [`MAX_EVENTS`].
fn merge(mut parts: Vec<Event>, secs: f64) -> Vec<Event> {
    parts.sort_unstable_by_key(|part| part.at_ns);
    let mut events: Vec<Event> = Vec::with_capacity(parts.len());
    for part in parts {
        match events.last_mut() {
            Some(last) if secs_between(last.end_ns, part.at_ns) <= secs => last.absorb(&part),
            _ => events.push(part),
        }
    }
    let surplus = events.len().saturating_sub(MAX_EVENTS);
    events.drain(..surplus);
    events
}

/// The stretches of `events` that have a period, in order of time.
pub(super) fn find(events: &[Event], min_interval_secs: f64) -> Vec<Keepalive> {
    // Most connections have fewer exchanges than one stretch needs.
    if events.iter().filter(|event| event.small).count() < MIN_BEATS {
        return Vec::new();
    }
    let rhythms = rhythms(events, min_interval_secs);
    let stretches = joined(cover(events, &rhythms).into_iter().filter_map(Stretch::of));
    let mut found: Vec<Keepalive> = stretches.iter().filter_map(|stretch| stretch.report(events)).collect();
    if found.len() > MAX_FOUND {
        found.sort_by_key(|found| std::cmp::Reverse(found.beats));
        found.truncate(MAX_FOUND);
        found.sort_by_key(|found| found.first_at_ns);
    }
    found
}

/// A period with a jitter, both of which are tried.
#[derive(Clone, Copy, Debug)]
struct Rhythm {
    period_secs: f64,
    /// Standard deviation of an interval, as a part of the period.
    jitter: f64,
    /// What an event that does not keep the rhythm is worth.
    missed: f64,
    /// The logarithm of what beginning a stretch of it costs.
    begin: f64,
    /// The jitter of one, two, … periods, and its logarithm.
    jitters: [(f64, f64); REACH.len()],
    /// No interval within reach is likelier than this by chance.
    least_by_chance: f64,
}

impl Rhythm {
    fn new(period_secs: f64, (jitter, missed): (f64, f64)) -> Self {
        let jitters = REACH.map(|periods| jitter * periods.sqrt()).map(|jitter| (jitter, jitter.ln()));
        let begin = EVIDENCE + (CROWDS / jitter).ln();
        // The logarithm is concave: it is least at one of the ends; and no rounding is so large.
        let ends = [0.5_f64, REACH[REACH.len() - 1] + 0.5].map(by_chance);
        let least_by_chance = ends[0].min(ends[1]) - 1e-9;
        Self { period_secs, jitter, missed: missed.ln(), begin, jitters, least_by_chance }
    }

    /// The logarithm of how much likelier an interval of `secs` is if this is the
    /// rhythm, with a chance of `shares` for one, two, … periods, than if not.
    fn worth(&self, secs: f64, shares: &[f64]) -> Option<(f64, usize)> {
        let ratio = secs / self.period_secs;
        let place = (0..shares.len()).find(|&place| ratio <= REACH[place] + 0.5).filter(|_| ratio >= 0.5)?;
        let (share, periods) = (shares[place], REACH[place]);
        let (jitter, log_jitter) = *self.jitters.get(place)?;
        let away = (ratio - periods) / jitter;
        let kept = -log_jitter - away * away / 2.0;
        // Most intervals are far away: no share, which is below one, makes up for that.
        if kept - self.least_by_chance <= self.missed {
            return None;
        }
        let worth = share.ln() + kept - by_chance(ratio);
        (worth > self.missed).then_some((worth, place))
    }

    /// What an event says for this rhythm, and which event it follows.
    fn judge(&self, place: usize, since: &Since) -> (f64, Option<Hit>) {
        let hit = |follows: usize, secs: f64, periods: usize| {
            Some(Hit { place, follows, secs: (periods == 0).then_some(secs) })
        };
        match *since {
            Since::Nothing => (0.0, None),
            Since::Beat { secs, ref others } => {
                if let Some((worth, periods)) = self.worth(secs, &AFTER_BEAT) {
                    return (worth, hit(place - 1, secs, periods));
                }
                if self.jitter > SKIPPING_MAX_JITTER {
                    return (self.missed, None);
                }
                for (back, secs) in others.iter().enumerate() {
                    if let Some((worth, _)) = secs.and_then(|secs| self.worth(secs, &SKIPPING)) {
                        return (worth, hit(place - 2 - back, secs.unwrap_or_default(), 0));
                    }
                }
                (self.missed, None)
            }
            Since::Burst { secs, beat } => {
                if let Some((worth, _)) = self.worth(secs, &RESTARTED) {
                    return (worth, hit(place - 1, secs, 0));
                }
                if let Some((follows, secs)) = beat
                    && let Some((worth, periods)) = self.worth(secs, &CARRIED_ON)
                {
                    return (worth, hit(follows, secs, periods));
                }
                (self.missed / 2.0, None)
            }
        }
    }
}

/// How long before an event others were, which is the same for all rhythms.
#[derive(Clone, Copy, Debug)]
enum Since {
    /// It says nothing.
    Nothing,
    /// A beat is before it, and two others before that.
    Beat { secs: f64, others: [Option<f64>; 2] },
    /// A burst is before it, and a beat, whose place is told, not long before that.
    Burst { secs: f64, beat: Option<(usize, f64)> },
}

impl Since {
    fn of(events: &[Event], place: usize) -> Self {
        let (earlier, at) = events.split_at(place);
        let (Some(event), Some((before, rest))) = (at.first(), earlier.split_last()) else { return Self::Nothing };
        if !event.small {
            return Self::Nothing;
        }
        if before.small {
            let mut others = rest.iter().rev();
            let mut other = || {
                let other = others.next()?;
                Some(secs_between(if other.small { other.at_ns } else { other.end_ns }, event.at_ns))
            };
            return Self::Beat { secs: secs_between(before.at_ns, event.at_ns), others: [other(), other()] };
        }
        let beat = rest.iter().enumerate().rev().take(LOOK_BACK).find(|(_, other)| other.small);
        let beat = beat.map(|(follows, other)| (follows, secs_between(other.at_ns, event.at_ns)));
        Self::Burst { secs: secs_between(before.end_ns, event.at_ns), beat }
    }
}

/// The logarithm of the likelihood of an interval of so many periods if it has nothing to do with them.
fn by_chance(ratio: f64) -> f64 {
    let log_ratio = ratio.ln();
    -log_ratio - SPREAD.ln() - log_ratio * log_ratio / (2.0 * SPREAD * SPREAD)
}

/// An event that keeps the rhythm.
#[derive(Clone, Copy, Debug)]
struct Hit {
    place: usize,
    /// The event whose time it is measured from.
    follows: usize,
    /// The interval, if it is of one period.
    secs: Option<f64>,
}

/// The periods worth trying, each with several tolerances.
fn rhythms(events: &[Event], min_interval_secs: f64) -> Vec<Rhythm> {
    let mut intervals = Vec::with_capacity(2 * events.len());
    for (place, event) in events.iter().enumerate().filter(|(_, event)| event.small) {
        let Some((before, rest)) = events.get(..place).and_then(<[Event]>::split_last) else { continue };
        let reference = if before.small { before.at_ns } else { before.end_ns };
        intervals.push(secs_between(reference, event.at_ns));
        let other =
            if before.small { rest.last() } else { rest.iter().rev().take(LOOK_BACK).find(|other| other.small) };
        intervals.extend(other.map(|other| secs_between(other.at_ns, event.at_ns)));
    }
    intervals.retain(|secs| (min_interval_secs..=2.0 * MAX_PERIOD_SECS).contains(secs));
    intervals.sort_unstable_by(f64::total_cmp);
    JITTERS
        .iter()
        .flat_map(|&tried| {
            crowds(&intervals, CROWD_WIDTH * tried.0, PERIODS_TRIED)
                .into_iter()
                .filter(move |secs| {
                    secs * (1.0 - LEAST_INTERVAL * tried.0) >= min_interval_secs && *secs <= MAX_PERIOD_SECS
                })
                .map(move |secs| Rhythm::new(secs, tried))
        })
        .collect()
}

/// The stretches, each with one rhythm, whose worth together is highest, less what they cost
/// (Viterbi's algorithm, with "no rhythm" as the state between).
fn cover(events: &[Event], rhythms: &[Rhythm]) -> Vec<Vec<Hit>> {
    let part = (events.len().max(1) as f64).ln() + PART;
    let last = events.len().saturating_sub(1);
    // Best sum of all that ended before this event, and per rhythm, of what goes on at it.
    let mut ended = 0.0_f64;
    let mut going = vec![f64::NEG_INFINITY; rhythms.len()];
    // One bit a rhythm: begun at this event. And the rhythm that ends best at it.
    let mut begun: Vec<u32> = Vec::with_capacity(events.len());
    let mut best: Vec<Option<usize>> = Vec::with_capacity(events.len());
    for place in 0..events.len() {
        let begin = ended - part.min(EDGE * place.saturating_sub(1) as f64);
        let end_price = part.min(EDGE * (last - place) as f64);
        let (mut bits, mut ends) = (0, None);
        let since = Since::of(events, place);
        for (index, (rhythm, sum)) in rhythms.iter().zip(&mut going).enumerate() {
            let (worth, _) = rhythm.judge(place, &since);
            let begin = begin - rhythm.begin;
            if begin >= *sum {
                bits |= 1 << index;
                *sum = begin;
            }
            *sum += worth;
            if *sum - end_price > ended {
                ended = *sum - end_price;
                ends = Some(index);
            }
        }
        begun.push(bits);
        best.push(ends);
    }

    let mut stretches = Vec::new();
    let mut place = events.len();
    while place > 0 {
        place -= 1;
        let Some((index, rhythm)) =
            best.get(place).copied().flatten().and_then(|index| Some((index, rhythms.get(index)?)))
        else {
            continue;
        };
        let mut hits = Vec::new();
        loop {
            hits.extend(rhythm.judge(place, &Since::of(events, place)).1);
            if place == 0 || begun.get(place).is_none_or(|bits| bits & (1 << index) != 0) {
                break;
            }
            place -= 1;
        }
        hits.reverse();
        stretches.push(hits);
    }
    stretches.reverse();
    stretches
}

/// Neighbours with the period of the first of them as one.
fn joined(stretches: impl Iterator<Item = Stretch>) -> Vec<Stretch> {
    let mut groups: Vec<(f64, Vec<Hit>)> = Vec::new();
    for stretch in stretches {
        match groups.last_mut() {
            Some((period, hits)) if (*period - stretch.period_secs).abs() <= SAME_PERIOD * *period => {
                hits.extend(stretch.hits);
            }
            _ => groups.push((stretch.period_secs, stretch.hits)),
        }
    }
    groups.into_iter().filter_map(|(_, hits)| Stretch::of(hits)).collect()
}

/// Events that keep one rhythm.
#[derive(Debug)]
struct Stretch {
    hits: Vec<Hit>,
    /// Those of one period, sorted.
    intervals: Vec<f64>,
    period_secs: f64,
    jitter_secs: f64,
}

impl Stretch {
    fn of(hits: Vec<Hit>) -> Option<Self> {
        let mut intervals: Vec<f64> = hits.iter().filter_map(|hit| hit.secs).collect();
        intervals.sort_unstable_by(f64::total_cmp);
        let period_secs = median(&intervals)?;
        let jitter_secs = deviation(&intervals, period_secs)?;
        Some(Self { hits, intervals, period_secs, jitter_secs })
    }

    fn report(&self, events: &[Event]) -> Option<Keepalive> {
        let mut places: Vec<usize> = self.hits.iter().flat_map(|hit| [hit.follows, hit.place]).collect();
        places.sort_unstable();
        places.dedup();
        let beats: Vec<&Event> =
            places.iter().filter_map(|&place| events.get(place)).filter(|event| event.small).collect();
        let (first, last) = (beats.first()?, beats.last()?);
        let enough = beats.len() >= MIN_BEATS
            && self.intervals.len() >= MIN_INTERVALS
            && secs_between(first.at_ns, last.at_ns) >= MIN_SPAN_SECS;
        if !enough {
            return None;
        }
        let mut sizes: Vec<f64> = beats.iter().map(|beat| beat.wire_bytes as f64).collect();
        sizes.sort_unstable_by(f64::total_cmp);
        let at_ns: Vec<i64> = beats.iter().map(|beat| beat.at_ns).collect();
        let range = events.first()?.at_ns..=events.last()?.end_ns;
        Some(Keepalive {
            period_secs: self.period_secs,
            jitter_secs: self.jitter_secs,
            beats: u64::try_from(beats.len()).unwrap_or(u64::MAX),
            bytes_per_beat: median(&sizes)?,
            first_at_ns: first.at_ns,
            last_at_ns: last.at_ns,
            beacon_score: beacon::score(&at_ns, &sizes, range),
        })
    }
}

/// One full segment each way. Pings of MQTT, WebSocket, HTTP/2 and XMPP have 1 to 50 octets and 30 for TLS,
/// a state report some hundred; a chunk of video or audio has more than this even at 64 kbit/s each second.
const BEAT_MAX_PAYLOAD_BYTES: u64 = 2 * 1460;
/// On average. With its acknowledgement, a full segment has half of it; without, it is a retransmission to a peer
/// that is gone, which has a period too (capture iot-inspector-appdata: 4.8 s).
const PACKET_MAX_PAYLOAD_BYTES: u64 = 1000;
/// Two requests, two answers and their acknowledgements, all of them sent thrice.
const BEAT_MAX_PACKETS: u64 = 24;
/// An answer, with one retransmission after a second and one after three (RFC 6298).
const BEAT_MAX_SECS: f64 = 5.0;
/// A keepalive each 5 seconds for a week; bounds memory at 20 MiB and time at a second.
const MAX_EVENTS: usize = 1 << 17;
/// Of one series; more changes of the period than this are the finding. Those with most beats stay.
const MAX_FOUND: usize = 16;
/// Longer is a daily routine; of 12 hours, eight beats are half a week.
const MAX_PERIOD_SECS: f64 = 12.0 * 3600.0;
/// With 6, chat and random arrivals were taken for keepalives twice as often.
const MIN_BEATS: usize = 8;
/// Half of the intervals there must be: more missing ones are no period but a guess.
const MIN_INTERVALS: usize = 4;
/// Shorter is the loading of a page or the begin of a connection with its retransmissions.
const MIN_SPAN_SECS: f64 = 25.0;

/// Standard deviations of an interval, in periods, and the chance that an event has nothing to do with the
/// beats. A clock's ticks are known among other messages; a period that varies by a quarter (uniformly: the
/// last) is known only if little else happens.
const JITTERS: [(f64, f64); 5] = [(0.012, 0.1), (0.035, 0.08), (0.07, 0.05), (0.105, 0.03), (0.15, 0.015)];
/// Periods tried for each of these. Two stretches and their multiples are five.
const PERIODS_TRIED: usize = 6;
/// [`cover`] has a bit for each.
const _: () = assert!(JITTERS.len() * PERIODS_TRIED <= 32);
/// A window of twice the standard deviation to both sides holds 19 of 20 intervals.
const CROWD_WIDTH: f64 = 2.0;
/// Standard deviations that the shortest interval of a rhythm is below its period. It must be longer than what
/// merging leaves, or random events, merged, would be regular.
const LEAST_INTERVAL: f64 = 2.5;
/// Standard deviation of the logarithm of intervals that are no period: between people (0.7 to 1.2)
/// and random arrivals (1.28), and on the careful side. Tuned with the test `figures`, as are those that follow.
const SPREAD: f64 = 0.8;
/// Logarithm of what beginning a stretch costs.
const EVIDENCE: f64 = 3.8;
/// About as many periods fit beside each other, of which one is near a crowd by chance: this divided by the jitter.
const CROWDS: f64 = 0.5;
/// What a begin or an end within the series costs, more than the logarithm of how many places there are.
const PART: f64 = 2.5;
/// What each event left out before the begin, or after the end, costs if they are few.
const EDGE: f64 = 0.8;

/// How many periods an interval may be.
const REACH: [f64; 5] = [1.0, 2.0, 3.0, 4.0, 5.0];
/// Chances of one, two, … periods after a beat: a fifth of the beats is missing.
const AFTER_BEAT: [f64; 5] = [0.72, 0.17, 0.05, 0.014, 0.004];
/// Chance of one period after the beat before the one before.
const SKIPPING: [f64; 1] = [0.06];
/// With more jitter, looking further back finds what one is looking for.
const SKIPPING_MAX_JITTER: f64 = 0.05;
/// Chance of one period after a burst's end: the timer was restarted by it.
const RESTARTED: [f64; 1] = [0.4];
/// Chances of one, two, … periods after the beat before the burst: it was not.
const CARRIED_ON: [f64; 3] = [0.3, 0.12, 0.03];
/// Bursts one after the other, over which a beat before them is looked for.
const LOOK_BACK: usize = 4;
/// Part of the period by which two stretches may differ and still be one keepalive.
const SAME_PERIOD: f64 = 0.1;

#[cfg(test)]
mod tests;
