//! Stored data in bulk: the same selection as for questions, the file as ClickHouse writes it.

use futures::stream::BoxStream;
use iotq_proto::v1::{self, export_request, export_response::Kind, export_server::Export};
use tonic::{Request, Response, Status};

use super::{Analyst, AskError, Asked, Out, QueryService, limits::Asker};
use crate::store::{ExportFormat, ExportTable};

#[tonic::async_trait]
impl Export for QueryService {
    type ExportStream = BoxStream<'static, Result<v1::ExportResponse, Status>>;

    async fn export(&self, request: Request<v1::ExportRequest>) -> Result<Response<Self::ExportStream>, Status> {
        let asker = Asker::of(request.extensions());
        let request = request.into_inner();
        let table = table(request.table())?;
        let format = format(request.format())?;
        let selection = request.selection.unwrap_or_default();
        self.respond(asker, false, |analyst, out| async move { send(&analyst, selection, table, format, &out).await })
            .await
    }
}

async fn send(
    analyst: &Analyst,
    selection: v1::Selection,
    table: ExportTable,
    format: ExportFormat,
    out: &Out<v1::ExportResponse>,
) -> Result<(), AskError> {
    let asked = Asked::new(analyst, selection).await?;
    send_one(out, Kind::Header(asked.header().await?)).await?;
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

async fn send_one(out: &Out<v1::ExportResponse>, kind: Kind) -> Result<(), AskError> {
    out.put(v1::ExportResponse { kind: Some(kind) }).await
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
