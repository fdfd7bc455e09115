//! A network of its own: a cable with two ends, in a network namespace.

use std::{
    fs::{self, File},
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

use nix::sched::{CloneFlags, setns};

/// A network namespace with loopback up and two veth ends: what is sent on
/// [`Namespace::GENERATOR`] arrives at [`Namespace::MIRROR`], which has no
/// address. It is removed when the last copy is dropped.
#[derive(Clone, Debug)]
pub struct Namespace(Arc<Removed>);

impl Namespace {
    /// The end that frames are sent on.
    pub const GENERATOR: &str = "gen0";
    /// The end that frames are captured on.
    pub const MIRROR: &str = "mir0";

    /// Makes one.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("iotq-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        ip(&["netns", "add", &name]);
        let namespace = Self(Arc::new(Removed(name)));
        // Without IPv6 the kernel sends nothing on its own (router solicitations,
        // listener reports), so that what arrives can be counted exactly.
        namespace.inside(|| {
            for scope in ["all", "default"] {
                // A kernel without IPv6 has no such file, and needs none.
                let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{scope}/disable_ipv6"), "1");
            }
        });
        let name = namespace.name();
        ip(&["-n", name, "link", "set", "lo", "up"]);
        ip(&["-n", name, "link", "add", Self::GENERATOR, "type", "veth", "peer", "name", Self::MIRROR]);
        for interface in [Self::GENERATOR, Self::MIRROR] {
            ip(&["-n", name, "link", "set", interface, "up"]);
        }
        namespace
    }

    /// Its name, for `ip -n`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.0
    }

    /// A command that runs in it.
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", self.name()]).arg(program);
        command
    }

    /// Does something in it, on a thread of its own.
    ///
    /// # Panics
    /// If it cannot be entered.
    pub fn inside<T: Send>(&self, task: impl FnOnce() -> T + Send) -> T {
        let file = File::open(format!("/run/netns/{}", self.name())).expect("the namespace is there");
        thread::scope(|scope| {
            let entered = scope.spawn(move || {
                setns(&file, CloneFlags::CLONE_NEWNET).expect("root may enter a namespace");
                task()
            });
            entered.join().expect("the task ends well")
        })
    }

    /// Sends what a capture file holds, at this many frames a second.
    ///
    /// # Panics
    /// If it is not sent whole.
    #[track_caller]
    pub fn send(&self, capture: &Path, frames_per_second: u32) {
        let mut command = self.command(Path::new("tcpreplay"));
        command.args(["--quiet", "--intf1", Self::GENERATOR, "--pps", &frames_per_second.to_string()]).arg(capture);
        let output = command.output().expect("tcpreplay can be started");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Frames that were sent and found no room at the other end.
    ///
    /// # Panics
    /// If the system does not tell.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        let output = Command::new("ip").args(["-n", self.name(), "-s", "-j", "link", "show", Self::GENERATOR]).output();
        let links: serde_json::Value =
            serde_json::from_slice(&output.expect("ip can be started").stdout).expect("JSON");
        links[0]["stats64"]["tx"]["dropped"].as_u64().expect("a count")
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self::new()
    }
}

#[derive(Debug)]
struct Removed(String);

impl Drop for Removed {
    fn drop(&mut self) {
        // Nothing can be done if it is still in use.
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

fn ip(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).output().expect("ip can be started");
    assert!(output.status.success(), "ip {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}
