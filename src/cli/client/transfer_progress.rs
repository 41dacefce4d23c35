//! How far transfers are: bars on a terminal, a line now and then elsewhere. On standard error.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{BinaryBytes, MultiProgress, ProgressBar, ProgressStyle};
use parking_lot::Mutex;

use super::command_output::{print_line, printable};
use crate::telemetry::log_output::say;

/// How often a transfer that isn't on a terminal says how far it is.
const BETWEEN_LINES: Duration = Duration::from_secs(10);

/// How often a bar is drawn again while nothing of its transfer moves.
const BETWEEN_DRAWS: Duration = Duration::from_millis(200);

/// Fits 80 columns.
const BAR: &str = "{prefix:20!} {bar:12} {percent:>3} % of {binary_total_bytes:>10} \
                   {binary_bytes_per_sec:>12} {eta:>4} left";
const NOTE: &str = "{prefix:20!} {wide_msg}";

/// All transfers of one command.
#[derive(Clone, Default)]
pub(in crate::cli) struct ProgressDisplay {
    bars: Option<MultiProgress>,
}

impl ProgressDisplay {
    /// Bars where standard error is a terminal.
    pub(in crate::cli) fn new() -> Self {
        Self {
            bars: io::stderr().is_terminal().then(MultiProgress::new),
        }
    }

    /// A result, on standard output.
    pub(in crate::cli) fn print(&self, line: &str) {
        self.beside_bars(|| print_line(line));
    }

    /// Anything else that a person should know.
    pub(in crate::cli) fn say(&self, line: &str) {
        self.beside_bars(|| say(line));
    }

    fn beside_bars(&self, write: impl FnOnce()) {
        match &self.bars {
            Some(bars) => bars.suspend(write),
            None => write(),
        }
    }

    /// A transfer that begins. `label` is what the person calls it.
    pub(in crate::cli) fn transfer(&self, label: &str, size: u64) -> TransferProgress {
        let view = match &self.bars {
            Some(bars) => {
                let bar = bars.add(bar(label, size));
                // Else a transfer that waits shows what it was when it was drawn last, or nothing.
                bar.enable_steady_tick(BETWEEN_DRAWS);
                ProgressView::Bar(bar)
            }
            None => ProgressView::Lines(Arc::new(Mutex::new(LineState {
                began: Instant::now(),
                last: Instant::now(),
                first: 0,
                done: 0,
            }))),
        };
        TransferProgress {
            label: printable(label),
            size,
            view,
        }
    }
}

fn bar(label: &str, size: u64) -> ProgressBar {
    ProgressBar::new(size)
        .with_style(style(BAR))
        .with_prefix(printable(label))
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).expect("the templates are constant");
    style.progress_chars("=> ")
}

/// One transfer.
#[derive(Clone)]
pub(in crate::cli) struct TransferProgress {
    label: String,
    size: u64,
    view: ProgressView,
}

#[derive(Clone)]
enum ProgressView {
    Bar(ProgressBar),
    Lines(Arc<Mutex<LineState>>),
}

struct LineState {
    began: Instant,
    last: Instant,
    /// Where this attempt began.
    first: u64,
    done: u64,
}

impl TransferProgress {
    /// An attempt begins at this byte.
    pub(in crate::cli) fn begin_at(&self, byte: u64) {
        match &self.view {
            ProgressView::Bar(bar) => {
                bar.set_style(style(BAR));
                bar.reset();
                bar.set_position(byte);
            }
            ProgressView::Lines(state) => {
                let mut state = state.lock();
                (state.first, state.done) = (byte, byte);
                state.began = Instant::now();
            }
        }
    }

    /// So many bytes more.
    pub(in crate::cli) fn advance(&self, bytes: u64) {
        match &self.view {
            ProgressView::Bar(bar) => bar.inc(bytes),
            ProgressView::Lines(state) => {
                let mut state = state.lock();
                state.done += bytes;
                if state.last.elapsed() >= BETWEEN_LINES {
                    state.last = Instant::now();
                    say(&format!("{}: {}", self.label, state.line(self.size)));
                }
            }
        }
    }

    /// What it does in place of sending bytes, such as waiting.
    pub(in crate::cli) fn note(&self, text: &str) {
        match &self.view {
            ProgressView::Bar(bar) => {
                bar.set_style(style(NOTE));
                bar.set_message(text.to_owned());
            }
            ProgressView::Lines(_) => say(&format!("{}: {text}", self.label)),
        }
    }

    /// It has ended, and its result is a line of its own.
    pub(in crate::cli) fn end(&self) {
        if let ProgressView::Bar(bar) = &self.view {
            bar.finish_and_clear();
        }
    }
}

impl LineState {
    fn line(&self, size: u64) -> String {
        let seconds = self.began.elapsed().as_secs_f64().max(0.001);
        let rate = ((self.done - self.first) as f64 / seconds) as u64;
        let percent = (self.done * 100).checked_div(size).unwrap_or(0);
        format!(
            "{percent} % of {}, {}/s",
            BinaryBytes(size),
            BinaryBytes(rate)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_share_size_and_rate() {
        let state = LineState {
            began: Instant::now() - Duration::from_secs(2),
            last: Instant::now(),
            first: 1 << 20,
            done: 3 << 20,
        };
        let line = state.line(12 << 20);
        assert!(line.starts_with("25 % of 12.00 MiB, "), "{line}");
        assert!(line.ends_with("KiB/s") || line.ends_with("MiB/s"), "{line}");
    }

    #[test]
    fn both_templates_are_valid() {
        for template in [BAR, NOTE] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
