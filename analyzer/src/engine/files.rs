//! The engine's configuration: who may connect, and how little it may take.

use std::{
    fs, io,
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use super::Access;

/// The files below the data directory.
#[derive(Debug)]
pub(super) struct EngineFiles {
    dir: PathBuf,
}

impl EngineFiles {
    /// Writes the configuration; nobody else can read it.
    pub(super) fn write(data_dir: &Path, port: u16, access: &Access, memory_bytes: u64) -> io::Result<Self> {
        let dir = data_dir.join("engine");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        let files = Self { dir };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(store_dir(data_dir))?;
        write_private(&files.users(), &users_xml(access))?;
        write_private(&files.config(), &config_xml(port, &files.users(), access, memory_bytes))?;
        Ok(files)
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn config(&self) -> PathBuf {
        self.dir.join("config.xml")
    }

    fn users(&self) -> PathBuf {
        self.dir.join("users.xml")
    }
}

/// Where the engine keeps its tables.
pub(super) fn store_dir(data_dir: &Path) -> PathBuf {
    data_dir.join("engine").join("store")
}

/// Replaces a file as a whole.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(new, path)
}

/// Limits for a small machine; ClickHouse's defaults assume a large one (5 GiB
/// mark cache, 90 % of the memory, dozens of background threads).
///
/// `merge_selector_base`: parts are merged when there are some twelve of a size instead
/// of five, so that a row is rewritten less often (ARCHITECTURE, "The store").
/// `memory_worker_period_ms`: by default the resident memory is looked up a dozen times a
/// second, a third of what an idle engine does.
fn config_xml(port: u16, users: &Path, access: &Access, memory_bytes: u64) -> String {
    let users = xml_escape(&users.display().to_string());
    let Access { header, header_value, .. } = access;
    // Caches of a 16th: marks of 30 days of a house are some 10 MB.
    let cache_bytes = memory_bytes / 16;
    format!(
        r#"<clickhouse>
  <logger><level>error</level><console>false</console></logger>
  <listen_host>127.0.0.1</listen_host>
  <http_port>{port}</http_port>
  <users_config>{users}</users_config>
  <max_server_memory_usage>{memory_bytes}</max_server_memory_usage>
  <mark_cache_size>{cache_bytes}</mark_cache_size>
  <index_mark_cache_size>{cache_bytes}</index_mark_cache_size>
  <uncompressed_cache_size>0</uncompressed_cache_size>
  <index_uncompressed_cache_size>0</index_uncompressed_cache_size>
  <mmap_cache_size>64</mmap_cache_size>
  <compiled_expression_cache_size>16777216</compiled_expression_cache_size>
  <max_connections>320</max_connections>
  <max_concurrent_queries>256</max_concurrent_queries>
  <background_pool_size>2</background_pool_size>
  <background_merges_mutations_concurrency_ratio>2</background_merges_mutations_concurrency_ratio>
  <background_move_pool_size>1</background_move_pool_size>
  <background_fetches_pool_size>1</background_fetches_pool_size>
  <background_common_pool_size>2</background_common_pool_size>
  <background_schedule_pool_size>4</background_schedule_pool_size>
  <background_message_broker_schedule_pool_size>1</background_message_broker_schedule_pool_size>
  <background_distributed_schedule_pool_size>1</background_distributed_schedule_pool_size>
  <asynchronous_metrics_update_period_s>60</asynchronous_metrics_update_period_s>
  <memory_worker_period_ms>1000</memory_worker_period_ms>
  <merge_tree>
    <merge_selector_base>12</merge_selector_base>
    <number_of_free_entries_in_pool_to_lower_max_size_of_merge>1</number_of_free_entries_in_pool_to_lower_max_size_of_merge>
    <number_of_free_entries_in_pool_to_execute_mutation>1</number_of_free_entries_in_pool_to_execute_mutation>
    <number_of_free_entries_in_pool_to_execute_optimize_entire_partition>1</number_of_free_entries_in_pool_to_execute_optimize_entire_partition>
  </merge_tree>
  <http_handlers>
    <rule>
      <headers><{header}>{header_value}</{header}></headers>
      <handler><type>dynamic_query_handler</type><query_param_name>query</query_param_name></handler>
    </rule>
  </http_handlers>
</clickhouse>
"#
    )
}

/// `default` is who the engine's own session logs in as, without a password: it
/// may do nothing but start the listener. `iotq` is us.
fn users_xml(access: &Access) -> String {
    let Access { user, password, .. } = access;
    format!(
        r#"<clickhouse>
  <profiles><default>
    <max_threads_min_free_memory_per_thread>{THREAD_BYTES}</max_threads_min_free_memory_per_thread>
  </default></profiles>
  <quotas><default/></quotas>
  <users>
    <default>
      <password></password>
      <networks><ip>127.0.0.1</ip><ip>::1</ip></networks>
      <profile>default</profile>
      <quota>default</quota>
      <grants><query>GRANT SYSTEM ON *.*</query></grants>
    </default>
    <{user}>
      <password>{password}</password>
      <networks><ip>127.0.0.1</ip><ip>::1</ip></networks>
      <profile>default</profile>
      <quota>default</quota>
    </{user}>
  </users>
</clickhouse>
"#
    )
}

/// ClickHouse wants a GiB of free memory for each thread of a query: of the 2 GiB that it may take by default it had one
/// thread, and left the other cores idle. Our questions take some 20 MB a thread.
const THREAD_BYTES: u64 = 128 << 20;

fn xml_escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
