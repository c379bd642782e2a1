//! What processes cost: processor time and memory, from `/proc`.

use std::{fs, time::Duration};

/// A process, or a family of them, under the name that tables give it.
#[derive(Clone)]
pub struct Meter {
    pub name: &'static str,
    /// With their children, also those that ended.
    pids: Vec<u32>,
}

impl Meter {
    pub fn new(name: &'static str, pids: impl IntoIterator<Item = u32>) -> Self {
        Self {
            name,
            pids: pids.into_iter().collect(),
        }
    }

    /// User and system time so far. `/proc/<pid>/stat` counts in hundredths of a second.
    pub fn cpu(&self) -> Duration {
        let ticks = |fields: &[String], range: std::ops::Range<usize>| -> u64 {
            let numbers = fields[range].iter().map(|field| field.parse::<u64>());
            numbers.map(Result::unwrap_or_default).sum()
        };
        let mut sum = 0;
        for (pid, parent, fields) in processes() {
            if self.pids.contains(&pid) {
                // Its own, and of children that ended.
                sum += ticks(&fields, 11..15);
            } else if self.pids.contains(&parent) {
                sum += ticks(&fields, 11..13);
            }
        }
        Duration::from_millis(sum * 10)
    }

    /// What is in memory, of the processes without children.
    pub fn memory_mb(&self) -> f64 {
        let of = |pid: &u32| -> Option<f64> {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            let line = status.lines().find(|line| line.starts_with("VmRSS"))?;
            line.split_whitespace().nth(1)?.parse().ok()
        };
        self.pids.iter().filter_map(of).sum::<f64>() / 1e3
    }
}

/// Every process with its parent and the fields of its `stat` behind the name, the first being its state.
fn processes() -> Vec<(u32, u32, Vec<String>)> {
    let entries = fs::read_dir("/proc").unwrap();
    let read = |entry: std::io::Result<fs::DirEntry>| {
        let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let fields = stat.rsplit(')').next()?;
        let fields: Vec<String> = fields.split_whitespace().map(str::to_owned).collect();
        Some((pid, fields.get(1)?.parse().ok()?, fields))
    };
    entries.filter_map(read).collect()
}
