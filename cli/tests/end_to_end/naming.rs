//! `device NAME set` and `devices import`.

use std::{fs, io::Write as _, net::SocketAddr, process::Stdio};

use anyhow::{Context as _, Result};
use iotq_proto::v1::{ImportDevicesRequest, ImportFormat, SetDeviceRequest};

use crate::analyzer::{FakeAnalyzer, Naming, answer, iotq, run};

fn analyzer() -> Result<FakeAnalyzer> {
    FakeAnalyzer::start(|_| Ok(answer(std::iter::empty())))
}

#[test]
fn a_device_gets_name_and_groups() -> Result<()> {
    let analyzer = analyzer()?;
    let line = "device Kindle set --name Reader --group iot --group upstairs --no-group mobile";
    let ended = run(analyzer.address, line)?;
    assert_eq!(ended.out, "00:00:5e:00:53:01 is called Reader, in groups iot, upstairs\n", "{ended:?}");
    let request = SetDeviceRequest {
        device: "Kindle".into(),
        name: Some("Reader".into()),
        add_groups: vec!["iot".into(), "upstairs".into()],
        remove_groups: vec!["mobile".into()],
    };
    assert_eq!(analyzer.naming(), [Naming::Set(request)]);
    Ok(())
}

#[test]
fn a_group_that_cannot_be_left_is_told() -> Result<()> {
    let ended = run(analyzer()?.address, "device Kindle set --group iot --no-group IOT")?;
    let note = "note: it stays in `iot`: the names file or an import puts it there, and only they can take it out\n";
    assert_eq!((ended.status, ended.notes.as_str()), (Some(0), note));
    Ok(())
}

#[test]
fn what_is_not_typed_stays() -> Result<()> {
    let analyzer = analyzer()?;
    let output = iotq(analyzer.address, "device Kindle set --format json").args(["--name", ""]).output()?;
    assert_eq!(
        String::from_utf8(output.stdout)?,
        "{\"device\":\"00:00:5e:00:53:01\",\"name\":null,\"name_source\":\"user\",\"group\":null}\n"
    );
    let naming = analyzer.naming();
    let [Naming::Set(request)] = naming.as_slice() else { anyhow::bail!("{naming:?}") };
    assert_eq!((request.name.as_deref(), request.add_groups.len(), request.remove_groups.len()), (Some(""), 0, 0));
    Ok(())
}

#[test]
fn a_refusal_is_one_line() -> Result<()> {
    let ended = run(analyzer()?.address, "device nobody set --group iot")?;
    assert_eq!((ended.status, ended.out.as_str()), (Some(1), ""));
    assert_eq!(ended.notes, "error: the analyzer does not know what was asked for: there is no device `nobody`\n");
    Ok(())
}

#[test]
fn a_file_is_sent_and_what_came_of_it_is_said() -> Result<()> {
    let (analyzer, dir) = (analyzer()?, tempfile::tempdir()?);
    let path = dir.path().join("dnsmasq.leases");
    fs::write(&path, "abcde")?;
    let ended = run(analyzer.address, &format!("devices import {} --as dnsmasq", path.display()))?;
    assert_eq!(
        ended.out,
        "read as dnsmasq: 5 entries, 2 with a name taken over, 1 of them for devices seen already\n\
         skipped: line 3: no \\x1b[31mname\n",
        "{ended:?}"
    );
    let request = ImportDevicesRequest {
        file_name: "dnsmasq.leases".into(),
        content: b"abcde".to_vec(),
        format: ImportFormat::Dnsmasq.into(),
    };
    assert_eq!(analyzer.naming(), [Naming::Import(request)]);
    Ok(())
}

#[test]
fn standard_input_is_a_file_too() -> Result<()> {
    let analyzer = analyzer()?;
    let mut child = iotq(analyzer.address, "devices import - --format csv").stdin(Stdio::piped()).spawn()?;
    child.stdin.take().context("stdin")?.write_all(&vec![b'x'; 5 << 20])?;
    let output = child.wait_with_output()?;
    let out = String::from_utf8(output.stdout)?;
    assert!(out.starts_with("format,entries,named,known,skipped\ndnsmasq,5242880,2,1,"), "{out}");
    Ok(())
}

#[test]
fn what_is_no_file_or_too_large_is_not_sent() -> Result<()> {
    let (analyzer, dir) = (analyzer()?, tempfile::tempdir()?);
    let missing = run(analyzer.address, "devices import /nonexistent/leases")?;
    assert_eq!(missing.status, Some(1));
    assert!(missing.notes.starts_with("error: `/nonexistent/leases` cannot be read: "), "{missing:?}");
    let path = dir.path().join("large");
    fs::File::create(&path)?.set_len((8 << 20) + 1)?;
    let large = run(analyzer.address, &format!("devices import {}", path.display()))?;
    assert_eq!(large.status, Some(1));
    assert!(large.notes.contains("has more than 8 MiB: is it the right file?"), "{large:?}");
    assert_eq!(analyzer.naming(), []);
    Ok(())
}

#[test]
fn without_an_analyzer_it_says_what_to_start() -> Result<()> {
    let ended = run(SocketAddr::from(([127, 0, 0, 1], 1)), "device Kindle set --name Reader")?;
    assert_eq!(ended.status, Some(1));
    assert!(ended.notes.contains("is `iotq-analyzer serve` running?"), "{ended:?}");
    Ok(())
}
