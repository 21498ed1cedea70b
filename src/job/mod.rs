//! Slurm job scripts: one per stage, each waiting for the one before, each putting itself back into the queue while
//! polycosm says that it stopped cleanly and can go on (exit code 85).
//!
//! Slurm sends SIGTERM to the batch shell `grace` seconds before the time limit (`--signal=B:TERM@grace`). The shell
//! passes it on as SIGUSR1, which both `srun` and `mpirun` hand to every rank (on SIGTERM `mpirun` would kill them),
//! polycosm writes its checkpoint and leaves with 85, and `scontrol requeue` keeps the job's number, so that the jobs
//! that wait for it go on waiting.

mod site;

pub use site::{Resources, SITES, Site, site};

use crate::error::Result;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// What is to be run, and where.
#[derive(Debug, Clone)]
pub struct Campaign {
    /// The campaign file, absolute.
    pub file: PathBuf,
    /// `--set` values to pass on.
    pub set: Vec<String>,
    /// False for foreign data, which needs no simulations.
    pub simulates: bool,
    /// A design at one fiducial point is forecast.
    pub forecasts: bool,
    /// Whether there are stages to train.
    pub trains: bool,
    /// Whether posteriors are drawn and judged.
    pub infers: bool,
    /// The polycosm to run, unless the site names one.
    pub program: PathBuf,
    /// Relative paths in the campaign start here.
    pub working_directory: PathBuf,
    /// Where scripts and logs go, absolute.
    pub folder: PathBuf,
}

/// A file to write.
#[derive(Debug, Clone)]
pub struct Script {
    pub name: String,
    pub text: String,
}

/// The stages' scripts in order, and `submit.sh`, which submits them with their dependencies.
pub fn scripts(site: &Site, campaign: &Campaign) -> Result<Vec<Script>> {
    let Campaign { simulates, forecasts, trains, infers, .. } = *campaign;
    // As `polycosm run` has them, one after the other.
    let verbs =
        [(forecasts, "forecast"), (trains, "apply"), (infers, "infer"), (infers, "calibrate"), (true, "report")];
    let verbs: Vec<&str> = verbs.into_iter().filter_map(|(wanted, verb)| wanted.then_some(verb)).collect();
    let stages: [(bool, &str, &Resources, &[&str]); 3] = [
        (simulates, "simulate", &site.simulate, &["simulate"]),
        (trains, "train", &site.train, &["train"]),
        (true, "analyse", &site.analyse, &verbs),
    ];
    let stages = stages.into_iter().filter(|stage| stage.0).map(|(_, name, resources, verbs)| (name, resources, verbs));
    let stages: Vec<(&str, &Resources, &[&str])> = stages.collect();
    let mut list: Vec<Script> = stages
        .iter()
        .map(|(name, resources, verbs)| Script {
            name: format!("{name}.sbatch"),
            text: batch(site, campaign, name, resources, verbs),
        })
        .collect();
    let names: Vec<&str> = stages.iter().map(|s| s.0).collect();
    list.push(Script { name: "submit.sh".into(), text: submit(campaign, &names) });
    Ok(list)
}

fn batch(site: &Site, campaign: &Campaign, name: &str, resources: &Resources, verbs: &[&str]) -> String {
    let run = campaign.file.file_stem().unwrap_or_default().to_string_lossy();
    let run: String = run.chars().map(|c| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '-' }).collect();
    // `%j` is the job's number; a `%` of the folder's own name stands twice.
    let log = format!("{}/{name}-%j.log", path(&campaign.folder).replace('%', "%%"));
    let mut options = vec![format!("--job-name=polycosm-{name}-{run}")];
    options.extend(resources.options());
    options.extend([
        format!("--output={}", directive(&log)),
        "--open-mode=append".into(),
        "--requeue".into(),
        format!("--signal=B:TERM@{}", site.grace),
    ]);
    let program = site.program.as_ref().unwrap_or(&campaign.program);
    let arguments: String =
        campaign.set.iter().fold(quoted(&path(&campaign.file)), |all, s| format!("{all} --set {}", quoted(s)));

    let mut text = String::from("#!/bin/bash\n");
    for option in options {
        writeln!(text, "#SBATCH {option}").ok();
    }
    write!(
        text,
        r#"set -uo pipefail
cd {directory} || exit 1
{preamble}export OMP_NUM_THREADS=${{SLURM_CPUS_PER_TASK:-1}}
export SRUN_CPUS_PER_TASK=$OMP_NUM_THREADS  # Slurm 22.05 and later no longer pass it on to srun

# Runs one stage. Asked to stop, it tells the ranks and waits for their checkpoint; a clean stop (85) goes back into the queue.
stage() {{
    "$@" &
    local pid=$! code
    trap 'kill -USR1 "$pid" 2>/dev/null' TERM USR1
    wait "$pid"
    code=$?
    while kill -0 "$pid" 2>/dev/null; do
        wait "$pid"
        code=$?
    done
    trap - TERM USR1
    if [ "$code" -eq 85 ] && [ "${{SLURM_RESTART_COUNT:-0}}" -lt {restarts} ]; then
        echo "stopped cleanly: back into the queue (restart ${{SLURM_RESTART_COUNT:-0}} of {restarts})"
        scontrol requeue "$SLURM_JOB_ID" && exit 0
    fi
    [ "$code" -eq 0 ] || exit "$code"
}}

"#,
        directory = quoted(&path(&campaign.working_directory)),
        preamble = site.preamble.iter().map(|l| format!("{l}\n")).collect::<String>(),
        restarts = site.max_restarts,
    )
    .ok();
    for verb in verbs {
        writeln!(text, "stage {} {} {verb} {arguments}", site.launcher, quoted(&path(program))).ok();
    }
    text
}

fn submit(campaign: &Campaign, stages: &[&str]) -> String {
    let mut text = String::from(
        "#!/bin/bash\n# Submits the stages; each starts when the one before has ended well.\nset -euo pipefail\n",
    );
    writeln!(text, "cd {}", quoted(&path(&campaign.folder))).ok();
    let mut before: Option<&str> = None;
    for &stage in stages {
        let wait =
            before.map_or(String::new(), |b| format!(" --dependency=\"afterok:$id_{b}\" --kill-on-invalid-dep=yes"));
        writeln!(text, "id_{stage}=$(sbatch --parsable{wait} {stage}.sbatch)\nid_{stage}=${{id_{stage}%%;*}}").ok();
        writeln!(text, "echo \"{stage}: job $id_{stage}\"").ok();
        before = Some(stage);
    }
    text
}

fn path(path: &Path) -> String {
    path.display().to_string()
}

/// A word for the shell.
pub fn quoted(word: &str) -> String {
    match word.chars().all(|c| c.is_ascii_alphanumeric() || "/._-=+:,%@".contains(c)) && !word.is_empty() {
        true => word.to_string(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// A word in an `#SBATCH` line. No shell reads it: `sbatch` takes away quotes and the backslash before a character, and
/// what follows a bare `#`.
pub(super) fn directive(word: &str) -> String {
    match word.contains(|c: char| c.is_whitespace() || "\"'\\#".contains(c)) {
        true => format!("\"{}\"", word.replace('\\', r"\\").replace('"', "\\\"")),
        false => word.to_string(),
    }
}

#[cfg(test)]
mod tests;
