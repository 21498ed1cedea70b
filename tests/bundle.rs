//! `scripts/bundle.sh`: the program and its libraries in a folder, tried where there is nothing else.

mod mpi;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Builds a root that holds the C library, a shell and the bundle, and runs the bundle in it, in a mount namespace of its own so that
/// nothing is left behind.
const EMPTY: &str = r#"
set -eu
put() { mkdir -p "$root$(dirname "$1")"; [ -e "$root$1" ] || cp -L "$1" "$root$1"; }
mkdir -p "$root"/{b,torch,tmp,dev,proc,sys,bin}
for tool in sh dirname df; do
    cp -L "$(command -v $tool)" "$root/bin/$tool"
    ldd "$root/bin/$tool" | grep -o '/[^ ]*' | while read -r library; do put "$library"; done
done
ldd "$program" | grep -o '/[^ ]*' | while read -r library; do
    [ -e "$bundle/lib/${library##*/}" ] || [ -e "$torch/lib/${library##*/}" ] || put "$library"
done
mkdir -p "$root/etc" && echo 'root:x:0:0:root:/:/bin/sh' >"$root/etc/passwd"
mount --bind "$bundle" "$root/b" || exit 77
[ ! -d "$torch" ] || mount --bind "$torch" "$root/torch"
for there in dev proc sys; do mount --rbind /$there "$root/$there"; done
[ "$(ls "$root/bin" | wc -l)" = 3 ]
env -i PATH=/bin:/usr/sbin LIBTORCH=/torch OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMP_NUM_THREADS=1 \
    "$(command -v chroot)" "$root" /bin/sh -c 'cd / && /b/polycosm doctor && /b/mpirun --oversubscribe -n 2 /b/polycosm doctor'
"#;

fn bundle(arguments: &[&Path]) -> mpi::Output {
    let mut script = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/bundle.sh"));
    script.args(arguments).env("XZ_OPT", "-0").env("POLYCOSM_BUNDLE_MB", "200");
    mpi::finish(script, Duration::from_secs(240))
}

#[test]
fn bundle_runs_where_nothing_is_installed() {
    let dir = tempfile::tempdir().unwrap();
    let [folder, root] = ["bundle", "root"].map(|name| dir.path().join(name));
    let program = Path::new(env!("CARGO_BIN_EXE_polycosm"));
    let made = bundle(&[program, &folder]);
    assert!(made.success && dir.path().join("bundle.tar.xz").exists(), "{}", made.text);
    let lib = |name: &str| std::fs::read_dir(folder.join("lib")).unwrap().flatten().any(|e| e.file_name() == name);
    assert!(lib("libfftw3.so.3") && !lib("libc.so.6") && !lib("libtorch_cpu.so"), "{}", made.text);

    let torch = std::env::var_os("LIBTORCH").unwrap_or_else(|| "/nowhere".into());
    let mut shell = Command::new("unshare");
    shell.args(["--map-root-user", "--mount", "bash", "-c", EMPTY]);
    shell.env("bundle", &folder).env("root", &root).env("torch", torch).env("program", program);
    let done = mpi::finish(shell, Duration::from_secs(120));
    if done.code == Some(77) || done.text.contains("unshare: ") {
        println!("not tried: this system lets nobody make a root of their own ({})", done.text.trim());
        return;
    }
    assert!(done.success, "{}", done.text);
    for ranks in ["1 rank(s)", "2 rank(s)"] {
        assert!(done.text.contains(ranks), "{}", done.text);
    }
    assert_eq!(done.text.matches("/b/lib/libfftw3.so.3").count(), 2, "{}", done.text);

    // Made again in the place of the one before; what is no bundle stays as it is.
    assert!(bundle(&[program, &folder]).success);
    let refused = bundle(&[program, dir.path()]);
    assert!(!refused.success && refused.text.contains("is no bundle") && folder.exists(), "{}", refused.text);
    let refused = bundle(&[&dir.path().join("none"), &folder]);
    assert!(!refused.success && refused.text.contains("there is no program"), "{}", refused.text);
}
