//! One TCP connection, segment by segment.

use etherparse::{TcpHeader, TcpOptionElement};

use super::{Host, tcp_segment};
use crate::random::Random;

/// Which end speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Side {
    /// The one that opens the connection.
    Client,
    /// The other.
    Server,
}

impl Side {
    /// The one that listens.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// A connection whose sequence and acknowledgement numbers follow from what was said.
#[derive(Clone, Debug)]
pub struct TcpTalk {
    client: Host,
    server: Host,
    client_port: u16,
    server_port: u16,
    client_seq: u32,
    server_seq: u32,
}

impl TcpTalk {
    /// A connection about to be opened.
    #[must_use]
    pub fn new(client: Host, server: Host, server_port: u16, random: &mut Random) -> Self {
        Self {
            client,
            server,
            client_port: random.port(),
            server_port,
            client_seq: random.u32(),
            server_seq: random.u32(),
        }
    }

    /// The same, from another port: several connections that share one would be one.
    #[must_use]
    pub fn from_port(self, client_port: u16) -> Self {
        Self { client_port, ..self }
    }

    /// The port it is opened from.
    #[must_use]
    pub fn client_port(&self) -> u16 {
        self.client_port
    }

    /// The first segment. Sent again as long as nothing answers, it stays the same.
    #[must_use]
    pub fn syn(&self) -> Vec<u8> {
        let mut header = self.header(Side::Client);
        (header.syn, header.ack, header.acknowledgment_number) = (true, false, 0);
        header.set_options(&syn_options()).expect("20 octets of options fit");
        self.send(Side::Client, header, &[])
    }

    /// The three segments that open it: SYN, SYN-ACK, ACK.
    #[must_use]
    pub fn open(&mut self) -> [Vec<u8>; 3] {
        let syn = self.syn();
        self.client_seq = self.client_seq.wrapping_add(1);
        let mut header = self.header(Side::Server);
        header.syn = true;
        header.set_options(&syn_options()).expect("20 octets of options fit");
        let syn_ack = self.send(Side::Server, header, &[]);
        self.server_seq = self.server_seq.wrapping_add(1);
        [syn, syn_ack, self.ack(Side::Client)]
    }

    /// The answer to a SYN on a closed port.
    #[must_use]
    pub fn refuse(&mut self) -> Vec<u8> {
        self.client_seq = self.client_seq.wrapping_add(1);
        let mut header = self.header(Side::Server);
        (header.rst, header.sequence_number, header.window_size) = (true, 0, 0);
        self.send(Side::Server, header, &[])
    }

    /// Octets from one side, in one segment.
    #[must_use]
    pub fn say(&mut self, side: Side, payload: &[u8]) -> Vec<u8> {
        let mut header = self.header(side);
        header.psh = true;
        let frame = self.send(side, header, payload);
        let len = u32::try_from(payload.len()).expect("a segment is shorter than 64 KiB");
        *self.seq(side) = self.seq(side).wrapping_add(len);
        frame
    }

    /// An acknowledgement of all that the other side said.
    #[must_use]
    pub fn ack(&self, side: Side) -> Vec<u8> {
        self.send(side, self.header(side), &[])
    }

    /// The three segments that close it: FIN, FIN, ACK.
    #[must_use]
    pub fn close(&mut self, by: Side) -> [Vec<u8>; 3] {
        let mut fin = |side: Side| {
            let mut header = self.header(side);
            header.fin = true;
            let frame = self.send(side, header, &[]);
            *self.seq(side) = self.seq(side).wrapping_add(1);
            frame
        };
        let (first, second) = (fin(by), fin(by.other()));
        [first, second, self.ack(by)]
    }

    /// The end without a farewell.
    #[must_use]
    pub fn reset(&self, by: Side) -> Vec<u8> {
        let mut header = self.header(by);
        (header.rst, header.window_size) = (true, 0);
        self.send(by, header, &[])
    }

    fn header(&self, side: Side) -> TcpHeader {
        let (ports, seq, ack) = match side {
            Side::Client => ((self.client_port, self.server_port), self.client_seq, self.server_seq),
            Side::Server => ((self.server_port, self.client_port), self.server_seq, self.client_seq),
        };
        let mut header = TcpHeader::new(ports.0, ports.1, seq, 5840);
        header.ack = true;
        header.acknowledgment_number = ack;
        header
    }

    fn send(&self, side: Side, header: TcpHeader, payload: &[u8]) -> Vec<u8> {
        match side {
            Side::Client => tcp_segment(&self.client, &self.server, header, payload),
            Side::Server => tcp_segment(&self.server, &self.client, header, payload),
        }
    }

    fn seq(&mut self, side: Side) -> &mut u32 {
        match side {
            Side::Client => &mut self.client_seq,
            Side::Server => &mut self.server_seq,
        }
    }
}

fn syn_options() -> [TcpOptionElement; 3] {
    [
        TcpOptionElement::MaximumSegmentSize(1460),
        TcpOptionElement::SelectiveAcknowledgementPermitted,
        TcpOptionElement::WindowScale(2),
    ]
}

#[cfg(test)]
mod tests {
    use etherparse::{SlicedPacket, TransportSlice};

    use super::*;
    use crate::traffic::tests::{assert_sound, host};

    fn header_and_payload(frame: &[u8]) -> (TcpHeader, usize) {
        match SlicedPacket::from_ethernet(frame).unwrap().transport {
            Some(TransportSlice::Tcp(tcp)) => (tcp.to_header(), tcp.payload().len()),
            other => panic!("no TCP: {other:?}"),
        }
    }

    #[test]
    fn each_segment_goes_on_where_the_last_one_ended() {
        let mut talk = TcpTalk::new(host(1), host(2), 443, &mut Random::new(5));
        let mut frames: Vec<_> = talk.open().into();
        frames.push(talk.say(Side::Client, &[1; 100]));
        frames.push(talk.say(Side::Server, &[2; 1400]));
        frames.push(talk.ack(Side::Client));
        frames.extend(talk.close(Side::Server));

        let mut next = [None, None];
        for frame in &frames {
            assert_sound(frame);
            let (header, payload) = header_and_payload(frame);
            let (me, peer) = if header.destination_port == 443 { (0, 1) } else { (1, 0) };
            if let Some(next) = next[me] {
                assert_eq!(header.sequence_number, next);
            }
            if header.ack {
                assert_eq!(Some(header.acknowledgment_number), next[peer]);
            }
            let len = u32::try_from(payload).unwrap() + u32::from(header.syn) + u32::from(header.fin);
            next[me] = Some(header.sequence_number.wrapping_add(len));
        }
        assert_eq!(frames.len(), 9);
    }

    #[test]
    fn a_syn_sent_again_is_the_same_segment() {
        let talk = TcpTalk::new(host(1), host(2), 443, &mut Random::new(5));
        assert_eq!(talk.syn(), talk.syn());
        let (header, _) = header_and_payload(&talk.syn());
        assert!(header.syn && !header.ack);
    }

    #[test]
    fn a_refusal_acknowledges_the_syn() {
        let mut talk = TcpTalk::new(host(1), host(2), 443, &mut Random::new(5));
        let (syn, _) = header_and_payload(&talk.syn());
        let (refusal, _) = header_and_payload(&talk.refuse());
        assert!(refusal.rst && refusal.ack);
        assert_eq!(refusal.acknowledgment_number, syn.sequence_number.wrapping_add(1));
    }
}
