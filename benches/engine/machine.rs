//! The machine that a measurement was made on, and what this process takes of it.

use std::fs;

/// One line that belongs above every table: numbers mean nothing without it.
pub fn describe() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let model = value_of("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned());
    let memory = value_of("/proc/meminfo", "MemTotal").unwrap_or_else(|| "unknown".to_owned());
    let load = fs::read_to_string("/proc/loadavg")
        .ok()
        .and_then(|text| text.split_whitespace().next().map(str::to_owned))
        .unwrap_or_else(|| "unknown".to_owned());
    let build = if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    };
    format!(
        "machine: {cores} cores, {model}, {memory} of memory, load {load} before, {build} build"
    )
}

/// What this process holds in memory, in MiB: the server, the simulator and the client together.
pub fn resident_mib() -> Option<u64> {
    let text = value_of("/proc/self/status", "VmRSS")?;
    let kib: u64 = text.trim_end_matches("kB").trim().parse().ok()?;
    Some(kib / 1024)
}

fn value_of(path: &str, key: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(key))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
