//! The analyzer: takes batches from collectors ([`ingest`]), stores them in
//! ClickHouse ([`store`], [`engine`]), and answers questions ([`query`]) with what
//! else is known about devices ([`enrich`]).

pub mod access;
pub mod args;
pub mod backup;
mod clock;
pub mod config;
pub mod coverage;
pub mod db;
pub mod devices;
pub mod engine;
pub mod enrich;
pub mod findings;
pub mod forget;
pub mod http;
pub mod ingest;
pub mod listener;
pub mod metrics;
pub mod pki;
pub mod query;
mod reload;
pub mod settings;
pub mod store;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use iotq_proto::{FILE_DESCRIPTOR_SET, MAX_BATCH_BYTES, error::Chain, service::Log, supervision, v1};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::broadcast,
};
use tokio_util::sync::CancellationToken;
use tonic::service::interceptor::InterceptedService;
use tracing::{error, info, warn};

use crate::{
    access::{Access, AccessError, gate},
    config::{Config, StoreConfig},
    devices::DevicesService,
    engine::{Engine, EngineError},
    enrich::{Enrichment, Names, NamesError, SharedEnrichment, installed::Places},
    forget::ForgetService,
    ingest::{IngestService, Registry},
    listener::Protocol,
    metrics::Metrics,
    pki::Role,
    query::{Analyst, QueryService},
    reload::Reload,
    settings::Settings,
    store::{OpenError, Server, Store},
};

