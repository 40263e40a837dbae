#!/bin/sh
# The steps of a CI job that uses mintfs, whichever runner it is: tools/action (GitHub, Forgejo) and
# tools/gitlab run this one after the other, and so can anybody by hand.
#
# usage: ci.sh install | key | mend | build | mount | finish
#   install   unpacks MINTFS_TARBALL (a file) where there is no mintfs; prints what PATH needs; the
#             Python package lies in ../share/mintfs/python from there, if it came in the tarball
#   key       prints and sets key, store, path and present: what is to be cached is path, templates/KEY
#             alone; where it is present, nothing may be unpacked over it, since a job may use it
#   mend      takes from what a cache brought back the modes that mintfs refuses
#   build     finds the template or builds it; sets cache-hit, key and seconds-saved
#   mount     mounts where that can be had; else says why sessions are copies
#   finish    writes the summary, takes the mount away if this job made it (MINTFS_CI_MOUNTED, where
#             there is GITHUB_ENV to tell); MINTFS_CI_MAX_SIZE limits the store
#
# What is set goes to GITHUB_OUTPUT as well, where there is one. From the environment come:
# MINTFS_CI_ARGUMENTS, those of `mintfs build` (words and quotes as in a shell, nothing expanded;
# none: mintfs.conf), MINTFS_CI_NAME, MINTFS_CI_KEY (a key that another job has computed), MINTFS_CI_HIT
# and MINTFS_CI_SECONDS (what build has set, for finish).
set -eu

# The checkout may belong to another user than the job runs as, in a container for example. The job
# runs what is in it anyway.
checkout=${GITHUB_WORKSPACE:-${CI_PROJECT_DIR-}}
if [ -n "$checkout" ]; then
    export MINTFS_TRUST="${MINTFS_TRUST:-$checkout}"
fi

say() {
    printf 'mintfs: %s\n' "$*" >&2
}

set_output() { # NAME VALUE
    printf '%s=%s\n' "$1" "$2"
    if [ -n "${GITHUB_OUTPUT-}" ]; then
        printf '%s=%s\n' "$1" "$2" >>"$GITHUB_OUTPUT"
    fi
}

# Not from --json: a quote or a backslash in the path would be escaped there.
store_path() {
    mintfs config store
}

# mintfs COMMAND with the arguments of the project. xargs splits them: quotes and backslashes mean
# what they do to a shell, and nothing is expanded or run. They come back a line each, behind an x
# that keeps empty ones.
run_with_arguments() {
    command=$1
    # shellcheck disable=SC2016 # for the inner shell
    words=$(printf '%s\n' "${MINTFS_CI_ARGUMENTS-}" | xargs sh -c 'for word; do printf "x%s\n" "$word"; done' sh)
    set --
    while IFS= read -r word; do
        [ -z "$word" ] || set -- "$@" "${word#x}"
    done <<END
$words
END
    if [ "$command" = build ] && [ -n "${MINTFS_CI_NAME-}" ]; then
        mintfs build -n "$MINTFS_CI_NAME" "$@"
    else
        mintfs "$command" "$@"
    fi
}

set_variable() { # NAME VALUE
    if [ -n "${GITHUB_ENV-}" ]; then
        printf '%s=%s\n' "$1" "$2" >>"$GITHUB_ENV"
    fi
}

find_key() { # sets key
    key=${MINTFS_CI_KEY-}
    [ -n "$key" ] || key=$(run_with_arguments key)
    case $key in
    *[!0-9a-f]*) bad=true ;;
    *) bad=false ;;
    esac
    if [ "$bad" = true ] || [ "${#key}" -ne 64 ]; then
        say "\"$key\" is no key: 64 digits"
        exit 1
    fi
}

# What Python and mintfs shall find in the steps after this one; prints where the command is.
announce() { # BIN
    python=${1%/bin}/share/mintfs/python
    if [ -d "$python" ]; then
        set_variable PYTHONPATH "$python${PYTHONPATH:+:$PYTHONPATH}"
    fi
    if [ -n "${MINTFS_TRUST-}" ]; then
        set_variable MINTFS_TRUST "$MINTFS_TRUST"
    fi
    printf '%s\n' "$1"
}

# A directory of that name may be another user's, who would then choose what we run.
make_own() { # DIRECTORY
    mkdir -p "${1%/*}"
    if ! mkdir -m 700 "$1" 2>/dev/null &&
        [ -z "$(find "$1" -prune -type d -user "$(id -u)" -perm 0700)" ]; then
        say "$1 is not this user's alone (mode 0700): remove it, or set RUNNER_TEMP"
        exit 1
    fi
}

see_it_run() { # PROGRAM
    status=0
    said=$("$1" --version 2>&1) || status=$?
    printf '%s\n' "$said" >&2
    if [ "$status" -ne 0 ]; then
        libc=$(getconf GNU_LIBC_VERSION 2>/dev/null || echo "another C library")
        say "the mintfs of $MINTFS_TARBALL does not run on this machine ($(uname -m), $libc): it wants" \
            "the processor and a glibc as new as those of the machine where scripts/package made it"
        say "without it, the Python package still gives databases: see its README"
        exit 1
    fi
}

