//! Progress: a bar on a terminal, one timestamped line per interval in a job log, ever fewer as it goes on. Only a root
//! reports.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// So many of something, in words: `1 simulation`, `3 simulations`.
pub fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// True the first time that this is to be said: what a run finds more than once is told once.
pub fn first_time(text: &str) -> bool {
    static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    SAID.lock().is_ok_and(|mut said| said.insert(text.into()))
}

/// Progress of one task of known length.
pub struct Progress {
    bar: ProgressBar,
    name: String,
    interactive: bool,
    speak: bool,
    start: Instant,
    /// Of the newest line, since the start.
    last: Duration,
}

/// Time between two lines of a job log, at least.
const INTERVAL: Duration = Duration::from_secs(15);

/// True where the next line is due, `last` after the beginning: after a sixth of the time that has passed, so that a
/// day's work leaves some fifty lines and not six thousand.
fn due(elapsed: Duration, last: Duration) -> bool {
    elapsed - last >= INTERVAL.max(last / 6)
}

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
        Progress { bar, name: name.to_string(), interactive, speak, start: Instant::now(), last: Duration::ZERO }
    }

    /// Moves to `done` of the total; `message` is the newest figure worth seeing (a loss, a rate).
    pub fn set(&mut self, done: u64, message: &str) {
        self.bar.set_position(done);
        self.bar.set_message(message.to_string());
        let elapsed = self.start.elapsed();
        if self.speak && !self.interactive && due(elapsed, self.last) {
            self.last = elapsed;
            let total = self.bar.length().unwrap_or(0);
            log::info!("{}: {}", self.name, line(done, total, self.bar.eta().as_secs(), message));
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

/// One line of a job log.
fn line(done: u64, total: u64, eta: u64, message: &str) -> String {
    let message = if message.is_empty() { String::new() } else { format!("; {message}") };
    format!("{done}/{total}, about {eta} s left{message}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_leaves_a_page() {
        let (mut last, mut lines) = (Duration::ZERO, 0);
        for seconds in 0..86400 {
            let elapsed = Duration::from_secs(seconds);
            if due(elapsed, last) {
                (last, lines) = (elapsed, lines + 1);
            }
        }
        assert!((20..80).contains(&lines), "{lines}");
        assert!(due(INTERVAL, Duration::ZERO) && !due(INTERVAL / 2, Duration::ZERO));
    }

    #[test]
    fn lines_end_where_nothing_follows() {
        assert_eq!(line(4, 4, 0, ""), "4/4, about 0 s left");
        assert_eq!(line(1, 4, 6, "loss 2"), "1/4, about 6 s left; loss 2");
        assert_eq!((count(1, "group"), count(0, "group")), ("1 group".into(), "0 groups".into()));
    }
}
