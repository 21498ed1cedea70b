#!/usr/bin/env bash
# A pair of distributed transforms (r2c + c2r) beside FFTW's own MPI transforms and, where Python has it, mpi4py-fft.
# The programs take turns, so that a disturbance hits all of them; the best of the rounds counts.
#
#   benches/peers/compare_fft.sh            MESHES="256 512" RANKS="1 2" ROUNDS=3 PRECISIONS="double single" are the defaults
set -euo pipefail
cd "$(dirname "$0")/../.."

MESHES=${MESHES:-256 512}; RANKS=${RANKS:-1 2}; ROUNDS=${ROUNDS:-3}; PRECISIONS=${PRECISIONS:-double single}
POLYCOSM=${POLYCOSM:-target/release/polycosm}
HERE=benches/peers; BUILT=target/peers
export OMP_NUM_THREADS=1

missing() { echo "$1" >&2; exit 2; }
[ -x "$POLYCOSM" ] || missing "$POLYCOSM is not built: run make build, or name the program in POLYCOSM"
command -v mpicc > /dev/null || missing "mpicc is missing: apt-get install libopenmpi-dev (or load your site's MPI module)"
mkdir -p "$BUILT"
build() { # name, flags, libraries
    mpicc -O3 $2 -o "$BUILT/$1" "$HERE/fftw_mpi.c" $3 -lm 2> "$BUILT/$1.log" \
        || missing "FFTW's MPI transforms are missing: apt-get install libfftw3-dev libfftw3-mpi-dev (see $BUILT/$1.log)"
}
build fftw_mpi_double "" "-lfftw3_mpi -lfftw3"
build fftw_mpi_single "-DSINGLE" "-lfftw3f_mpi -lfftw3f"

PYTHON=${PYTHON:-python3}
if "$PYTHON" -c 'import mpi4py_fft' 2> /dev/null; then MPI4PY=yes; else MPI4PY=; echo "mpi4py-fft is not there: left out"; fi
if [ "$(id -u)" = 0 ]; then export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1; fi
OVER=; mpirun --version 2> /dev/null | grep -q 'Open MPI' && OVER=--oversubscribe

on() { mpirun $OVER -n "$@"; }
field() { sed -n "s/^ *\"$1\": \([0-9.e-]*\),*$/\1/p" | head -n 1; }
best() { sort -g | head -n 1; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'; }

echo "load: $(cut -d ' ' -f 1 /proc/loadavg); seconds of a pair, best of $ROUNDS rounds; ratios are theirs over polycosm's"
printf '%-6s %-7s %-5s %10s %10s %12s %8s %8s %10s\n' mesh real ranks polycosm FFTW-MPI "… in place" ratio ratio mpi4py-fft
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
for mesh in $MESHES; do for precision in $PRECISIONS; do for ranks in $RANKS; do
    rm -f "$work"/*
    flag=; [ "$precision" = single ] && flag=--single
    for _ in $(seq "$ROUNDS"); do
        on "$ranks" "$POLYCOSM" bench fft --mesh "$mesh" $flag --json | field step_seconds >> "$work/own"
        on "$ranks" "$BUILT/fftw_mpi_$precision" "$mesh" 5 >> "$work/out"
        on "$ranks" "$BUILT/fftw_mpi_$precision" "$mesh" 5 in-place >> "$work/in"
        [ -z "$MPI4PY" ] || on "$ranks" "$PYTHON" "$HERE/mpi4py_fft_pair.py" "$mesh" 5 "${flag#--}" >> "$work/python"
    done
    own=$(best < "$work/own"); out=$(best < "$work/out"); in=$(best < "$work/in")
    python=; [ -z "$MPI4PY" ] || python=$(best < "$work/python")
    printf '%-6s %-7s %-5s %10.4f %10.4f %12.4f %8s %8s %10s\n' "$mesh" "$precision" "$ranks" "$own" "$out" "$in" \
        "$(ratio "$out" "$own")" "$(ratio "$in" "$own")" "${python:--}"
done; done; done
