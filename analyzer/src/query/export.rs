//! Stored data in bulk: the same selection as for questions, the file as ClickHouse writes it.

use std::sync::Arc;

use iotq_proto::{
    error::Chain,
    v1::{self, export_request, export_response::Kind, export_server::Export},
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use tracing::{Instrument as _, info_span, warn};

use super::{Analyst, AskError, Asked, PIECES_AHEAD, QueryService};
use crate::store::{ExportFormat, ExportTable};

type Sender = mpsc::Sender<Result<v1::ExportResponse, Status>>;

#[tonic::async_trait]
impl Export for QueryService {
    type ExportStream = ReceiverStream<Result<v1::ExportResponse, Status>>;

    async fn export(&self, request: Request<v1::ExportRequest>) -> Result<Response<Self::ExportStream>, Status> {
        let request = request.into_inner();
        let table = table(request.table())?;
        let format = format(request.format())?;
        let selection = request.selection.unwrap_or_default();
        let (analyst, stop) = (Arc::clone(&self.analyst), self.stop.clone());
        let (out, stream) = mpsc::channel(PIECES_AHEAD);
        let work = async move {
            let sent = tokio::select! {
                sent = send(&analyst, selection, table, format, &out) => sent,
                () = out.closed() => return,
                () = stop.cancelled() => Err(AskError::Stopping),
            };
            let status = match sent {
                Ok(()) | Err(AskError::HungUp) => return,
                Err(AskError::Question(text)) => Status::invalid_argument(text),
                Err(error @ AskError::Stopping) => Status::unavailable(error.to_string()),
                Err(error @ AskError::Store(_)) => {
                    warn!(error = %Chain(&error), "export failed");
                    Status::unavailable("the analyzer's store broke off; its log says why")
                }
            };
            let _ = out.send(Err(status)).await;
        };
        tokio::spawn(work.instrument(info_span!("export")));
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

async fn send(
    analyst: &Analyst,
    selection: v1::Selection,
    table: ExportTable,
    format: ExportFormat,
    out: &Sender,
) -> Result<(), AskError> {
    let asked = Asked::new(analyst, selection).await?;
    send_one(out, Kind::Header(asked.header())).await?;
    let mut bytes = 0;
    let mut file = analyst.store.export(table, format, &asked.scope)?;
    while let Some(mut data) = file.next().await? {
        bytes += data.len() as u64;
        while !data.is_empty() {
            let piece = data.split_to(data.len().min(PIECE_BYTES));
            send_one(out, Kind::Data(piece.to_vec())).await?;
        }
    }
    send_one(out, Kind::End(v1::ExportEnd { bytes })).await
}

async fn send_one(out: &Sender, kind: Kind) -> Result<(), AskError> {
    out.send(Ok(v1::ExportResponse { kind: Some(kind) })).await.map_err(|_| AskError::HungUp)
}

fn table(table: export_request::Table) -> Result<ExportTable, Status> {
    use export_request::Table;
    match table {
        Table::Packets => Ok(ExportTable::Packets),
        Table::Slices => Ok(ExportTable::Slices),
        Table::Connections => Ok(ExportTable::Connections),
        Table::Dns => Ok(ExportTable::Dns),
        Table::Tls => Ok(ExportTable::Tls),
        Table::TimeRequests => Ok(ExportTable::TimeRequests),
        Table::Batches => Ok(ExportTable::Batches),
        Table::Unspecified => Err(Status::invalid_argument("an export is of a table this analyzer knows")),
    }
}

fn format(format: export_request::Format) -> Result<ExportFormat, Status> {
    use export_request::Format;
    match format {
        Format::Csv => Ok(ExportFormat::Csv),
        Format::Jsonl => Ok(ExportFormat::JsonLines),
        Format::Parquet => Ok(ExportFormat::Parquet),
        Format::Unspecified => Err(Status::invalid_argument("an export has a format this analyzer knows")),
    }
}

/// Well below what gRPC peers take without being told.
const PIECE_BYTES: usize = 1 << 20;
