//! What can be tried without a network of our own.

use std::{
    net::UdpSocket,
    time::{Duration, Instant},
};

use super::*;

#[test]
fn a_wrong_name_says_where_to_look() {
    for name in ["nonexistent0", "", "a\0b", "../../etc/passwd", &"x".repeat(10_000)] {
        let Err(error) = LiveCapture::open(&LiveOptions::new(name), OwnConnections::default()) else {
            panic!("{name} was opened")
        };
        let text = error.to_string();
        // Without the right to capture, that is what is said first.
        assert!(text.contains("no interface named") || text.contains("not permitted"), "{text}");
        assert!(text.len() < 11_000 && !text.contains('\n'));
    }
}

#[test]
fn messages_of_libpcap_are_told_apart() {
    let of = |text: &str| OpenError::of("eth0", pcap::Error::PcapError(text.to_owned()));
    assert!(matches!(of("eth0: No such device exists"), OpenError::NoSuchInterface { .. }));
    assert!(matches!(of("socket: Operation not permitted"), OpenError::Permission { .. }));
    assert!(matches!(of("You don't have permission to capture on that device"), OpenError::Permission { .. }));
    assert!(matches!(of("That device is not up"), OpenError::Down { .. }));
    assert!(matches!(of("something else"), OpenError::Open { .. }));
    let permission = of("socket: Operation not permitted").to_string();
    assert!(permission.contains("sudo setcap cap_net_raw,cap_net_admin=eip /"), "{permission}");
}

#[test]
fn only_repeated_failures_end_a_capture() {
    let of = |text: &str, failures| CaptureError::of("lo", pcap::Error::PcapError(text.to_owned()), failures);
    assert!(of("recvfrom failed: Interrupted", 1).is_none());
    assert!(matches!(of("recvfrom failed: No buffer space", 5), Some(CaptureError::Read { .. })));
    assert!(matches!(of("The interface disappeared", 1), Some(CaptureError::Gone { .. })));
    assert!(matches!(of("The interface went down", 1), Some(CaptureError::Down { .. })));
    let gone = CaptureError::of("nonexistent0", pcap::Error::PcapError("x".to_owned()), 1);
    assert!(matches!(gone, Some(CaptureError::Gone { .. })));
}

/// `None`, with a message, where this process may not capture.
fn loopback(options: &LiveOptions) -> Option<LiveCapture> {
    match LiveCapture::open(options, OwnConnections::default()) {
        Ok(capture) => Some(capture),
        Err(error @ (OpenError::Permission { .. } | OpenError::Down { .. })) => {
            eprintln!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn frames_on_an_interface_come_in_chunks() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let filter = Some(format!("udp port {port}"));
    let Some(mut capture) = loopback(&LiveOptions { filter, ..LiveOptions::new("lo") }) else { return };
    socket.send_to(b"hello", socket.local_addr().unwrap()).unwrap();

    let deadline = Instant::now() + Duration::from_secs(10);
    let mut chunks = Vec::new();
    while chunks.iter().all(|chunk: &Chunk| chunk.packets.is_empty()) {
        assert!(Instant::now() < deadline, "the packet did not come");
        chunks.push(capture.read_chunk(|| false).unwrap());
    }
    let [packet] = chunks.last().unwrap().packets[..] else { panic!("{chunks:?}") };
    assert_eq!((packet.key.a_port, packet.key.b_port, packet.payload_bytes), (port, port, 5));
    assert!(matches!(chunks[0].begins, Some(Input::Live)));
    assert!(chunks[1..].iter().all(|chunk| chunk.begins.is_none()));
    // What was covered joins on.
    let covered: Vec<_> = chunks.iter().map(|chunk| chunk.covered.unwrap()).collect();
    assert!(covered.windows(2).all(|pair| pair[0].last_at >= pair[1].from_at));
    assert!(covered.last().unwrap().last_at >= packet.captured_at);
}

#[test]
fn an_idle_interface_gives_chunks_all_the_same_and_stops_when_told() {
    let filter = Some("ether proto 0x9999".to_owned());
    let Some(mut capture) = loopback(&LiveOptions { filter, ..LiveOptions::new("lo") }) else { return };
    let began_at = Instant::now();
    let idle = capture.read_chunk(|| false).unwrap();
    assert!(idle.packets.is_empty() && idle.covered.is_some());
    assert!(began_at.elapsed() >= MAX_WAIT.mul_f64(0.9));
    let began_at = Instant::now();
    capture.read_chunk(|| true).unwrap();
    assert!(began_at.elapsed() < MAX_WAIT.mul_f64(0.9));
}

#[test]
fn a_wrong_filter_is_shown() {
    let filter = Some("tcp prot 443".to_owned());
    match LiveCapture::open(&LiveOptions { filter, ..LiveOptions::new("lo") }, OwnConnections::default()) {
        Err(error @ OpenError::Filter { .. }) => {
            assert_eq!(error.to_string(), "BPF filter `tcp prot 443` does not compile");
            let chain = iotq_proto::error::Chain(&error).to_string();
            assert!(chain.contains("syntax error"), "{chain}");
        }
        Err(OpenError::Permission { .. } | OpenError::Down { .. }) => eprintln!("skipped: not permitted"),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it was taken"),
    }
}

#[test]
fn this_host_has_a_loopback_interface() {
    let interfaces = interfaces().unwrap();
    assert!(interfaces.iter().any(|interface| interface.is_loopback), "{interfaces:?}");
}
