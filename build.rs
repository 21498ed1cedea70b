//! Build settings that cargo cannot know: where libtorch lies (as an rpath, so that nothing needs `LD_LIBRARY_PATH`), and
//! which commit this is.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    if std::env::var_os("CARGO_FEATURE_TORCH").is_some()
        && let Ok(libtorch) = std::env::var("LIBTORCH")
    {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{libtorch}/lib");
    }

    // HEAD moves on a checkout, its log on every commit; both are absent outside git.
    let commit = git(&["rev-parse", "--short=12", "HEAD"]);
    if let Some(directory) = git(&["rev-parse", "--git-dir"]) {
        for file in ["HEAD", "logs/HEAD"].map(|f| format!("{directory}/{f}")) {
            if std::path::Path::new(&file).exists() {
                println!("cargo:rerun-if-changed={file}");
            }
        }
    }
    println!("cargo:rustc-env=POLYCOSM_COMMIT={}", commit.as_deref().unwrap_or("unknown"));
}

/// What git prints, or `None` where there is no git or no repository.
fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok().filter(|o| o.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_string())
}