install_step() {
    if command -v mintfs >/dev/null; then
        say "$(mintfs --version) is here already"
        # PATH leads there; put first, /usr/bin would hide what the job has set up.
        announce "$(dirname "$(command -v mintfs)")"
        return
    fi
    if [ ! -f "${MINTFS_TARBALL-}" ]; then
        say "no mintfs on PATH, and MINTFS_TARBALL (\"${MINTFS_TARBALL-}\") is no file"
        exit 1
    fi
    place=${RUNNER_TEMP:-${TMPDIR:-/tmp}}/mintfs-bin-$(id -u)
    make_own "$place"
    tar -xzf "$MINTFS_TARBALL" -C "$place"
    see_it_run "$place/bin/mintfs"
    if [ -n "${GITHUB_PATH-}" ]; then
        printf '%s\n' "$place/bin" >>"$GITHUB_PATH"
    fi
    announce "$place/bin"
}

key_step() {
    find_key
    store=$(store_path)
    case $store in
    *'
'*)
        say "the store's path has a line break in it, which no output can have: set MINTFS_STORE"
        exit 1
        ;;
    esac
    present=false
    [ ! -d "$store/v1/templates/$key" ] || present=true
    set_output key "$key"
    set_output present "$present"
    set_output store "$store"
    set_output path "$store/v1/templates/$key"
}

mend_step() {
    store=$(store_path)
    for directory in "$store" "$store/v1" "$store/v1/templates"; do
        if [ -d "$directory" ]; then
            chmod go-w "$directory"
        fi
    done
    if [ -d "$store/v1/templates" ]; then
        chmod -R go-w "$store/v1/templates"
    fi
}

# Prints the seconds that building took, as the template tells.
build_seconds() {
    mintfs show --json "$1" | sed -n 's/^ *"build_time_ns": \([0-9]*\),\{0,1\}$/\1/p' |
        awk '{ printf "%.1f\n", $1 / 1e9 }'
}

build_step() {
    mend_step
    find_key
    hit=false seconds=0.0
    # What is damaged is no hit, and is built anew.
    if [ -d "$(store_path)/v1/templates/$key" ] && mintfs verify "$key" >/dev/null; then
        hit=true
        seconds=$(build_seconds "$key")
    fi
    if [ "$hit" = true ] && [ -n "${MINTFS_CI_KEY-}" ]; then
        # The builder need not even be installed in this job.
        [ -z "${MINTFS_CI_NAME-}" ] || mintfs name "$MINTFS_CI_NAME" "$key"
    else
        built=$(run_with_arguments build)
        if [ "$built" != "$key" ]; then
            say "the key was to be $key, and is $built: the jobs do not see the same inputs"
            exit 1
        fi
    fi
    set_output cache-hit "$hit"
    set_output key "$key"
    set_output seconds-saved "$seconds"
}

mount_step() {
    if [ "${MINTFS_BACKEND-}" = copy ]; then
        say "MINTFS_BACKEND=copy: sessions are copies"
        return
    fi
    status=0
    place=$(mintfs mount) || status=$?
    if [ "$status" -eq 0 ]; then
        say "mounted at $place"
        set_output mount "$place"
        set_variable MINTFS_CI_MOUNTED "$place"
    elif [ "$status" -eq 4 ]; then
        # Another job of this machine has mounted the store, and takes it away.
        say "sessions are made on that mount"
    elif [ "${MINTFS_BACKEND-}" = fuse ]; then
        exit 1
    else
        say "sessions are copies"
        mintfs doctor >&2 || true
    fi
}

write_summary() {
    if [ "${MINTFS_CI_HIT-}" = true ]; then
        echo "mintfs: the template was there; ${MINTFS_CI_SECONDS:-?} s of migrations saved"
    else
        echo "mintfs: the template was built in this job"
    fi
    echo
    echo '```'
    mintfs stats 2>&1 || true
    echo '```'
}

finish_step() {
    if [ -n "${GITHUB_STEP_SUMMARY-}" ]; then
        write_summary >>"$GITHUB_STEP_SUMMARY"
    else
        write_summary
    fi
    # 3: none is mounted. What still uses it must not fail a job whose tests have passed.
    if [ -z "${GITHUB_ENV-}" ] || [ -n "${MINTFS_CI_MOUNTED-}" ]; then
        status=0
        mintfs umount 2>/dev/null || status=$?
        case $status in
        0 | 3) ;;
        *) say "the mount stays: $(mintfs umount 2>&1 || true)" ;;
        esac
    fi
    if [ -n "${MINTFS_CI_MAX_SIZE-}" ]; then
        mintfs gc --max-size "$MINTFS_CI_MAX_SIZE" >&2
    fi
}

case ${1-} in
install) install_step ;;
key) key_step ;;
mend) mend_step ;;
build) build_step ;;
mount) mount_step ;;
finish) finish_step ;;
*)
    sed -n '2,/^[^#]/{s/^# \{0,1\}//p;}' "$0" >&2
    exit 2
    ;;
esac
