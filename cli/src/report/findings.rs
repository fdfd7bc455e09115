//! The answers a report is made of.

use std::{
    panic::resume_unwind,
    thread::{self, ScopedJoinHandle},
};

use iotq_proto::v1::{
    self, Connection, Destination, Device, Difference, FirstSeen, Header, Keepalive, Rows, TimeServer, TimelinePoint,
    Tls, TopTalker, Unanswered, answer::Kind, destinations_question, question::Ask, timeline_question,
    top_talkers_question,
};

use crate::{client::AskError, config::Config, time_range::TimeRange};

/// Everything a report says.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// Range, coverage and notes.
    pub header: Header,
    /// What is in the house.
    pub devices: Found<Device>,
    /// Who talks most.
    pub top_talkers: Found<TopTalker>,
    /// When there was how much traffic.
    pub timeline: Found<TimelinePoint>,
    /// Whom they talk to.
    pub destinations: Found<Destination>,
    /// What is sent at regular intervals.
    pub keepalives: Found<Keepalive>,
    /// What is open at the end.
    pub open: Found<Connection>,
    /// What gets no answer.
    pub unanswered: Found<Unanswered>,
    /// Who checks the time.
    pub time_servers: Found<TimeServer>,
    /// Destinations that are new.
    pub first_seen: Found<FirstSeen>,
    /// What changed since as long before; empty for a range without bounds.
    pub diff: Found<Difference>,
    /// How connections are encrypted.
    pub tls: Found<Tls>,
}

/// Rows of one answer.
#[derive(Clone, Debug)]
pub struct Found<R> {
    /// The rows.
    pub rows: Vec<R>,
    /// There are more.
    pub truncated: bool,
}

impl<R> Default for Found<R> {
    fn default() -> Self {
        Self { rows: Vec::new(), truncated: false }
    }
}

/// Asks the questions, some at a time: an analyzer has more than one core, and each question leaves some of them idle.
///
/// # Errors
/// With an answer that is not complete.
pub fn gather<A>(config: &Config, ask: impl Fn(&Config, Ask) -> A + Sync) -> Result<Findings, AskError>
where
    A: IntoIterator<Item = Result<Kind, AskError>>,
{
    let asker = Asker { config, ask };
    thread::scope(|scope| {
        let rhythms = scope.spawn(|| asker.rhythms());
        let connections = scope.spawn(|| asker.connections());
        let traffic = asker.traffic();
        let joined = |lane: ScopedJoinHandle<'_, Result<Findings, AskError>>| {
            lane.join().unwrap_or_else(|panic| resume_unwind(panic))
        };
        let (rhythms, connections, mut traffic) = (joined(rhythms)?, joined(connections)?, traffic?);
        for note in rhythms.header.notes {
            if !traffic.header.notes.contains(&note) {
                traffic.header.notes.push(note);
            }
        }
        Ok(Findings {
            keepalives: rhythms.keepalives,
            diff: rhythms.diff,
            open: connections.open,
            unanswered: connections.unanswered,
            time_servers: connections.time_servers,
            first_seen: connections.first_seen,
            tls: connections.tls,
            ..traffic
        })
    })
}

/// A day of a household: enough to see what is regular, and soon done.
const GLANCE_PACKETS: u64 = 3_000_000;

/// The stretch of about the same length just before the range: it begins with a whole minute or hour, too.
fn before(config: &Config) -> Option<v1::DiffQuestion> {
    let (since, until) = (config.selection.since_ns?, config.selection.until_ns?);
    let before = TimeRange { since_ns: Some(since.checked_sub(until.checked_sub(since)?)?), until_ns: Some(since) };
    let against_since_ns = before.from_whole(None, config.now).since_ns?;
    Some(v1::DiffQuestion { against_since_ns, against_until_ns: since })
}

struct Asker<'a, F> {
    config: &'a Config,
    ask: F,
}

impl<A, F> Asker<'_, F>
where
    A: IntoIterator<Item = Result<Kind, AskError>>,
    F: Fn(&Config, Ask) -> A + Sync,
{
    /// What is regular, and what changed, which is looked for in the same.
    fn rhythms(&self) -> Result<Findings, AskError> {
        let question = v1::KeepalivesQuestion { most_packets: GLANCE_PACKETS };
        let (keepalives, mut header) = self.ask(Ask::Keepalives(question), |rows| rows.keepalives)?;
        let (diff, compared) = match before(self.config) {
            Some(diff) => self.ask(Ask::Diff(diff), |rows| rows.diff)?,
            None => Default::default(),
        };
        // Both say how far they searched, the first one more of it.
        let is_new = |note: &String| !header.notes.iter().any(|known| known.starts_with(note.as_str()));
        let new: Vec<_> = compared.notes.into_iter().filter(is_new).collect();
        header.notes.extend(new);
        Ok(Findings { header, keepalives, diff, ..Findings::default() })
    }

    /// What connections and names say.
    fn connections(&self) -> Result<Findings, AskError> {
        let open = v1::ConnectionsQuestion { open: true, states: Vec::new(), longer_than_ns: 0 };
        Ok(Findings {
            open: self.rows(Ask::Connections(open), |rows| rows.connections)?,
            unanswered: self.rows(Ask::Unanswered(v1::UnansweredQuestion {}), |rows| rows.unanswered)?,
            time_servers: self.rows(Ask::TimeServers(v1::TimeServersQuestion {}), |rows| rows.time_servers)?,
            first_seen: self.rows(Ask::FirstSeen(v1::FirstSeenQuestion {}), |rows| rows.first_seen)?,
            tls: self.rows(Ask::Tls(v1::TlsQuestion {}), |rows| rows.tls)?,
            ..Findings::default()
        })
    }

    /// Who exchanges how much with whom.
    fn traffic(&self) -> Result<Findings, AskError> {
        let by = destinations_question::Key::Name.into();
        let order = top_talkers_question::Order::Packets.into();
        let all = v1::TimelineQuestion { by: timeline_question::Key::All.into(), step_secs: 0 };
        let (devices, header) = self.ask(Ask::Devices(v1::DevicesQuestion {}), |rows| rows.devices)?;
        Ok(Findings {
            header,
            devices,
            top_talkers: self.rows(Ask::TopTalkers(v1::TopTalkersQuestion { order }), |rows| rows.top_talkers)?,
            timeline: self.rows(Ask::Timeline(all), |rows| rows.timeline)?,
            destinations: self.rows(Ask::Destinations(v1::DestinationsQuestion { by }), |rows| rows.destinations)?,
            ..Findings::default()
        })
    }

    fn rows<R>(&self, ask: Ask, rows: fn(Rows) -> Vec<R>) -> Result<Found<R>, AskError> {
        self.ask(ask, rows).map(|(found, _)| found)
    }

    fn ask<R>(&self, ask: Ask, rows: fn(Rows) -> Vec<R>) -> Result<(Found<R>, Header), AskError> {
        let mut config = self.config.clone();
        config.selection.limit = MAX_ROWS;
        let (mut found, mut header) = (Found::default(), None);
        for kind in (self.ask)(&config, ask) {
            match kind? {
                Kind::Header(it) => header = Some(it),
                Kind::Rows(it) => found.rows.extend(rows(it)),
                Kind::Trailer(it) => found.truncated = it.truncated,
            }
        }
        Ok((found, header.ok_or(AskError::Malformed("no header"))?))
    }
}

/// Of each answer; a page sums up what it does not list. At some 500 bytes a
/// row all answers together take less than 60 MiB.
const MAX_ROWS: u64 = 10_000;
