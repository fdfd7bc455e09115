//! The answers a report is made of.

use iotq_proto::v1::{
    self, Connection, Destination, Device, Difference, FirstSeen, Header, Keepalive, Rows, TimeServer, TimelinePoint,
    Tls, TopTalker, Unanswered, answer::Kind, destinations_question, question::Ask, timeline_question,
    top_talkers_question,
};

use crate::{client::AskError, config::Config};

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

/// Asks the questions, one after the other.
///
/// # Errors
/// With the first answer that is not complete.
pub fn gather<A>(config: &Config, ask: impl Fn(&Config, Ask) -> A) -> Result<Findings, AskError>
where
    A: IntoIterator<Item = Result<Kind, AskError>>,
{
    let asker = Asker { config, ask };
    let by = destinations_question::Key::Name.into();
    let order = top_talkers_question::Order::Packets.into();
    let all = v1::TimelineQuestion { by: timeline_question::Key::All.into(), step_secs: 0 };
    let open = v1::ConnectionsQuestion { open: true, states: Vec::new(), longer_than_ns: 0 };
    let keepalives = v1::KeepalivesQuestion { most_packets: GLANCE_PACKETS };
    let (devices, mut header) = asker.ask(Ask::Devices(v1::DevicesQuestion {}), |rows| rows.devices)?;
    let (keepalives, searched) = asker.ask(Ask::Keepalives(keepalives), |rows| rows.keepalives)?;
    let new = searched.notes.into_iter().filter(|note| !header.notes.contains(note)).collect::<Vec<_>>();
    header.notes.extend(new);
    Ok(Findings {
        header,
        devices,
        top_talkers: asker.rows(Ask::TopTalkers(v1::TopTalkersQuestion { order }), |rows| rows.top_talkers)?,
        timeline: asker.rows(Ask::Timeline(all), |rows| rows.timeline)?,
        destinations: asker.rows(Ask::Destinations(v1::DestinationsQuestion { by }), |rows| rows.destinations)?,
        keepalives,
        open: asker.rows(Ask::Connections(open), |rows| rows.connections)?,
        unanswered: asker.rows(Ask::Unanswered(v1::UnansweredQuestion {}), |rows| rows.unanswered)?,
        time_servers: asker.rows(Ask::TimeServers(v1::TimeServersQuestion {}), |rows| rows.time_servers)?,
        first_seen: asker.rows(Ask::FirstSeen(v1::FirstSeenQuestion {}), |rows| rows.first_seen)?,
        diff: match before(config) {
            Some(diff) => asker.rows(Ask::Diff(diff), |rows| rows.diff)?,
            None => Found::default(),
        },
        tls: asker.rows(Ask::Tls(v1::TlsQuestion {}), |rows| rows.tls)?,
    })
}

/// A day of a household: enough to see what is regular, and soon done.
const GLANCE_PACKETS: u64 = 3_000_000;

/// The stretch of the same length just before the range.
fn before(config: &Config) -> Option<v1::DiffQuestion> {
    let (since, until) = (config.selection.since_ns?, config.selection.until_ns?);
    let against_since_ns = since.checked_sub(until.checked_sub(since)?)?;
    Some(v1::DiffQuestion { against_since_ns, against_until_ns: since })
}

struct Asker<'a, F> {
    config: &'a Config,
    ask: F,
}

impl<A, F> Asker<'_, F>
where
    A: IntoIterator<Item = Result<Kind, AskError>>,
    F: Fn(&Config, Ask) -> A,
{
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
