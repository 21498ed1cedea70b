#!/usr/bin/env bash
# How well ranks share one universe: particle-mesh steps on 1, 2, 4 ranks (strong scaling), and one step on two ranks against
# two programs of one rank side by side, each with half of the particles: those share the machine, but exchange nothing.
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
# Half of the particles: the side over the cube root of two, even, and times scaled to exactly one half.
half=$(awk -v n="$PARTICLES" 'BEGIN { print 2 * int(n / 2 / 2 ^ (1 / 3) + 0.5) }')

work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
echo "cores: $CORES, load: $(cut -d ' ' -f 1 /proc/loadavg); $PARTICLES³ particles, mesh factor $MESH_FACTOR; best of $ROUNDS rounds"
for _ in $(seq "$ROUNDS"); do
    for ranks in $RANKS; do step "$ranks" >> "$work/$ranks"; done
    bench "$half" | field step_seconds > "$work/left" & other=$!
    bench "$half" | field step_seconds > "$work/right"
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
    scaled=$(best < "$work/pair" | awk -v n="$PARTICLES" -v h="$half" '{ print $1 * n ^ 3 / 2 / h ^ 3 }')
    printf 'two programs of one rank, half of the work each, side by side: %.4f s; efficiency of 2 ranks: %s\n' \
        "$scaled" "$(ratio "$scaled" "$(best < "$work/2")")"
fi
