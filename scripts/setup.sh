#!/usr/bin/env bash
# Installs what polycosm needs on Debian 12 (or a relative) and what is missing, nothing else:
#   1. system packages: MPI, FFTW, parallel HDF5, OpenBLAS, libclang (for the bindings)
#   2. libtorch (CPU) in the user's cache folder, so that a second clone downloads nothing
#   3. .cargo/config.toml of this clone: where libtorch lies, and the processor's vector instructions
# Safe to run again at any time; takes well under a second when nothing is missing.
#
#   scripts/setup.sh            everything
#   scripts/setup.sh --no-torch only what the simulation binary needs (make sim)
#   scripts/setup.sh --python   what Python needs for tests/export.rs, into the same cache; without it they skip that part
#
# LIBTORCH=/path            use that libtorch (2.11.0) instead of downloading one
# POLYCOSM_CACHE=/path      where downloads are kept (default: ~/.cache/polycosm)
set -euo pipefail
cd "$(dirname "$0")/.."

TORCH_VERSION=2.11.0
CUPTI=nvidia-cuda-cupti==13.0.85
CUDART=nvidia-cuda-runtime==13.0.96
cache=${POLYCOSM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/polycosm}
want_torch=yes
[ "${1:-}" = "--no-torch" ] && want_torch=no

