#!/usr/bin/env bash
# Distributed r2c + c2r: polycosm and FFTW's own MPI transform, alternately on the same cores.
#
#     benches/peers/compare_fft.sh [ROUNDS]        RANKS=2 MESHES="256 512"
#
# Needs `make build` and FFTW's MPI library (Debian: libfftw3-mpi-dev).
set -euo pipefail
cd "$(dirname "$0")/../.."
rounds=${1:-3}
ranks=${RANKS:-2}
program=${PROGRAM:-target/release/polycosm}
[ -x "$program" ] || { echo "$program is not there: run make build" >&2; exit 2; }
[ "$(id -u)" != 0 ] || export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
mkdir -p target/peers
mpicc -O3 -o target/peers/fftw_f64 benches/peers/fftw_mpi.c -lfftw3_mpi -lfftw3 -lm ||
    { echo "install FFTW's MPI library: apt-get install libfftw3-mpi-dev" >&2; exit 2; }
mpicc -O3 -DSINGLE -o target/peers/fftw_f32 benches/peers/fftw_mpi.c -lfftw3f_mpi -lfftw3f -lm
number() { python3 -c "import json,sys; print(json.load(sys.stdin)['$1'])"; }
printf '%6s %5s %14s %14s %8s\n' mesh type 'polycosm (s)' 'FFTW-MPI (s)' ratio
for mesh in ${MESHES:-256 512}; do
    for type in f64 f32; do
        single=$([ "$type" = f32 ] && echo --single || true)
        for _ in $(seq "$rounds"); do
            # shellcheck disable=SC2086 -- an absent flag is no argument
            ours=$(mpirun -n "$ranks" "$program" bench fft --mesh "$mesh" $single --json | number step_seconds)
            theirs=$(mpirun -n "$ranks" "target/peers/fftw_$type" "$mesh")
            printf '%6s %5s %14.4f %14.4f %8.2f\n' "$mesh" "$type" "$ours" "$theirs" \
                "$(python3 -c "print($ours / $theirs)")"
        done
    done
done
