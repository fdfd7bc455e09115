//! tmp
use crate::analyzer::*;
use std::time::Duration;
use iotq_proto::v1::{*, question::Ask};
#[test]
fn serve() {
    let a = FakeAnalyzer::start(|q| Ok(match q.ask { 
      Some(Ask::Packets(p)) if p.follow => endless(packets(3000), Duration::from_millis(700)),
      Some(Ask::Packets(_)) => answer(packets(100_000)),
      Some(Ask::TopTalkers(_)) => answer(std::iter::once(Rows { top_talkers: (0..25).map(|i| TopTalker { device: format!("dev{i}"), name: "臥室 lamp \x1b[31m red".into(), packets: i*1000, ..Default::default()}).collect(), ..Default::default()})),
      Some(Ask::Timeline(_)) => answer((0..3600).map(|i| Rows { timeline: vec![TimelinePoint{at_ns: 1_777_640_400_000_000_000 + i*1_000_000_000*60, key: format!("k{}", i%3), packets: (i as u64*i as u64)%977, step_secs: 60, ..Default::default()}], ..Default::default()})),
      _ => answer(std::iter::empty()) })).unwrap();
    std::fs::write("/tmp/iotq-fake-address", a.address.to_string()).unwrap();
    std::thread::sleep(Duration::from_secs(25));
}
