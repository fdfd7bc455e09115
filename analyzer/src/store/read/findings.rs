//! Asking about connections and names.

use clickhouse::query::RowCursor;

use super::{
    ConnectionsFilter, ReadError, Scope,
    findings_rows::{
        BeatsRow, ConnectionRow, DnsRow, EncryptedRow, FiveTuple, PeerNameRow, SaidRow, StartsRow, TimeServerRow,
        TlsRow, UnansweredRow,
    },
};
use crate::store::{Store, TimeRange, range::Coarsest};

impl Store {
    /// Connections that had packets in the range: the newest `limit`, newest first, or all, oldest first; of those
    /// that are open the oldest.
    pub fn connections(
        &self,
        scope: &Scope,
        filter: &ConnectionsFilter,
    ) -> Result<RowCursor<ConnectionRow>, ReadError> {
        let mut sql = include_str!("../../../sql/connections.sql").to_owned();
        if filter.only_open {
            sql = sql.replace("{{way}}", "ASC");
        }
        self.ask(&sql, scope, Coarsest::Second)
            .param("only_open", u8::from(filter.only_open))
            .param("states", &filter.states)
            .param("longer_than_ns", filter.longer_than_ns)
            .fetch()
    }

    /// Questions to name servers, in the order of [`Store::connections`].
    pub fn dns(&self, scope: &Scope) -> Result<RowCursor<DnsRow>, ReadError> {
        self.ask(include_str!("../../../sql/dns.sql"), scope, Coarsest::Second).fetch()
    }

    /// Hellos of TLS clients, in the order of [`Store::connections`].
    pub fn tls(&self, scope: &Scope) -> Result<RowCursor<TlsRow>, ReadError> {
        self.ask(include_str!("../../../sql/tls.sql"), scope, Coarsest::Second).fetch()
    }

    /// Who asks whom for the time.
    pub async fn time_servers(&self, scope: &Scope) -> Result<Vec<TimeServerRow>, ReadError> {
        self.ask(include_str!("../../../sql/time_servers.sql"), scope, Coarsest::Second).fetch_all().await
    }

    /// Attempts that nobody answered or that were refused, in the range; and since
    /// when, looking back `back_ns` before it.
    pub async fn unanswered(&self, scope: &Scope, back_ns: i64) -> Result<Vec<UnansweredRow>, ReadError> {
        let mut longer = scope.clone();
        longer.range.since_ns = scope.range.since_ns.map(|since| since.saturating_sub(back_ns));
        self.ask(include_str!("../../../sql/unanswered.sql"), &longer, Coarsest::Second)
            .param("range_since_ns", scope.range.since_or_least())
            .param("answering_ports", ANSWERING_PORTS.as_slice())
            .fetch_all()
            .await
    }

    /// What connections with peers outside did second by second, as each collector saw it: in no order; of several
    /// collectors by five-tuple, first that of the one that saw most.
    pub fn beats(
        &self,
        scope: &Scope,
        five_tuples: &[FiveTuple],
        least_beats: u64,
        least_secs: i64,
    ) -> Result<RowCursor<BeatsRow>, ReadError> {
        let five_tuples: Vec<_> = five_tuples
            .iter()
            .map(|(a_ip, a_port, b_ip, b_port, protocol)| {
                (a_ip.to_string(), a_port, b_ip.to_string(), b_port, protocol)
            })
            .collect();
        self.ask(include_str!("../../../sql/beats.sql"), scope, Coarsest::Second)
            .param("five_tuples", five_tuples)
            .param("other_ports", NO_KEEPALIVE_PORTS.as_slice())
            .param("least_beats", least_beats)
            .param("least_secs", least_secs)
            .fetch()
    }

    /// Since which second there are no more than so many packets in the range, but for an hour's. `None`: in all of it.
    pub async fn searched_since(&self, scope: &Scope, most_packets: u64) -> Result<Option<i64>, ReadError> {
        let ask = async |scope: &Scope| -> Result<Option<i64>, ReadError> {
            let query = self.ask(include_str!("../../../sql/searched_since.sql"), scope, Coarsest::Hour);
            query.param("most_packets", most_packets).fetch_one().await
        };
        // The newest days are enough in most houses; all hours of a month take ten times as long.
        let end = scope.newest_at_ns.unwrap_or(i64::MAX).min(scope.range.until_or_greatest());
        for days in [1, 8] {
            let length_ns = days * 86_400 * 1_000_000_000;
            let since_ns = end.saturating_sub(length_ns);
            // Of what is hardly longer both would be read.
            if scope.range.since_or_least() >= since_ns.saturating_sub(length_ns) {
                break;
            }
            let range = TimeRange { since_ns: Some(since_ns), ..scope.range };
            let found = ask(&Scope { range, ..scope.clone() }).await?;
            if found.is_some() {
                return Ok(found);
            }
        }
        ask(scope).await
    }

    /// When connections with peers outside began.
    pub fn starts(&self, scope: &Scope) -> Result<RowCursor<StartsRow>, ReadError> {
        self.ask(include_str!("../../../sql/starts.sql"), scope, Coarsest::Second)
            .param("other_ports", NO_KEEPALIVE_PORTS.as_slice())
            .fetch()
    }

    /// How much of what devices exchanged with each address was encrypted.
    pub async fn encrypted(&self, scope: &Scope) -> Result<Vec<EncryptedRow>, ReadError> {
        self.ask(include_str!("../../../sql/encrypted.sql"), scope, Coarsest::Second)
            .param("encrypted_ports", ENCRYPTED_PORTS.as_slice())
            .fetch_all()
            .await
    }

    /// Under which names which devices reached which addresses.
    pub async fn peer_names(&self, scope: &Scope) -> Result<Vec<PeerNameRow>, ReadError> {
        self.ask(include_str!("../../../sql/peer_names.sql"), scope, Coarsest::Hour).fetch_all().await
    }

    /// What devices said of themselves.
    pub async fn said(&self) -> Result<Vec<SaidRow>, ReadError> {
        self.client().query_raw(include_str!("../../../sql/said.sql")).fetch_all().await
    }
}

/// Services over UDP whose clients expect a reply to each request: DNS (RFC 1035),
/// TFTP (1350), NTP (5905), SNMP (3416), QUIC (9000), IKE (7296) and its NAT port
/// (3948), RADIUS (2865, 2866), STUN (8489), SIP (3261), CoAP (7252, and with DTLS).
const ANSWERING_PORTS: [u16; 14] = [53, 69, 123, 161, 443, 500, 853, 1812, 1813, 3478, 4500, 5060, 5683, 5684];

/// DNS, DHCP, NTP, mDNS, LLMNR are regular for other reasons; CONTRACT leaves them out.
const NO_KEEPALIVE_PORTS: [u16; 8] = [53, 67, 68, 123, 546, 547, 5353, 5355];

/// Ports where TLS, DTLS, QUIC or SSH is spoken from the first octet on (IANA
/// Service Name and Port Number registry): SSH, HTTPS, SMTPS, DNS over TLS, LDAPS,
/// IMAPS, POP3S, SIPS, XMPP, MQTT over TLS, CoAP over DTLS.
const ENCRYPTED_PORTS: [u16; 13] = [22, 443, 465, 636, 853, 993, 995, 5061, 5223, 5684, 8443, 8883, 4433];
