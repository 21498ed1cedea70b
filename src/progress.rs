//! Progress: a bar on a terminal, one timestamped line per interval in a job log. Only a root reports.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Progress of one task of known length.
pub struct Progress {
    bar: ProgressBar,
    name: String,
    interactive: bool,
    speak: bool,
    last: Instant,
}

/// Seconds between two lines of a job log.
const INTERVAL: Duration = Duration::from_secs(15);

impl Progress {
    /// `speak` is true on the one rank that reports.
    pub fn new(name: &str, total: u64, speak: bool) -> Self {
        let interactive = std::io::stderr().is_terminal();
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden());
        if speak && interactive {
            bar.set_draw_target(ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{prefix:>12} [{bar:40}] {pos}/{len} {elapsed} (eta {eta}) {msg}");
            bar.set_style(style.expect("a fixed template").progress_chars("=> "));
            bar.set_prefix(name.to_string());
        }
        Progress { bar, name: name.to_string(), interactive, speak, last: Instant::now() }
    }

    /// Moves to `done` of the total; `message` is the newest figure worth seeing (a loss, a rate).
    pub fn set(&mut self, done: u64, message: &str) {
        self.bar.set_position(done);
        self.bar.set_message(message.to_string());
        if self.speak && !self.interactive && self.last.elapsed() >= INTERVAL {
            self.last = Instant::now();
            let total = self.bar.length().unwrap_or(0);
            let eta = self.bar.eta().as_secs();
            log::info!("{}: {done}/{total}, about {eta} s left; {message}", self.name);
        }
    }

    /// Ends with one summary line.
    pub fn finish(self, message: &str) {
        let seconds = self.bar.elapsed().as_secs_f64();
        self.bar.finish_and_clear();
        if self.speak {
            log::info!("{}: {message} ({seconds:.1} s)", self.name);
        }
    }
}
