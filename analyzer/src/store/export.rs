//! Rows in bulk, written by ClickHouse in the format that is wanted.

use clickhouse::query::BytesCursor;

use super::{ReadError, Scope, Store, range::Coarsest};

/// What can be exported.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(missing_docs, reason = "the columns are in the SQL")]
pub enum ExportTable {
    Packets,
    Slices,
    Connections,
    Dns,
    Tls,
    TimeRequests,
    Batches,
}

/// How.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ExportFormat {
    /// With a header.
    Csv,
    /// An object a line.
    JsonLines,
    /// Apache Parquet, compressed with Zstandard.
    Parquet,
}

impl Store {
    /// The file, in pieces.
    ///
    /// # Errors
    /// If ClickHouse cannot be asked.
    pub fn export(&self, table: ExportTable, format: ExportFormat, scope: &Scope) -> Result<BytesCursor, ReadError> {
        let sql = match table {
            ExportTable::Packets => include_str!("../../sql/export/packets.sql"),
            ExportTable::Slices => include_str!("../../sql/export/slices.sql"),
            ExportTable::Connections => include_str!("../../sql/export/connections.sql"),
            ExportTable::Dns => include_str!("../../sql/export/dns.sql"),
            ExportTable::Tls => include_str!("../../sql/export/tls.sql"),
            ExportTable::TimeRequests => include_str!("../../sql/export/time_requests.sql"),
            ExportTable::Batches => include_str!("../../sql/export/batches.sql"),
        };
        let format = match format {
            ExportFormat::Csv => "CSVWithNames",
            ExportFormat::JsonLines => "JSONEachRow",
            ExportFormat::Parquet => "Parquet",
        };
        self.ask(sql, scope, Coarsest::Second)
            .param("rows", if scope.limit == 0 { u64::MAX } else { scope.limit })
            // Columns are given back under their names, as text.
            .with_setting("prefer_column_name_to_alias", "1")
            .with_setting("max_execution_time", MAX_EXPORT_SECS)
            // RFC 3339, as in answers.
            .with_setting("date_time_output_format", "iso")
            .with_setting("output_format_json_quote_64bit_integers", "0")
            // What is not there, as spreadsheets and data frames read it; and as answers have it.
            .with_setting("format_csv_null_representation", "")
            .with_setting("output_format_parquet_compression_method", "zstd")
            .with_setting("output_format_parquet_string_as_string", "1")
            // A group of rows is in memory as a whole, at both ends.
            .with_setting("output_format_parquet_row_group_size", "100000")
            .fetch_bytes(format)
    }
}

/// As long as a slow line needs for a large file.
const MAX_EXPORT_SECS: &str = "86400";