say() { printf 'setup: %s\n' "$*" >&2; }
die() { printf 'setup: error: %s\n' "$1" >&2; [ $# -gt 1 ] && printf 'setup: remedy: %s\n' "$2" >&2; exit 1; }

if [ "${1:-}" = "--python" ]; then
    packages="h5py numpy zarr pandas getdist astropy healpy xarray h5netcdf arviz"
    PYTHONPATH=$cache/python python3 -c "import ${packages// /, }" 2>/dev/null && exit 0
    rm -rf "$cache/python"
    say "fetching ${packages// /, } for Python (kept in $cache/python)"
    python3 -m pip install -q --retries 2 --timeout 20 --disable-pip-version-check --only-binary=:all: --target "$cache/python" $packages && exit 0
    rm -rf "$cache/python"
    die "they could not be fetched: tests/export.rs will not test what needs them" "check the network, or set POLYCOSM_PYTHON to a Python that has them"
fi

command -v cargo >/dev/null || die "cargo not found" "install Rust 1.89 or newer: curl https://sh.rustup.rs -sSf | sh"

# --- 1. system packages -------------------------------------------------------------------------
packages=(build-essential pkg-config libclang-dev libopenmpi-dev openmpi-bin
    libfftw3-dev libfftw3-mpi-dev libhdf5-openmpi-dev libopenblas-dev)
torch=${LIBTORCH:-$cache/libtorch-$TORCH_VERSION-cpu}
fetch_torch=no
[ $want_torch = yes ] && [ -z "${LIBTORCH:-}" ] && [ ! -e "$torch/build-version" ] && fetch_torch=yes
[ $fetch_torch = yes ] && ! python3 -m pip --version >/dev/null 2>&1 && packages+=(python3-pip) # it fetches libtorch
missing=()
if command -v dpkg-query >/dev/null; then
    for p in "${packages[@]}"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || missing+=("$p")
    done
else
    say "not a Debian-like system: expecting an MPI compiler, FFTW 3 (f32 and f64), parallel HDF5, OpenBLAS and libclang"
    command -v mpicc >/dev/null || die "mpicc not found" "load your cluster's MPI module"
fi
if [ ${#missing[@]} -gt 0 ]; then
    say "installing: ${missing[*]}"
    as_root=
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null && sudo -n true 2>/dev/null && as_root=sudo ||
            die "these packages are missing and need administrator rights: ${missing[*]}" \
                "ask your administrator for: apt-get install ${missing[*]}"
    fi
    log=$(mktemp)
    { $as_root apt-get update -q && DEBIAN_FRONTEND=noninteractive $as_root apt-get install -qy --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 || {
        tail -n 15 "$log" >&2
        die "apt-get could not install them (its log is $log)" \
            "without a network, or behind a proxy, install them by hand: apt-get install ${missing[*]}"
    }
    rm -f "$log"
fi

# --- 2. libtorch --------------------------------------------------------------------------------
if [ $want_torch = yes ] && [ -n "${LIBTORCH:-}" ]; then
    [ -e "$torch/lib/libtorch_cpu.so" ] || die "LIBTORCH=$torch holds no lib/libtorch_cpu.so" "unset LIBTORCH, or point it at libtorch $TORCH_VERSION"
elif [ $fetch_torch = yes ]; then
    python3 -m pip --version >/dev/null 2>&1 || die "python3 has no pip (it fetches libtorch's wheel)" "install python3 and pip"
    mkdir -p "$cache" 2>/dev/null && [ -w "$cache" ] || die "$cache cannot be written" "set POLYCOSM_CACHE to a folder you may write to"
    free=$(df -Pk "$cache" | awk 'NR == 2 { print int($4 / 1024) }')
    [ "$free" -ge 2000 ] || die "only $free MB are free in $cache; unpacking libtorch needs 2000" "make room, or set POLYCOSM_CACHE"
    work=$(mktemp -d "$cache/download.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    say "fetching libtorch $TORCH_VERSION (550 MB, kept in $cache)"
    python3 -m pip download -q --retries 2 --timeout 20 --disable-pip-version-check --no-deps --only-binary=:all: -d "$work" "torch==$TORCH_VERSION" "$CUPTI" "$CUDART" ||
        die "the wheels torch==$TORCH_VERSION, $CUPTI and $CUDART could not be fetched" \
            "check the network, or set LIBTORCH to a libtorch $TORCH_VERSION of your own; make sim builds without it"
    python3 - "$work" <<'PY'
import pathlib, shutil, sys, zipfile
work = pathlib.Path(sys.argv[1]); out = work / "libtorch"; (out / "lib").mkdir(parents=True)
libs = {"libtorch_cpu.so", "libc10.so", "libgomp.so.1"}
for wheel in work.glob("*.whl"):
    with zipfile.ZipFile(wheel) as z:
        for n in z.namelist():
            if n.endswith("/"):
                continue
            name = pathlib.PurePosixPath(n).name
            if n.startswith("torch/include/"):
                target = out / n.removeprefix("torch/")
            elif n.startswith("torch/lib/") and name in libs or name.startswith(("libcupti.so.13", "libcudart.so.13")):
                target = out / "lib" / name
            else:
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            with z.open(n) as a, open(target, "wb") as b:
                shutil.copyfileobj(a, b)
    wheel.unlink()
# libtorch_cpu.so needs no CUDA library beyond the two above; the wheel's own libtorch.so would ask for all.
(out / "lib" / "libtorch.so").write_text("INPUT ( libtorch_cpu.so )\n")

PY
    echo "$TORCH_VERSION" >"$work/libtorch/build-version"
    rm -rf "$torch"
    mv "$work/libtorch" "$torch"
fi

# --- 3. this clone's cargo settings -------------------------------------------------------------
mkdir -p .cargo
{
    echo "# Written by scripts/setup.sh for this machine; not under version control."
    vectors=
    if grep -qw avx2 /proc/cpuinfo 2>/dev/null && grep -qw fma /proc/cpuinfo; then
        vectors=x86-64-v3
        printf '[build]\nrustflags = ["-C", "target-cpu=x86-64-v3"]\n'
    fi
    if [ $want_torch = yes ] || [ -e "$torch/build-version" ]; then
        # Programs get an rpath from build.rs; documentation tests are linked by rustdoc, which does not see it.
        [ -z "$vectors" ] && echo '[build]'
        printf 'rustdocflags = ["-C", "link-arg=-Wl,-rpath,%s/lib"]\n' "$torch"
        printf '[env]\nLIBTORCH = "%s"\n' "$torch"
    fi
} >.cargo/config.toml.new
if cmp -s .cargo/config.toml.new .cargo/config.toml; then rm .cargo/config.toml.new; else mv .cargo/config.toml.new .cargo/config.toml; fi
