#!/usr/bin/env bash
# Puts the observations and reference posteriors of five tasks of sbibm 1.1.0 (Lueckmann et al. 2021, MIT licence) as
# CSV into the folder that it prints. The package is fetched from PyPI once, and only unpacked.
#
# POLYCOSM_CACHE=/path      where downloads are kept (default: ~/.cache/polycosm)
set -euo pipefail
VERSION=1.1.0
SHA256=12ecc6b4d327b92f9225f08faa6405e4274fb8e75943d86a53157d1b1bcfaf74
TASKS="two_moons slcp gaussian_linear gaussian_linear_uniform gaussian_mixture"
cache=${POLYCOSM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/polycosm}
folder=$cache/sbibm-$VERSION
if [ ! -e "$folder/whole" ]; then
    mkdir -p "$folder"
    python3 -m pip download -q --retries 2 --timeout 20 --disable-pip-version-check --no-deps --only-binary=:all: \
        --dest "$folder" "sbibm==$VERSION" >&2 || {
        printf 'sbibm: error: it could not be fetched\nsbibm: remedy: check the network and python3 -m pip\n' >&2
        exit 1
    }
    wheel=$folder/sbibm-$VERSION-py2.py3-none-any.whl
    printf '%s  %s\n' "$SHA256" "$wheel" | sha256sum --check --status || {
        printf 'sbibm: error: %s is not what its checksum says\nsbibm: remedy: remove it and try again\n' "$wheel" >&2
        exit 1
    }
    python3 - "$wheel" "$folder" $TASKS >&2 <<'PYTHON'
import bz2, pathlib, sys, zipfile
wheel, folder, *tasks = sys.argv[1:]
with zipfile.ZipFile(wheel) as package:
    for task in tasks:
        for i in range(1, 11):
            at = f"sbibm/tasks/{task}/files/num_observation_{i}/"
            to = pathlib.Path(folder, task)
            to.mkdir(exist_ok=True)
            (to / f"observation_{i}.csv").write_bytes(package.read(at + "observation.csv"))
            (to / f"reference_{i}.csv").write_bytes(bz2.decompress(package.read(at + "reference_posterior_samples.csv.bz2")))
PYTHON
    touch "$folder/whole"
fi
printf '%s\n' "$folder"
