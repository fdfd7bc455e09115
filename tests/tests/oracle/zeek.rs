//! States of connections that Zeek has published for captures that are tested here.

use iotq_tests::system::Analyzer;

/// A line of a `conn.log` below zeek/zeek's `testing/btest/Baseline`, made from the same capture.
struct Published {
    capture: &'static str,
    orig: (&'static str, u16),
    resp: (&'static str, u16),
    zeek: &'static str,
    /// Where iotq says something else: originator and responder as they are here, the state, and why.
    here: Option<Otherwise>,
}

struct Otherwise {
    is_turned: bool,
    state: &'static str,
    reason: &'static str,
}

/// `scripts.base.protocols.dhcp.dhcp-all-msg-types` and `core.pcapng-pktsrc`.
const PUBLISHED: &[Published] = &[
    agreed("dhcp.pcap", ("0.0.0.0", 68), ("255.255.255.255", 67), "S0"),
    agreed("dhcp.pcap", ("128.2.6.152", 67), ("255.255.255.255", 68), "S0"),
    Published {
        capture: "dhcp.pcap",
        orig: ("128.2.6.97", 68),
        resp: ("128.2.6.152", 67),
        zeek: "SHR",
        here: Some(FIRST_SPEAKS),
    },
    Published {
        capture: "dhcp.pcap",
        orig: ("128.2.6.189", 68),
        resp: ("128.2.6.152", 67),
        zeek: "SHR",
        here: Some(FIRST_SPEAKS),
    },
    agreed("pcapng-multi-interface.pcapng", ("172.17.0.2", 36343), ("1.1.1.1", 53), "SF"),
    agreed("pcapng-multi-interface.pcapng", ("10.0.0.4", 56351), ("1.1.1.1", 53), "SF"),
    agreed("pcapng-multi-interface.pcapng", ("10.0.0.4", 56352), ("1.1.1.1", 53), "SF"),
];

const FIRST_SPEAKS: Otherwise = Otherwise {
    is_turned: true,
    state: "S0",
    reason: "Zeek turns a connection round whose first packet comes from a likely server port; here the originator is \
             the sender of the first packet seen (CONTRACT, \"Originator\")",
};

const fn agreed(
    capture: &'static str,
    orig: (&'static str, u16),
    resp: (&'static str, u16),
    zeek: &'static str,
) -> Published {
    Published { capture, orig, resp, zeek, here: None }
}

/// What is wrong, a line each.
pub(crate) fn differing(analyzer: &Analyzer) -> Vec<String> {
    PUBLISHED.iter().filter_map(|published| wrong(analyzer, published)).collect()
}

fn wrong(analyzer: &Analyzer, published: &Published) -> Option<String> {
    let rows = analyzer.rows(["connections", "--since", "all", "--collector", published.capture]);
    let (orig, resp, state) = match &published.here {
        Some(here) if here.is_turned => (published.resp, published.orig, here.state),
        Some(here) => (published.orig, published.resp, here.state),
        None => (published.orig, published.resp, published.zeek),
    };
    let found = rows.iter().find(|row| {
        row["orig_ip"] == orig.0 && row["orig_port"] == orig.1 && row["resp_ip"] == resp.0 && row["resp_port"] == resp.1
    });
    let found = found.map(|row| row["state"].clone()).unwrap_or_default();
    let reason = published.here.as_ref().map_or("", |here| here.reason);
    (found != state).then(|| {
        let Published { capture, zeek, .. } = published;
        format!("{capture}: {orig:?} to {resp:?} is {found}, expected {state}; Zeek says {zeek} {reason}")
    })
}
