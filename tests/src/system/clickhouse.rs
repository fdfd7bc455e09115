//! A ClickHouse server of the test's own, as an administrator would run one: reached by
//! URL, with a user and a password, and on demand with its native port for others.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    net::{Ipv4Addr, TcpStream},
    path::Path,
    process::{ChildStdin, Command},
    time::Duration,
};

use tempfile::TempDir;

use super::{Process, engine, eventually, free_port, program};

/// A server; it ends when dropped.
#[derive(Debug)]
pub struct ClickHouse {
    process: Process,
    /// The server ends when this closes.
    _lifeline: ChildStdin,
    http_port: u16,
    tcp_port: u16,
    folder: TempDir,
}

/// Where servers of a cluster named `iotq_test` listen for each other; one shard each.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    /// Native ports on loopback.
    pub shards: Vec<u16>,
}

impl ClickHouse {
    /// Starts one, and waits until it answers.
    ///
    /// # Panics
    /// If it does not.
    #[must_use]
    pub fn start() -> Self {
        Self::start_in(free_port(), &Cluster::default())
    }

    /// Starts one of a cluster, on this native port.
    ///
    /// # Panics
    /// If it does not answer.
    #[must_use]
    pub fn start_in(tcp_port: u16, cluster: &Cluster) -> Self {
        let folder = tempfile::Builder::new().prefix("iotq-clickhouse-").tempdir().expect("a folder can be made");
        let http_port = free_port();
        let (config, users) = (folder.path().join("config.xml"), folder.path().join("users.xml"));
        fs::write(&users, USERS).expect("a file can be written");
        fs::write(&config, config_xml(http_port, tcp_port, &users, cluster)).expect("a file can be written");
        let mut command = Command::new(program("iotq-analyzer"));
        command.args(["engine", "--library"]).arg(engine().expect("there is an engine"));
        command.arg("--config").arg(&config).arg("--path").arg(folder.path().join("store"));
        let (process, lifeline) = Process::start_fed(&mut command);
        let mut server = Self { process, _lifeline: lifeline, http_port, tcp_port, folder };
        eventually("ClickHouse answers", || {
            assert!(server.process.is_running(), "ClickHouse has ended:\n{}", server.process.stderr());
            server.try_query("SELECT 1").ok()
        });
        if !cluster.shards.is_empty() {
            let _ = server.query("SYSTEM START LISTEN TCP");
        }
        server
    }

    /// Its folder stays when it ends.
    ///
    /// ext4 looks at each inode freed in the last minutes before it makes a file: who starts one store after
    /// the other and removes them makes the next ones slower (a third of the whole path's CPU).
    pub fn leave_folder(&mut self) {
        self.folder.disable_cleanup(true);
    }

    /// The number of its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Its HTTP address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.http_port)
    }

    /// Its native port.
    #[must_use]
    pub fn tcp_port(&self) -> u16 {
        self.tcp_port
    }

    /// What it answers.
    ///
    /// # Panics
    /// If that is an error.
    #[track_caller]
    #[must_use]
    pub fn query(&self, sql: &str) -> String {
        self.try_query(sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// What it answers.
    ///
    /// # Errors
    /// If that is an error, or it does not answer.
    pub fn try_query(&self, sql: &str) -> io::Result<String> {
        let answer = self.post("", &mut sql.as_bytes(), sql.len() as u64)?;
        String::from_utf8(answer).map_err(io::Error::other)
    }

    /// Writes an answer to a file.
    ///
    /// # Errors
    /// If there is none, or it cannot be written.
    pub fn query_to(&self, sql: &str, path: &Path) -> io::Result<()> {
        fs::write(path, self.post("", &mut sql.as_bytes(), sql.len() as u64)?)
    }

    /// Inserts a file, whose format the statement names.
    ///
    /// # Errors
    /// If ClickHouse does not take it.
    pub fn insert_file(&self, sql: &str, path: &Path) -> io::Result<()> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        self.post(sql, &mut file, length).map(drop)
    }

    fn post(&self, query: &str, body: &mut dyn Read, length: u64) -> io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.http_port))?;
        stream.set_read_timeout(Some(Duration::from_secs(900)))?;
        let query: String = query.bytes().map(|octet| format!("%{octet:02x}")).collect();
        write!(
            stream,
            "POST /?query={query} HTTP/1.0\r\nX-ClickHouse-User: {USER}\r\nX-ClickHouse-Key: {PASSWORD}\r\n\
             Content-Length: {length}\r\n\r\n"
        )?;
        io::copy(body, &mut stream)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
        let body = answer.split_off(end.map_or(answer.len(), |end| end + 4));
        if answer.starts_with(b"HTTP/1.0 200") || answer.starts_with(b"HTTP/1.1 200") {
            return Ok(body);
        }
        Err(io::Error::other(String::from_utf8_lossy(&body).into_owned()))
    }
}

fn config_xml(http_port: u16, tcp_port: u16, users: &Path, cluster: &Cluster) -> String {
    let shard = |port: &u16| {
        format!(
            "<shard><replica><host>127.0.0.1</host><port>{port}</port><user>{USER}</user>\
             <password>{PASSWORD}</password></replica></shard>"
        )
    };
    let shards: String = cluster.shards.iter().map(shard).collect();
    let clusters = if shards.is_empty() { shards } else { format!("<iotq_test>{shards}</iotq_test>") };
    format!(
        "<clickhouse><logger><level>error</level><console>false</console></logger>\
         <listen_host>127.0.0.1</listen_host><http_port>{http_port}</http_port><tcp_port>{tcp_port}</tcp_port>\
         <users_config>{}</users_config><mark_cache_size>67108864</mark_cache_size>\
         <max_server_memory_usage>4294967296</max_server_memory_usage>\
         <remote_servers>{clusters}</remote_servers></clickhouse>",
        users.display()
    )
}

/// Who tests log in as.
pub(super) const USER: &str = "iotq";
/// On loopback, for the time of a test.
pub(super) const PASSWORD: &str = "of-a-test";
const USERS: &str = "<clickhouse><profiles><default>\
         <max_threads_min_free_memory_per_thread>134217728</max_threads_min_free_memory_per_thread>\
         </default></profiles><quotas><default/></quotas><users>\
    <default><password></password><networks><ip>127.0.0.1</ip></networks><profile>default</profile>\
    <quota>default</quota><grants><query>GRANT SYSTEM ON *.*</query></grants></default>\
    <iotq><password>of-a-test</password><networks><ip>127.0.0.1</ip></networks><profile>default</profile>\
    <quota>default</quota><access_management>1</access_management></iotq></users></clickhouse>";
