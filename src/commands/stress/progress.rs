//! Shows the progress of a run on standard error. Bars are drawn only if standard error is a terminal.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::terminal;

/// Interval between two drawings of a bar that is drawn by time and not at each step.
const REDRAW: Duration = Duration::from_millis(100);

/// A bar on the terminal. It is removed when this value is dropped.
pub(super) struct Bar(ProgressBar);

/// A bar of known length.
pub(super) fn bar(phase: &'static str, length: u64) -> Bar {
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
    let style = "{msg:<10} {wide_bar} {pos}/{len} {per_sec}";
    bar.set_style(
        ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    bar.set_message(phase);
    Bar(bar)
}

/// Shows that a phase of unknown length goes on.
pub(super) fn waiting(phase: &'static str) -> Bar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    bar.set_message(phase);
    bar.enable_steady_tick(REDRAW);
    Bar(bar)
}

/// A bar for a phase that counts many thousand steps a second: a step only increments a counter, and a thread of its own draws.
pub(super) fn counting(phase: &'static str, length: u64) -> Counting {
    let bar = bar(phase, length);
    let shared = Arc::new(Shared::default());
    let its = Arc::clone(&shared);
    let drawing = std::thread::spawn(move || {
        while !its.is_over.load(Ordering::Relaxed) {
            bar.0.set_position(its.count.load(Ordering::Relaxed));
            std::thread::park_timeout(REDRAW);
        }
    });
    Counting {
        shared,
        drawing: Some(drawing),
    }
}

impl Bar {
    pub(super) fn set(&self, position: u64) {
        self.0.set_position(position);
    }

    pub(super) fn step(&self) {
        self.0.inc(1);
    }

    /// Prints a line above the bar, or just the line if no bar is drawn.
    pub(super) fn say(&self, line: &str) {
        self.0.suspend(|| terminal::complain(line));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

#[derive(Default)]
struct Shared {
    count: AtomicU64,
    is_over: AtomicBool,
}

/// A bar that is drawn by a thread of its own. The thread ends when this value is dropped.
pub(super) struct Counting {
    shared: Arc<Shared>,
    drawing: Option<JoinHandle<()>>,
}

impl Counting {
    pub(super) fn count(&self) {
        self.shared.count.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        if let Some(drawing) = self.drawing.take() {
            drawing.thread().unpark();
            let _ = drawing.join();
        }
    }
}
