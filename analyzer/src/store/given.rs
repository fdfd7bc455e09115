//! Names that were given to devices, by the user and by files of DHCP servers.

use clickhouse::{Row, native::builder::BlockBuilder};
use serde::Deserialize;

use super::{
    InsertError, ReadError, Store,
    insert::{BoxedError, column},
};

/// A row of `given_names`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Row)]
pub struct GivenRow {
    /// Its MAC (`@VLAN` in one) or address, as in answers.
    pub device: String,
    /// `user` or `lease`.
    pub source: String,
    /// Empty: none.
    pub name: String,
    /// May be empty.
    pub groups: Vec<String>,
    /// When it was set; the newest counts.
    pub set_at_ns: i64,
}

impl Store {
    /// All names that were given.
    ///
    /// # Errors
    /// If ClickHouse does not answer.
    pub async fn given_names(&self) -> Result<Vec<GivenRow>, ReadError> {
        let sql = "SELECT device, toString(source) AS source, name, groups, set_at_ns FROM given_names FINAL \
                   WHERE name != '' OR notEmpty(groups) ORDER BY device, source LIMIT 100000";
        self.client().query_raw(sql).fetch_all().await
    }

    /// Gives names; each replaces what the same source said of the device before.
    ///
    /// # Errors
    /// If ClickHouse does not take them; then none is given.
    pub async fn give_names(&self, rows: &[GivenRow]) -> Result<(), InsertError> {
        let table = "given_names";
        if rows.is_empty() {
            return Ok(());
        }
        let mut block = BlockBuilder::new();
        let built = (|| -> Result<(), BoxedError> {
            column(&mut block, "device", rows.iter().map(|row| row.device.as_str()))?;
            column(&mut block, "source", rows.iter().map(|row| row.source.as_str()))?;
            column(&mut block, "name", rows.iter().map(|row| row.name.as_str()))?;
            column(&mut block, "groups", rows.iter().map(|row| row.groups.as_slice()))?;
            column(&mut block, "set_at_ns", rows.iter().map(|row| row.set_at_ns))
        })();
        built.map_err(|source| InsertError::Block { table, source })?;
        let block = block.build().map_err(|error| InsertError::Block { table, source: Box::new(error) })?;
        let failed = |source| InsertError::Table { table, source };
        // Blocks that look the same are not the same: somebody may change a name back.
        let mut insert = self.client().insert_native(table).with_setting("insert_deduplicate", "0");
        insert.write(&block).await.map_err(failed)?;
        insert.end().await.map_err(failed)?;
        if let Some(durable) = &self.durable {
            durable.wait().await.inspect_err(|error| self.doubt.note_not_durable(error))?;
        }
        Ok(())
    }
}
