//! How long processes of this machine have waited for a CPU: what other programs take away is not the system's delay.

use std::{fs, time::Duration};

/// Since the machine's start, the time in which at least one process waited (Linux, "Pressure Stall Information"); zero where
/// it is not known.
pub fn waited() -> Duration {
    let text = fs::read_to_string("/proc/pressure/cpu").unwrap_or_default();
    let total = text.lines().find_map(|line| {
        let (_, total) = line.strip_prefix("some ")?.split_once("total=")?;
        total.parse().ok()
    });
    Duration::from_micros(total.unwrap_or(0))
}
