# shellcheck shell=bash disable=SC2034
# Functions that the scripts share. This file is sourced, not run.
#
# ROOT is the checkout. PYTHON is the distribution's interpreter, because the test tools are the
# distribution's packages: a pyenv or a virtual environment that is first on PATH lacks them.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
PYTHON=${PYTHON:-/usr/bin/python3}
OWN_FUSE=$ROOT/.deps/fuse3 # our own libfuse, where the system's is too old; see scripts/setup
ME=${0##*/}
export LC_ALL=C.UTF-8

note() {
    printf '%s: %s\n' "$ME" "$*" >&2
}

die() {
    note "$*"
    exit 1
}

# The comment at the top of a script is its help text.
usage() {
    sed -n '2,/^[^#]/{s/^# \{0,1\}//p}' "$0"
}

bad_usage() {
    note "$*"
    usage >&2
    exit 2
}

# compile BUILDDIR [TARGET]...: builds all, or only what those targets need.
compile() {
    ninja -C "$@" --quiet | sed '/^ninja: no work to do/d'
}

# Sets MINTFS to the binary to test: the one that the caller has named, else a new build.
provide_mintfs() {
    if [ -z "${MINTFS-}" ]; then
        "$ROOT/scripts/build"
        export MINTFS=$ROOT/build/mintfs
    fi
}

# Runs a command and shows its output only if it fails.
quietly() {
    local log status=0
    log=$(mktemp)
    "$@" >"$log" 2>&1 </dev/null || status=$?
    if [ "$status" -ne 0 ]; then
        cat "$log" >&2
        note "status $status from: $*"
    fi
    rm -f "$log"
    return "$status"
}
