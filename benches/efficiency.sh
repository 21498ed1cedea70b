#!/usr/bin/env bash
# How well ranks share one universe: particle-mesh steps on 1, 2, 4 ranks (strong scaling), and one universe on two ranks against
# two programs of one rank side by side, each with a whole universe: those share the machine but exchange nothing, so half of
# their time is the best that two ranks could do with one. (Two universes of half the particles would have another mesh, whose
# length the FFT likes more or less.)
#
#   benches/efficiency.sh                   PARTICLES=128 MESH_FACTOR=2 RANKS="1 2 4" ROUNDS=3 are the defaults
set -euo pipefail
cd "$(dirname "$0")/.."

PARTICLES=${PARTICLES:-128}; MESH_FACTOR=${MESH_FACTOR:-2}; RANKS=${RANKS:-1 2 4}; ROUNDS=${ROUNDS:-3}
POLYCOSM=${POLYCOSM:-target/release/polycosm}
[ -x "$POLYCOSM" ] || { echo "$POLYCOSM is not built: run make build, or name the program in POLYCOSM" >&2; exit 2; }
CORES=$(nproc)
export OMP_NUM_THREADS=1
if [ "$(id -u)" = 0 ]; then export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1; fi
OVER=; mpirun --version 2> /dev/null | grep -q 'Open MPI' && OVER=--oversubscribe

field() { sed -n "s/^ *\"$1\": \([0-9.e-]*\),*$/\1/p" | head -n 1; }
best() { sort -g | head -n 1; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.3f", a / b }'; }
bench() { "$POLYCOSM" bench pm --particles "$1" --mesh-factor "$MESH_FACTOR" --json; }
step() { mpirun $OVER --bind-to none -n "$1" "$POLYCOSM" bench pm --particles "$PARTICLES" --mesh-factor "$MESH_FACTOR" --json | field step_seconds; }

work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
echo "cores: $CORES, load: $(cut -d ' ' -f 1 /proc/loadavg); $PARTICLES³ particles, mesh factor $MESH_FACTOR; best of $ROUNDS rounds"
for _ in $(seq "$ROUNDS"); do
    for ranks in $RANKS; do step "$ranks" >> "$work/$ranks"; done
    bench "$PARTICLES" | field step_seconds > "$work/left" & other=$!
    bench "$PARTICLES" | field step_seconds > "$work/right"
    wait $other
    sort -g "$work/left" "$work/right" | tail -n 1 >> "$work/pair" # the slower of the two
done
first=
for ranks in $RANKS; do
    seconds=$(best < "$work/$ranks"); first=${first:-$seconds}
    over=; [ "$ranks" -le "$CORES" ] || over=" (more ranks than cores)"
    printf '%s rank(s): %.4f s per step, %s times as fast as %s%s\n' \
        "$ranks" "$seconds" "$(ratio "$first" "$seconds")" "${RANKS%% *}" "$over"
done
if [ -f "$work/2" ]; then
    half=$(best < "$work/pair" | awk '{ print $1 / 2 }')
    printf 'two programs of one rank side by side: half of a step %.4f s; efficiency of 2 ranks: %s\n' \
        "$half" "$(ratio "$half" "$(best < "$work/2")")"
fi
