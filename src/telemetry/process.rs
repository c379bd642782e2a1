//! What the kernel knows of this process, from `/proc`. On systems without it nothing is known.

use std::fs;

use super::metric;

/// The metrics `process_*` with their values. Those that cannot be read are left out.
#[allow(clippy::cast_precision_loss)] // Prometheus' values are f64
pub(super) fn read() -> Vec<(&'static str, f64)> {
    let mut values = Vec::new();
    if let Some(stat) = text("/proc/self/stat").as_deref().and_then(Stat::parse) {
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        values.push((metric::PROCESS_CPU, stat.cpu_ticks as f64 / ticks));
        values.push((metric::PROCESS_VIRTUAL, stat.virtual_bytes as f64));
        let pages = stat.resident_pages as f64;
        values.push((
            metric::PROCESS_RESIDENT,
            pages * rustix::param::page_size() as f64,
        ));
        values.push((metric::PROCESS_THREADS, stat.threads as f64));
        if let Some(boot) = text("/proc/stat").as_deref().and_then(boot_time) {
            let start = boot as f64 + stat.start_ticks as f64 / ticks;
            values.push((metric::PROCESS_START, start));
        }
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // Without the one that lists them.
        values.push((
            metric::PROCESS_OPEN_FDS,
            open.count().saturating_sub(1) as f64,
        ));
    }
    if let Some(most) = text("/proc/self/limits").as_deref().and_then(max_files) {
        values.push((metric::PROCESS_MAX_FDS, most));
    }
    values
}

/// Fields of `/proc/self/stat`, see proc(5).
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    /// User and system.
    cpu_ticks: u64,
    threads: u64,
    /// Since the machine started.
    start_ticks: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Stat {
    fn parse(stat: &str) -> Option<Self> {
        // The name of the command, in brackets, may have spaces and brackets in it.
        let (_, fields) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        // The state, right behind the name, is field 3 of proc(5).
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            cpu_ticks: field(14)? + field(15)?,
            threads: field(20)?,
            start_ticks: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

/// When the machine started, in seconds since 1970.
fn boot_time(stat: &str) -> Option<u64> {
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "));
    line?.trim().parse().ok()
}

fn max_files(limits: &str) -> Option<f64> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    match line?.split_whitespace().next()? {
        "unlimited" => Some(f64::INFINITY),
        number => number.parse().ok(),
    }
}

fn text(path: &str) -> Option<String> {
    fs::read_to_string(path).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_brackets_is_passed_over() {
        let stat = "42 (a) b) S 1 2 3 4 5 6 7 8 9 10 70 30 0 0 20 0 9 0 5000 1048576 256 1 1";
        let expected = Stat {
            cpu_ticks: 100,
            threads: 9,
            start_ticks: 5_000,
            virtual_bytes: 1_048_576,
            resident_pages: 256,
        };
        assert_eq!(Stat::parse(stat), Some(expected));
        assert_eq!(Stat::parse("42 (cut"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn everything_is_known_of_this_process() {
        let values = read();
        assert_eq!(values.len(), 7, "{values:?}");
        assert!(values.iter().all(|(_, value)| *value >= 0.0), "{values:?}");
    }
}
