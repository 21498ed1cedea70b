//! The scripts as text, as bash reads them, and run against a pretended Slurm.

#[path = "../../tests/mpi/locks.rs"]
mod locks;

use super::*;
use std::process::Command;

fn campaign(folder: &Path) -> Campaign {
    Campaign {
        file: "/data/it's mine/run.toml".into(),
        set: vec!["output=/scratch/a b".into()],
        simulates: true,
        forecasts: false,
        trains: true,
        infers: true,
        program: "/opt/polycosm".into(),
        working_directory: folder.into(),
        folder: folder.into(),
    }
}

fn text<'a>(scripts: &'a [Script], name: &str) -> &'a str {
    &scripts.iter().find(|s| s.name == name).expect("written").text
}

#[test]
fn scripts_say_what_the_site_says() {
    let all = scripts(&site("generic").unwrap(), &campaign(Path::new("/tmp"))).unwrap();
    let names: Vec<_> = all.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["simulate.sbatch", "train.sbatch", "analyse.sbatch", "submit.sh"]);
    let simulate = text(&all, "simulate.sbatch");
    for line in [
        "#!/bin/bash\n",
        "#SBATCH --requeue\n",
        "#SBATCH --signal=B:TERM@120\n",
        "#SBATCH --open-mode=append\n",
        r"stage srun --mpi=pmix /opt/polycosm simulate '/data/it'\''s mine/run.toml' --set 'output=/scratch/a b'",
    ] {
        assert!(simulate.contains(line), "{line} in\n{simulate}");
    }
    let verbs: Vec<_> = text(&all, "analyse.sbatch").lines().filter(|l| l.starts_with("stage srun")).collect();
    let verb = |line: &&str| line.split(' ').nth(4).unwrap_or_default().to_string();
    assert_eq!(verbs.iter().map(verb).collect::<Vec<_>>(), ["apply", "infer", "calibrate", "report"]);
    let submit = text(&all, "submit.sh");
    assert!(
        submit.contains(r#"--dependency="afterok:$id_simulate" --kill-on-invalid-dep=yes train.sbatch"#),
        "{submit}"
    );
    assert!(
        submit.contains(r#"--dependency="afterok:$id_train" --kill-on-invalid-dep=yes analyse.sbatch"#),
        "{submit}"
    );

    let foreign =
        scripts(&site("generic").unwrap(), &Campaign { simulates: false, ..campaign(Path::new("/tmp")) }).unwrap();
    assert_eq!(foreign.len(), 3);
    assert!(!text(&foreign, "submit.sh").contains("simulate"));

    // A fiducial set without networks: nothing is trained, inferred or judged.
    let set = Campaign { forecasts: true, trains: false, infers: false, ..campaign(Path::new("/tmp")) };
    let all = scripts(&site("generic").unwrap(), &set).unwrap();
    assert_eq!(
        all.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(),
        ["simulate.sbatch", "analyse.sbatch", "submit.sh"]
    );
    let verbs: Vec<_> = text(&all, "analyse.sbatch").lines().filter(|l| l.starts_with("stage srun")).collect();
    assert_eq!(verbs.iter().map(verb).collect::<Vec<_>>(), ["forecast", "report"]);
    assert!(
        text(&all, "submit.sh").contains(r#"--dependency="afterok:$id_simulate" --kill-on-invalid-dep=yes analyse"#)
    );
}

#[test]
fn bash_reads_every_script() {
    let folder = tempfile::tempdir().unwrap();
    for script in scripts(&site("generic").unwrap(), &campaign(folder.path())).unwrap() {
        let file = folder.path().join(&script.name);
        std::fs::write(&file, &script.text).unwrap();
        let output = Command::new("bash").arg("-n").arg(&file).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}\n{}", script.text);
    }
}

/// Runs the training script with a program that ends with `code`; returns the script's exit code and what was requeued.
fn pretend(body: &str, restarts: &str, stop_after: Option<f64>) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let bin = folder.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    let program = |name: &str, body: &str| {
        use std::os::unix::fs::PermissionsExt;
        let file = bin.join(name);
        std::fs::write(&file, format!("#!/bin/bash\n{body}\n")).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        file
    };
    program("srun", "shift\nexec \"$@\"");
    program("scontrol", "echo \"$@\" >> requeued");
    let polycosm = program("polycosm", body);
    let campaign = Campaign { program: polycosm, ..campaign(folder.path()) };
    let all = scripts(&site("generic").unwrap(), &campaign).unwrap();
    std::fs::write(folder.path().join("train.sbatch"), text(&all, "train.sbatch")).unwrap();
    let mut child = Command::new("bash")
        .arg("train.sbatch")
        .current_dir(folder.path())
        .env("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default()))
        .env("SLURM_JOB_ID", "77")
        .env("SLURM_RESTART_COUNT", restarts)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    if let Some(seconds) = stop_after {
        std::thread::sleep(std::time::Duration::from_secs_f64(seconds));
        Command::new("bash").arg("-c").arg(format!("kill -TERM {}", child.id())).status().unwrap();
    }
    let code = child.wait().unwrap().code();
    (code, std::fs::read_to_string(folder.path().join("requeued")).unwrap_or_default())
}

#[test]
fn a_clean_stop_goes_back_into_the_queue() {
    assert_eq!(pretend("exit 0", "0", None), (Some(0), String::new()));
    assert_eq!(pretend("exit 1", "0", None), (Some(1), String::new()));
    assert_eq!(pretend("exit 85", "0", None), (Some(0), "requeue 77\n".into()));
    assert_eq!(pretend("exit 85", "50", None), (Some(85), String::new()), "not for ever");
}

#[test]
fn the_request_to_stop_reaches_the_program() {
    // The program needs a moment for its checkpoint after the signal; the script waits for it.
    let body = "trap 'sleep 0.2; exit 85' USR1\nfor i in {1..200}; do sleep 0.05; done\nexit 3";
    assert_eq!(pretend(body, "0", Some(0.5)), (Some(0), "requeue 77\n".into()));
}

/// The words of an `#SBATCH` line as `sbatch` reads them (get_argument in its opt.c): a backslash takes the next
/// character as it is, quotes of either sort keep blanks, and a bare `#` ends the line.
fn sbatch_words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut escaped) = (vec![], None::<String>, None, false);
    for c in line.chars() {
        match c {
            c if escaped => {
                escaped = false;
                word.get_or_insert_default().push(c);
            }
            '\\' => escaped = true,
            c if quote == Some(c) => quote = None,
            '"' | '\'' if quote.is_none() => quote = Some(c),
            '#' if quote.is_none() => break,
            c if quote.is_none() && c.is_whitespace() => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// Whatever a folder or a campaign is called, it is a name: no shell runs it, and Slurm reads it whole.
#[test]
fn hostile_names_are_names() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join(r#"$(touch ran) `touch ran`; "it's" 100%j # \ & |"#);
    std::fs::create_dir(&folder).unwrap();
    let bin = temporary.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    let srun = bin.join("srun");
    std::fs::write(&srun, "#!/bin/bash\nprintf '%s\\n' \"$PWD\" \"$@\" >\"$SEEN\"\n").unwrap();
    std::fs::set_permissions(&srun, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let (file, set) = (folder.join("$(touch ran).toml"), r#"report.title="$(touch ran)'`touch ran`""#);
    let campaign = Campaign {
        file: file.clone(),
        set: vec![set.into()],
        simulates: true,
        forecasts: false,
        trains: true,
        infers: true,
        program: folder.join("polycosm"),
        working_directory: folder.clone(),
        folder: folder.clone(),
    };
    let mut site = site("generic").unwrap();
    site.train.partition = Some("a # b".into());
    let all = scripts(&site, &campaign).unwrap();
    let train = text(&all, "train.sbatch");
    let words: Vec<String> = train.lines().filter_map(|l| l.strip_prefix("#SBATCH")).flat_map(sbatch_words).collect();
    let log = format!("--output={}/train-%j.log", folder.display().to_string().replace('%', "%%"));
    assert!(words.contains(&log) && words.contains(&"--partition=a # b".into()), "{words:?}");
    assert!(words.iter().all(|w| w.starts_with("--")), "{words:?}");

    let script = folder.join("train.sbatch");
    std::fs::write(&script, train).unwrap();
    let seen = temporary.path().join("seen");
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    let status = Command::new("bash").arg(&script).env("PATH", path).env("SEEN", &seen).status().unwrap();
    assert!(status.success());
    let seen = std::fs::read_to_string(seen).unwrap();
    let [program, file] = [folder.join("polycosm"), file].map(|p| p.display().to_string());
    let expected = [&folder.display().to_string(), "--mpi=pmix", &program, "train", &file, "--set", set];
    assert_eq!(seen.lines().collect::<Vec<_>>(), expected);
    assert!(!folder.join("ran").exists() && !std::path::Path::new("ran").exists());
    let submit = text(&all, "submit.sh");
    std::fs::write(folder.join("submit.sh"), submit.replace("sbatch", "true")).unwrap();
    assert!(Command::new("bash").arg(folder.join("submit.sh")).output().unwrap().status.success());
    assert!(!folder.join("ran").exists());
}

#[test]
fn a_wrong_site_is_refused() {
    let unknown = site("nowhere").unwrap_err();
    assert_eq!((unknown.exit_code(), unknown.key.as_deref()), (2, Some("--site")));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.toml");
    std::fs::write(&file, SITES[0].1.replacen("nodes = ", "nodes = 0 # ", 1)).unwrap();
    let zero = site(file.to_str().unwrap()).unwrap_err();
    assert_eq!(zero.key.as_deref(), Some("simulate.nodes"));
}