/// Why `serve` ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Threads or signals are not to be had.
    #[error("the runtime did not start")]
    Runtime(#[source] io::Error),
    /// The address is taken, or not ours.
    #[error("cannot listen on {address}: is another analyzer running? {flag} takes another address")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// The flag that changes it.
        flag: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The names file is not understood.
    #[error(transparent)]
    Names(#[from] NamesError),
    /// Certificates are not to be used.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The embedded ClickHouse is not to be had.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// ClickHouse is not to be used.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// A restore was cut short.
    #[error(transparent)]
    HalfRestored(#[from] backup::HalfRestored),
    /// gRPC broke.
    #[error("gRPC server failed")]
    Grpc(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// If something could not be started, or broke.
pub fn serve(config: Config, settings: Settings, log: Log) -> Result<(), ServeError> {
    // A second installation cannot happen in `main`; in tests the first one stays.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(ServeError::Runtime)?;
    runtime.block_on(async {
        let stop = CancellationToken::new();
        stop_on_signal(stop.clone()).map_err(ServeError::Runtime)?;
        run(config, settings, log, stop).await
    })
}

/// Serves until `stop`.
///
/// # Errors
/// If something could not be started, or broke.
pub async fn run(config: Config, settings: Settings, log: Log, stop: CancellationToken) -> Result<(), ServeError> {
    let names = config.names.as_deref().map(Names::read).transpose()?.unwrap_or_default();
    let access = Arc::new(Access::load(config.tls.clone())?);
    // Before the engine: a taken port should be told at once.
    let grpc = listen(config.listen, "--listen").await?;
    let http = listen(config.http_listen, "--http-listen").await?;
    let metrics = Arc::new(Metrics::counting(&log.events));

    let (engine, server) = match &config.store {
        StoreConfig::Embedded { library, data_dir, memory_bytes } => {
            backup::refuse_half_restored(data_dir)?;
            let program = std::env::current_exe().map_err(ServeError::Runtime)?;
            let engine = tokio::select! {
                engine = Engine::start(&program, library, data_dir, *memory_bytes, Arc::clone(&metrics)) => engine?,
                () = stop.cancelled() => return Ok(()),
            };
            let server = Server::from(engine.access());
            (Some(engine), server)
        }
        StoreConfig::External(server) => (None, server.as_ref().clone()),
    };
    let service = (access, metrics, settings, log);
    let result = serve_store(config, names, server, (grpc, http), service, stop).await;
    if let Some(engine) = engine {
        engine.stop().await;
    }
    info!("stopped");
    result
}

async fn serve_store(
    config: Config,
    names: Names,
    server: Server,
    (grpc, http): (TcpListener, TcpListener),
    (access, metrics, settings, log): (Arc<Access>, Arc<Metrics>, Settings, Log),
    stop: CancellationToken,
) -> Result<(), ServeError> {
    let enrichment = SharedEnrichment::default();
    let opened = async {
        // Each takes up to a second.
        tokio::join!(Store::open(&server, config.retention), load_enrichment(config.enrichment.clone(), &enrichment)).0
    };
    let store = tokio::select! {
        store = opened => store?,
        () = stop.cancelled() => return Ok(()),
    };
    let registry = Arc::new(Registry::default());
    let (stored, _) = broadcast::channel(FOLLOW_QUEUE);
    let ingest =
        IngestService::new(store.clone(), Arc::clone(&registry), Arc::clone(&metrics), stored.clone(), stop.clone())
            .guarded_by(Arc::clone(&access));
    let known = (names, enrichment.clone());
    let analyst = Analyst::new(store.clone(), known, config.local_nets, registry, Arc::clone(&metrics), stored);
    let analyst = Arc::new(analyst.guarded_by(Arc::clone(&access)));
    let reload = Reload {
        settings,
        log,
        names: config.names,
        places: config.enrichment,
        analyst: Arc::clone(&analyst),
        enrichment,
        access: Arc::clone(&access),
        metrics: Arc::clone(&metrics),
    };
    reload.at_each_hangup(stop.clone()).map_err(ServeError::Runtime)?;
    let room = tokio::spawn({
        let (store, stop) = (store.clone(), stop.clone());
        async move { store.watch(stop).await }
    });
    let door = tokio::spawn(backup::door::serve(store.clone(), server.data_dir, stop.clone()));
    let watching = tokio::spawn({
        let (access, stop) = (Arc::clone(&access), stop.clone());
        async move { access.watch(stop).await }
    });
    let retention =
        tokio::spawn(store::run_retention(store.clone(), config.retention, Arc::clone(&metrics), stop.clone()));
    let (listen, http_listen) = (grpc.local_addr(), http.local_addr());
    let grpc = listener::accept(grpc, Arc::clone(&access), Protocol::Grpc, Arc::clone(&metrics), stop.clone());
    let http = listener::accept(http, Arc::clone(&access), Protocol::Http, Arc::clone(&metrics), stop.clone());
    let web = tokio::spawn(http::serve(http, store.clone(), Arc::clone(&metrics), Arc::clone(&access), stop.clone()));

    // The ports really taken, where 0 was asked for.
    let (listen, http_listen) = (listen.unwrap_or(config.listen), http_listen.unwrap_or(config.http_listen));
    info!(
        %listen,
        http = %http_listen,
        store = store.about().kind,
        clickhouse = store.about().version,
        tls = config.tls.is_some(),
        "serving"
    );
    supervision::ready();
    let alive = tokio::spawn({
        let store = store.clone();
        supervision::watchdog(async move || store.fullness().borrow().is_some() || store.is_ready().await)
    });
    let devices = DevicesService::new(Arc::clone(&analyst), store.clone());
    let forget = ForgetService::new(Arc::clone(&analyst), store.clone());
    let result = serve_grpc(
        grpc,
        &access,
        ingest.clone(),
        (devices, forget),
        QueryService::new(analyst, stop.clone()),
        stop.clone(),
    )
    .await;
    // Also when gRPC broke: the others must end.
    stop.cancel();
    alive.abort();
    if tokio::time::timeout(GRACE, ingest.finish()).await.is_err() {
        warn!("batches under way were not stored in time; their collectors keep them");
    }
    let _ = tokio::join!(retention, room, watching, door);
    if let Ok(Err(error)) = web.await {
        error!(error = %Chain(&error), "HTTP server failed");
    }
    result
}

async fn serve_grpc(
    accepted: listener::Accepted,
    access: &Arc<Access>,
    ingest: IngestService,
    (devices, forget): (DevicesService, ForgetService),
    query: QueryService,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<v1::ingest_server::IngestServer<IngestService>>().await;
    health.set_serving::<v1::query_server::QueryServer<QueryService>>().await;
    health.set_serving::<v1::devices_server::DevicesServer<DevicesService>>().await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .map_err(|error| ServeError::Grpc(Box::new(error)))?;
    let ended = stop.clone();
    // The envelope's few octets come on top.
    let ingest = v1::ingest_server::IngestServer::new(ingest).max_decoding_message_size(MAX_BATCH_BYTES + 1024);
    // A file of 8 MiB, and its name.
    let devices = v1::devices_server::DevicesServer::new(devices).max_decoding_message_size((8 << 20) + 4096);
    let export = v1::export_server::ExportServer::new(query.clone());
    let query = v1::query_server::QueryServer::new(query);
    let forget = v1::forget_server::ForgetServer::new(forget);
    let server = tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(20)))
        .http2_keepalive_timeout(Some(Duration::from_secs(20)))
        // A collector has one, `iotq` another; hyper makes who wants more wait.
        .max_concurrent_streams(MAX_STREAMS)
        // A few batches in flight; the default of 64 KiB makes each wait for its own acknowledgement.
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(8 << 20)
        .add_service(health_service)
        .add_service(InterceptedService::new(reflection, gate(Arc::clone(access), READERS)))
        .add_service(InterceptedService::new(ingest, gate(Arc::clone(access), &[Role::Collector])))
        .add_service(InterceptedService::new(query, gate(Arc::clone(access), READERS)))
        .add_service(InterceptedService::new(export, gate(Arc::clone(access), READERS)))
        .add_service(InterceptedService::new(forget, gate(Arc::clone(access), &[Role::Admin])))
        .add_service(InterceptedService::new(devices, gate(Arc::clone(access), &[Role::Admin])))
        .serve_with_incoming_shutdown(accepted.into_stream(), ended.cancelled_owned());
    tokio::select! {
        result = server => result.map_err(|error| ServeError::Grpc(Box::new(error))),
        // Followers and idle collectors would hold the server open for ever.
        () = async { stop.cancelled().await; tokio::time::sleep(GRACE).await } => Ok(()),
    }
}

async fn listen(address: SocketAddr, flag: &'static str) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|source| ServeError::Listen { address, flag, source })
}

/// Loads tables and lists in a thread of its own: it takes up to a second.
async fn load_enrichment(places: Places, shared: &SharedEnrichment) {
    let Ok((loaded, errors)) = tokio::task::spawn_blocking(move || Enrichment::load(&places)).await else {
        warn!("tables of networks not loaded");
        return;
    };
    for error in &errors {
        warn!(error = %Chain(error), "table or list not used");
    }
    for table in loaded.tables() {
        let about = table.about();
        info!(table = table.kind().label(), entries = table.len(), date = about.date, source = about.source, "loaded");
    }
    if loaded.tables().count() < 2 {
        info!(
            "no table of networks or countries: answers leave them out; `make data` fetches both, \
             `iotq-analyzer db import asn|country FILE` takes one"
        );
    }
    shared.replace(loaded);
}

fn stop_on_signal(stop: CancellationToken) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        info!("stopping");
        supervision::stopping();
        stop.cancel();
    });
    Ok(())
}

/// Batches under way get this long when the analyzer stops.
const GRACE: Duration = Duration::from_secs(10);
/// Stored batches that a slow follower may be behind.
const FOLLOW_QUEUE: usize = 64;
/// Calls at once on one connection: as many as one peer may have open questions.
const MAX_STREAMS: u32 = 64;
/// Who may ask.
const READERS: &[Role] = &[Role::Reader, Role::Admin];
