//! The error type: what went wrong, where, and what to do about it; and which exit code that means.

use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// `Result` with polycosm's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What to do where a disk is full.
pub const FREE_SOME_SPACE: &str = "free some space on that disk, then run the same command again: it resumes";

/// The campaign file and what the command line sets of it, as it named them.
static CAMPAIGN: Mutex<Option<String>> = Mutex::new(None);

/// Says which campaign file this process works on, and what is set of it (`section.key=value`), so that the commands of
/// remedies are of the same campaign.
pub fn work_on(campaign: &Path, sets: &[String]) {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+".contains(c);
    let word = |text: &str| match text.chars().all(plain) {
        true => text.to_string(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    };
    if let Ok(mut name) = CAMPAIGN.lock() {
        let sets = sets.iter().map(|set| format!(" --set {}", word(set)));
        *name = Some(std::iter::once(word(&campaign.display().to_string())).chain(sets).collect());
    }
}

/// The campaign in a command that a remedy gives.
pub fn campaign() -> String {
    CAMPAIGN.lock().ok().and_then(|name| name.clone()).unwrap_or("CAMPAIGN.toml".into())
}

/// What kind of failure this is: decides the exit code, and whether a suite goes on without the simulation that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// The user's input is wrong: exit code 2.
    Input,
    /// Stopped cleanly on request, resumable with the same command: exit code 85.
    Stopped,
    /// A file cannot be written or read (disk full, no permission), whatever stands in it: exit code 1. Once there is
    /// room the same command goes on.
    Io,
    /// Anything else (numerics, network): exit code 1.
    Failed,
}

/// An error with everything its reader needs: file, key, value, problem and remedy.
///
/// ```
/// use polycosm::error::Error;
/// let e = Error::input("must be positive").file("run.toml").key("simulation.box_size").value(-1.0).remedy("give Mpc/h");
/// assert_eq!(e.exit_code(), 2);
/// assert_eq!(e.to_string(), "run.toml: simulation.box_size = -1.0: must be positive\n  remedy: give Mpc/h");
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Error {
    pub kind: Cause,
    pub problem: String,
    /// In UTF-8 (another name is shown as well as it can be), so that it can be told to other ranks.
    pub file: Option<PathBuf>,
    pub key: Option<String>,
    pub value: Option<String>,
    pub remedy: Option<String>,
    /// Set by [`crate::comm::Comm::agree`]: every rank holds this error, first seen on that rank.
    pub agreed_from: Option<usize>,
}

impl Error {
    fn new(kind: Cause, problem: impl Into<String>) -> Self {
        Error { kind, problem: problem.into(), file: None, key: None, value: None, remedy: None, agreed_from: None }
    }

    /// Bad input (exit code 2).
    pub fn input(problem: impl Into<String>) -> Self {
        Self::new(Cause::Input, problem)
    }

    /// A file cannot be written or read (exit code 1).
    pub fn io(problem: impl Into<String>) -> Self {
        Self::new(Cause::Io, problem)
    }

    /// A failure that is not the input's fault (exit code 1).
    pub fn failed(problem: impl Into<String>) -> Self {
        Self::new(Cause::Failed, problem)
    }

    /// A clean stop on request (exit code 85).
    pub fn stopped(what: impl Into<String>) -> Self {
        Self::new(Cause::Stopped, what)
    }

    /// The file concerned. The innermost caller's word wins.
    pub fn file(mut self, file: impl AsRef<Path>) -> Self {
        self.file.get_or_insert_with(|| file.as_ref().to_string_lossy().into_owned().into());
        self
    }

    /// The configuration key or dataset concerned.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key.get_or_insert_with(|| key.into());
        self
    }

    /// The value that was refused.
    pub fn value(mut self, value: impl std::fmt::Debug) -> Self {
        self.value.get_or_insert_with(|| format!("{value:?}"));
        self
    }

    /// The same as it is to be shown.
    pub fn shown(mut self, value: impl std::fmt::Display) -> Self {
        self.value.get_or_insert_with(|| value.to_string());
        self
    }

    /// What the user can do.
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy.get_or_insert_with(|| remedy.into());
        self
    }

    /// Exit code of the process: 2 bad input, 85 stopped and resumable, 1 failed.
    pub fn exit_code(&self) -> i32 {
        match self.kind {
            Cause::Input => 2,
            Cause::Stopped => 85,
            Cause::Io | Cause::Failed => 1,
        }
    }
}

/// The known name that is nearest, if one is near.
pub fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let likeness = |k: &&str| strsim::jaro_winkler(&name.to_lowercase(), &k.to_lowercase());
    known.iter().copied().max_by(|a, b| likeness(a).total_cmp(&likeness(b))).filter(|k| likeness(k) > 0.8)
}

/// The nearest known name, and where none is near, all of them.
pub fn suggestion(name: &str, known: &[&str], none: &str) -> String {
    match nearest(name, known) {
        Some(k) => format!("did you mean `{k}`? (known here: {})", known.join(", ")),
        None if known.is_empty() => none.to_string(),
        None => format!("known here: {}", known.join(", ")),
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}: ", file.display())?;
        }
        match (&self.key, &self.value) {
            (Some(k), Some(v)) => write!(f, "{k} = {v}: ")?,
            (Some(k), None) => write!(f, "{k}: ")?,
            (None, Some(v)) => write!(f, "{v}: ")?,
            (None, None) => {}
        }
        write!(f, "{}", self.problem)?;
        if let Some(rank) = self.agreed_from.filter(|&r| r > 0) {
            write!(f, " (rank {rank})")?;
        }
        if let Some(remedy) = &self.remedy {
            write!(f, "\n  remedy: {remedy}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

impl From<std::io::Error> for Error {
    fn from(e: std::io::Error) -> Self {
        let error = Error::io(e.to_string());
        match e.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => error.remedy(FREE_SOME_SPACE),
            std::io::ErrorKind::PermissionDenied => {
                error.remedy("choose a place you may write to, or change its permissions")
            }
            _ => error,
        }
    }
}

/// Attach a file to any error on the way up: `std::fs::read(p).at(p)?`.
pub trait At<T> {
    /// Names the file in the error.
    fn at(self, file: impl AsRef<Path>) -> Result<T>;
}

impl<T, E: Into<Error>> At<T> for std::result::Result<T, E> {
    fn at(self, file: impl AsRef<Path>) -> Result<T> {
        self.map_err(|e| e.into().file(file))
    }
}
