//! The machine and the process, as Linux describes them under `/proc`.

use std::fs::read_to_string;

use serde::Serialize;

/// Where something was measured. Figures without it mean nothing.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// The processor's own name; `unknown` where the system does not say.
    pub cpu: String,
    /// Cores that this process may use.
    pub cores: usize,
    /// `release`, or `dev` for a build with debug assertions, whose figures mean little.
    pub build: &'static str,
}

impl Machine {
    /// This machine and this build.
    pub fn this() -> Self {
        let cpuinfo = read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        Machine {
            cpu: model.map_or("unknown", |(_, name)| name.trim()).to_owned(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            build: if cfg!(debug_assertions) { "dev" } else { "release" },
        }
    }
}

/// Bytes of this process that lie in memory now (`VmRSS`); `None` where the system does not say.
pub fn resident_bytes() -> Option<u64> {
    status_bytes("VmRSS:")
}

/// The most bytes of this process that ever lay in memory (`VmHWM`).
pub fn peak_bytes() -> Option<u64> {
    status_bytes("VmHWM:")
}

fn status_bytes(name: &str) -> Option<u64> {
    let status = read_to_string("/proc/self/status").ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix(name))?.trim().strip_suffix(" kB")?;
    Some(kib.parse::<u64>().ok()? * 1024)
}
