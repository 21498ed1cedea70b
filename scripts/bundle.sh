#!/usr/bin/env bash
# Makes a folder, and an archive of it, with the program and the libraries that a node may lack: MPI with its launcher and plugins,
# HDF5, FFTW, OpenBLAS and what these need. To run where nothing can be installed: unpack it anywhere, then
#
#   polycosm-bundle/mpirun -n 4 polycosm-bundle/polycosm simulate run.toml
#
# Not in it: the C library (the node's must be no older than that of the machine that built the program) and libtorch, which
# is 550 MB: set LIBTORCH to the node's, of the same version, or run scripts/setup.sh there. A program of `make sim` needs none.
#
#   scripts/bundle.sh [PROGRAM] [FOLDER]    default: target/release/polycosm target/polycosm-bundle
#
# POLYCOSM_BUNDLE_MB=40     fails if the archive is larger
set -euo pipefail
start=$PWD
cd "$(dirname "$0")/.."

say() { printf 'bundle: %s\n' "$*" >&2; }
die() { printf 'bundle: error: %s\n' "$1" >&2; [ $# -gt 1 ] && printf 'bundle: remedy: %s\n' "$2" >&2; exit 1; }
at() { case $1 in /*) echo "$1" ;; *) echo "$start/$1" ;; esac; }

[ $# -le 2 ] || die "too many arguments" "give a program and a folder, or neither"
program=$PWD/target/release/polycosm
[ $# -ge 1 ] && program=$(at "$1")
folder=$PWD/target/polycosm-bundle
[ $# -eq 2 ] && folder=$(at "$2")
most=${POLYCOSM_BUNDLE_MB:-40}
case $most in '' | *[!0-9]*) die "POLYCOSM_BUNDLE_MB=$most is no whole number" ;; esac
for tool in ldd strip tar xz; do command -v $tool >/dev/null || die "$tool not found" "install binutils and xz-utils"; done
[ -x "$program" ] || die "there is no program $program" "run make build, or name another"
# Nothing but a bundle of before is removed.
[ ! -e "$folder" ] || [ -e "$folder/bin/polycosm" ] || die "$folder is there and is no bundle" "name another folder"
new=$folder.new.$$
trap 'rm -rf "$new"' EXIT
mkdir -p "$new"/{bin,lib,etc}

# Libraries that a file needs, as `name path`; not those of glibc or of libtorch.
needs() {
    local all
    all=$(ldd "$1") || die "the libraries of $1 cannot be listed"
    missing=$(awk '/not found/ { print $1 }' <<<"$all" | grep -v '^libtorch\|^libc10' || true)
    [ -z "$missing" ] || die "$1 needs $(echo $missing), not found here" "run scripts/setup.sh"
    awk '$2 == "=>" && $3 ~ /^\// && $1 !~ /^lib(c|m|dl|rt|pthread|util|resolv|torch[a-z_]*|c10|cupti|cudart)\.so/ { print $1, $3 }' <<<"$all"
}
# Copies them, stripped.
take() {
    needs "$1" | while read -r name path; do
        [ -e "$new/lib/$name" ] || { cp -L "$path" "$new/lib/$name" && strip --strip-unneeded "$new/lib/$name"; }
    done
}

cp -L "$program" "$new/bin/polycosm"
strip "$new/bin/polycosm"
take "$program"
plugins=no
if [ -e "$new/lib/libopen-rte.so.40" ]; then
    command -v ompi_info >/dev/null || die "ompi_info not found" "install Open MPI's programs (openmpi-bin)"
    where() { ompi_info --path "$1" --parsable | sed -n "s/^path:$1://p"; }
    plugins=$(where pkglibdir)
    [ -e "$plugins/mca_pml_ob1.so" ] || die "Open MPI's plugins are not in $plugins"
    for name in orterun orted; do
        cp -L "$(where bindir)/$name" "$new/bin/$name"
        take "$new/bin/$name"
        strip "$new/bin/$name"
    done
    mkdir -p "$new"/lib/{openmpi,pmix} "$new/share"
    cp -r "$(where pkgdatadir)" "$new/share/openmpi"
    # Plugins for networks whose libraries belong to a node's drivers stay out: shared memory and TCP are in.
    for plugin in "$plugins"/mca_*.so; do
        ldd "$plugin" | grep -qE 'libuc[pst]|libfabric|libpsm|libibverbs|librdma' && continue
        cp "$plugin" "$new/lib/openmpi/"
        take "$plugin"
        strip --strip-unneeded "$new/lib/openmpi/${plugin##*/}"
    done
    if pmix=$(ldd "$plugins/mca_pmix_ext3x.so" 2>/dev/null | awk '/libpmix/ { print $3 }') && [ -n "$pmix" ]; then
        for plugin in "$(dirname "$(readlink -f "$pmix")")"/pmix/*.so; do
            [ -e "$plugin" ] || continue
            cp "$plugin" "$new/lib/pmix/"
            take "$plugin"
            strip --strip-unneeded "$new/lib/pmix/${plugin##*/}"
        done
    fi
else
    say "the program's MPI is not Open MPI: its launcher is that of the node"
fi

cat >"$new/environment" <<'SH'
# Where this bundle's libraries lie; read by the commands beside it.
here=$(cd "$(dirname "$0")" && pwd)
LD_LIBRARY_PATH=$here/lib${LIBTORCH:+:$LIBTORCH/lib}${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
PATH=$here/bin:$PATH
export LD_LIBRARY_PATH PATH
if [ -d "$here/lib/openmpi" ]; then
    export OPAL_PREFIX="$here" OPAL_BINDIR="$here/bin" OPAL_LIBDIR="$here/lib" OPAL_PKGLIBDIR="$here/lib/openmpi"
    export OPAL_DATADIR="$here/share" OPAL_PKGDATADIR="$here/share/openmpi" OPAL_SYSCONFDIR="$here/etc"
    export PMIX_MCA_mca_base_component_path="$here/lib/pmix"
    # Without a way to start ranks on other nodes, mpirun begins none even here.
    command -v ssh >/dev/null || command -v rsh >/dev/null || command -v srun >/dev/null || export OMPI_MCA_plm=isolated
fi
SH
command='#!/bin/sh\n. "$(dirname "$0")/environment"\nexec "$here/bin/%s" "$@"\n'
printf "$command" polycosm >"$new/polycosm"
[ $plugins = no ] || printf "$command" orterun >"$new/mpirun"
chmod +x "$new"/{polycosm,mpirun} 2>/dev/null || chmod +x "$new/polycosm"

rm -rf "$folder"
mv "$new" "$folder"
archive=$folder.tar.xz
tar -C "$(dirname "$folder")" -cf - "$(basename "$folder")" | XZ_OPT=${XZ_OPT:--6} xz -T0 >"$archive.new"
mv "$archive.new" "$archive"
bytes=$(wc -c <"$archive")
say "$archive: $((bytes / 1000000)) MB, $(find "$folder/lib" -name '*.so*' | wc -l) libraries"
[ "$bytes" -le $((most * 1000000)) ] || die "the archive is larger than $most MB" "build without debug information, or set POLYCOSM_BUNDLE_MB"
