//! A bridge under test: a process of its own, so that what it costs can be read off it.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, bail};
use tempfile::TempDir;

use super::{Kind, words};

/// A running bridge. It ends when it is dropped.
pub struct Bridge {
    pub address: SocketAddr,
    child: Child,
}

impl Drop for Bridge {
    fn drop(&mut self) {
        // One that ended by itself cannot be killed, and need not be.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// What the kernel says of a process.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// Time on a processor, in seconds.
    pub cpu_s: f64,
    /// Memory in use, in bytes.
    pub resident_bytes: u64,
}

impl Bridge {
    /// Starts a bridge of a kind to the agent at `agent`.
    pub fn start(
        kind: Kind,
        agent: SocketAddr,
        n_threads: usize,
        tick_us: u64,
        node: Option<&TempDir>,
    ) -> anyhow::Result<Self> {
        let mut command = match (kind, node) {
            (Kind::Node, Some(dir)) => {
                let mut command = Command::new("node");
                command
                    .arg(dir.path().join("bridge.mjs"))
                    .arg(format!("ws://{agent}{}", words::TARGET));
                command
            }
            (Kind::Node, None) => bail!("there is no Node bridge"),
            (Kind::Bridge | Kind::Limit | Kind::TickedLimit | Kind::Library, _) => {
                let mut command = Command::new(std::env::current_exe()?);
                command
                    .args(["bench", "media-bridge"])
                    .args(["--kind", kind.name()])
                    .args(["--agent", &agent.to_string()])
                    .args(["--threads", &n_threads.to_string()])
                    .args(["--tick-us", &tick_us.to_string()]);
                command
            }
        };
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start the bridge {}", kind.name()))?;
        let stdout = child.stdout.take().context("a piped output is there")?;
        let mut bridge = Self {
            address: agent,
            child,
        };
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let port: u16 = line
            .strip_prefix("ready ")
            .and_then(|port| port.trim().parse().ok())
            .with_context(|| format!("the bridge {} said {line:?}", kind.name()))?;
        bridge.address = ([127, 0, 0, 1], port).into();
        Ok(bridge)
    }

    /// What it has used so far; nothing once it is gone.
    pub fn usage(&self) -> Usage {
        usage_of(self.child.id()).unwrap_or_default()
    }
}

fn usage_of(pid: u32) -> Option<Usage> {
    let mut cpu_ns: u64 = 0;
    // Of each thread, to the nanosecond; the whole process's time is kept in hundredths of a second.
    for entry in std::fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        let path = entry.ok()?.path().join("schedstat");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let on_cpu = text.split_whitespace().next();
        cpu_ns += on_cpu.and_then(|it| it.parse().ok()).unwrap_or(0);
    }
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kib: u64 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse().ok())?;
    Some(Usage {
        cpu_s: cpu_ns as f64 / 1e9,
        resident_bytes: kib * 1024,
    })
}

/// Tells the parent where this bridge is.
pub fn tell_ready(address: SocketAddr) {
    let mut out = std::io::stdout();
    // A parent that is gone needs no answer.
    writeln!(out, "ready {}", address.port())
        .and_then(|()| out.flush())
        .ok();
}

/// A directory with the Node bridge and what it needs; none where Node or its registry is not to be had.
pub fn prepare_node() -> Option<TempDir> {
    let is_there = |program: &str| {
        Command::new(program)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    };
    if !is_there("node") || !is_there("npm") {
        return None;
    }
    let dir = tempfile::tempdir().ok()?;
    std::fs::write(
        dir.path().join("bridge.mjs"),
        include_str!("node_bridge.mjs"),
    )
    .ok()?;
    std::fs::write(dir.path().join("package.json"), "{\"private\":true}").ok()?;
    let installed = Command::new("npm")
        .args(["install", "--no-audit", "--no-fund", "--silent", "ws@8"])
        .current_dir(dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    installed
        .is_ok_and(|status| status.success())
        .then_some(dir)
}
