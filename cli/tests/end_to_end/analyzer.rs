//! An analyzer without a store: answers as it is told, on a real socket.

use std::{
    net::SocketAddr,
    pin::Pin,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context as _, Result};
use iotq_proto::v1::{
    Answer, Coverage, Header, ImportDevicesRequest, ImportDevicesResponse, ImportFormat, Packet, Question, Rows,
    SetDeviceRequest, SetDeviceResponse, Trailer,
    answer::Kind,
    devices_server::{Devices, DevicesServer},
    query_server::{Query, QueryServer},
};
use tokio::{net::TcpListener, runtime::Runtime};
use tokio_stream::{Stream, StreamExt as _, wrappers::TcpListenerStream};
use tonic::{Request, Response, Status, transport::Server};

pub(crate) type Answers = Pin<Box<dyn Stream<Item = Result<Answer, Status>> + Send>>;
type Script = dyn Fn(Question) -> Result<Answers, Status> + Send + Sync;

/// A running analyzer; dropped, it is gone at once, as if killed.
pub(crate) struct FakeAnalyzer {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Question>>>,
    naming: Arc<Mutex<Vec<Naming>>>,
    runtime: Option<Runtime>,
}

impl FakeAnalyzer {
    /// Starts one that answers every question by this function.
    pub(crate) fn start(script: impl Fn(Question) -> Result<Answers, Status> + Send + Sync + 'static) -> Result<Self> {
        Self::start_with(Server::builder(), script)
    }

    /// The same, on a server with its own settings.
    pub(crate) fn start_with(
        mut server: Server,
        script: impl Fn(Question) -> Result<Answers, Status> + Send + Sync + 'static,
    ) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        let asked = Arc::new(Mutex::new(Vec::new()));
        let service = QueryServer::new(Service { script: Box::new(script), asked: asked.clone() });
        let naming = Arc::new(Mutex::new(Vec::new()));
        let devices = DevicesServer::new(Names { requests: naming.clone() }).max_decoding_message_size(16 << 20);
        let services = server.add_service(service).add_service(devices);
        runtime.spawn(services.serve_with_incoming(TcpListenerStream::new(listener)));
        Ok(Self { address, asked, naming, runtime: Some(runtime) })
    }

    /// The questions asked so far.
    pub(crate) fn asked(&self) -> Vec<Question> {
        self.asked.lock().expect("no test panics with the lock").clone()
    }

    /// What it was told of names so far.
    pub(crate) fn naming(&self) -> Vec<Naming> {
        self.naming.lock().expect("no test panics with the lock").clone()
    }
}

impl Drop for FakeAnalyzer {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

struct Service {
    script: Box<Script>,
    asked: Arc<Mutex<Vec<Question>>>,
}

#[tonic::async_trait]
impl Query for Service {
    type AskStream = Answers;

    async fn ask(&self, question: Request<Question>) -> Result<Response<Answers>, Status> {
        let question = question.into_inner();
        self.asked.lock().expect("no test panics with the lock").push(question.clone());
        (self.script)(question).map(Response::new)
    }
}

/// What it was told of names.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Naming {
    Set(SetDeviceRequest),
    Import(ImportDevicesRequest),
}

struct Names {
    requests: Arc<Mutex<Vec<Naming>>>,
}

#[tonic::async_trait]
impl Devices for Names {
    async fn set(&self, request: Request<SetDeviceRequest>) -> Result<Response<SetDeviceResponse>, Status> {
        let request = request.into_inner();
        self.requests.lock().expect("no test panics with the lock").push(Naming::Set(request.clone()));
        if request.device == "nobody" {
            return Err(Status::not_found("there is no device `nobody`"));
        }
        Ok(Response::new(SetDeviceResponse {
            device: "00:00:5e:00:53:01".to_owned(),
            name: request.name.unwrap_or_default(),
            name_source: "user".to_owned(),
            groups: request.add_groups,
        }))
    }

    async fn import(&self, request: Request<ImportDevicesRequest>) -> Result<Response<ImportDevicesResponse>, Status> {
        let request = request.into_inner();
        let entries = u64::try_from(request.content.len()).unwrap_or(u64::MAX);
        self.requests.lock().expect("no test panics with the lock").push(Naming::Import(request));
        Ok(Response::new(ImportDevicesResponse {
            format: ImportFormat::Dnsmasq.into(),
            entries,
            named: 2,
            known: 1,
            skipped: vec!["line 3: no \x1b[31mname".to_owned()],
        }))
    }
}

/// The program with a command line, asking there.
pub(crate) fn iotq(address: SocketAddr, line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_iotq"));
    command.args(line.split_whitespace());
    command.env("IOTQ_ANALYZER", format!("http://{address}")).env("TZ", "UTC").env_remove("COLUMNS");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What a program that has ended left behind.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: Option<i32>,
    pub(crate) out: String,
    pub(crate) notes: String,
}

/// Runs it to its end.
pub(crate) fn run(address: SocketAddr, line: &str) -> Result<Ended> {
    let output = iotq(address, line).output().context("iotq runs")?;
    let (out, notes) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
    Ok(Ended { status: output.status.code(), out, notes })
}

/// An answer of these messages, with header and trailer around them.
pub(crate) fn answer(rows: impl Iterator<Item = Rows> + Send + 'static) -> Answers {
    let rows = rows.map(Kind::Rows);
    let trailer = Kind::Trailer(Trailer::default());
    Box::pin(tokio_stream::iter(std::iter::once(header()).chain(rows).chain([trailer]).map(message)))
}

/// The same without an end: after the rows nothing comes, and nothing ends.
pub(crate) fn endless(rows: impl Iterator<Item = Rows> + Send + 'static, pause: Duration) -> Answers {
    let rows = tokio_stream::iter(rows.map(Kind::Rows).map(message)).throttle(pause);
    Box::pin(tokio_stream::once(message(header())).chain(rows).chain(tokio_stream::pending()))
}

pub(crate) fn message(kind: Kind) -> Result<Answer, Status> {
    Ok(Answer { kind: Some(kind) })
}

pub(crate) fn header() -> Kind {
    let coverage = Coverage { collectors_expected: 1, collectors_reporting: 1, ..Coverage::default() };
    Kind::Header(Header { coverage: Some(coverage), ..Header::default() })
}

/// So many packets in messages of a thousand.
pub(crate) fn packets(count: usize) -> impl Iterator<Item = Rows> + Send + 'static {
    (0..count.div_ceil(1000)).map(move |part| {
        let number = (count - part * 1000).min(1000);
        Rows { packets: (0..number).map(|index| packet(part * 1000 + index)).collect(), ..Rows::default() }
    })
}

fn packet(index: usize) -> Packet {
    Packet {
        captured_at_ns: i64::try_from(index).unwrap_or(i64::MAX) * 1_000,
        collector: "attic".to_owned(),
        src_ip: [[0; 10].as_slice(), &[0xff, 0xff, 192, 0, 2, 1]].concat(),
        dst_ip: [[0; 10].as_slice(), &[0xff, 0xff, 192, 0, 2, 2]].concat(),
        src_port: Some(49_152),
        dst_port: Some(443),
        ip_version: 4,
        protocol: 6,
        wire_bytes: 74,
        tcp_flags: Some(2),
        ..Packet::default()
    }
}
