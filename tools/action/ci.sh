#!/bin/sh
# The steps of a CI job that uses mintfs, on any runner. tools/action (GitHub, Forgejo) and
# tools/gitlab run them one after the other; they can also be run by hand.
#
# usage: ci.sh install | key | mend | build | mount | finish
#   install   unpacks the file MINTFS_TARBALL if there is no mintfs; prints the directory to add to
#             PATH. The tarball's Python package is in ../share/mintfs/python, relative to that.
#   key       prints and sets key, store, path and present. Cache path, which is templates/KEY. If
#             present is true, unpack nothing over it, since another job may be using it.
#   mend      removes the modes that mintfs refuses from files restored from a cache
#   build     finds the template or builds it; sets cache-hit, key and seconds-saved
#   mount     mounts the sessions if possible, else prints why sessions are copies
#   finish    writes the summary, and unmounts if this job has mounted (known from
#             MINTFS_CI_MOUNTED if the runner has GITHUB_ENV); MINTFS_CI_MAX_SIZE limits the store
#
# Values are also written to GITHUB_OUTPUT, if that is set. The environment provides
# MINTFS_CI_ARGUMENTS (the arguments of `mintfs build`: words and quotes as in a shell, without
# expansion; empty means mintfs.conf), MINTFS_CI_NAME, MINTFS_CI_KEY (a key that another job has
# computed), and for finish MINTFS_CI_HIT and MINTFS_CI_SECONDS (cache-hit and seconds-saved).
set -eu

# The checkout may belong to another user than the one that the job runs as, for example in a
# container. The job runs programs in the checkout anyway, so trust it.
checkout=${GITHUB_WORKSPACE:-${CI_PROJECT_DIR-}}
if [ -n "$checkout" ]; then
    export MINTFS_TRUST="${MINTFS_TRUST:-$checkout}"
fi

message() {
    printf 'mintfs: %s\n' "$*" >&2
}

set_output() { # NAME VALUE
    printf '%s=%s\n' "$1" "$2"
    if [ -n "${GITHUB_OUTPUT-}" ]; then
        printf '%s=%s\n' "$1" "$2" >>"$GITHUB_OUTPUT"
    fi
}

# Not with --json, which would escape a quote or a backslash in the path.
store_path() {
    mintfs config store
}

# run_with_arguments COMMAND: runs `mintfs COMMAND` with MINTFS_CI_ARGUMENTS. xargs splits them:
# quotes and backslashes work as in a shell, but nothing is expanded or run. Each word becomes a
# line that begins with an x, so that empty words are kept.
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
        message "\"$key\" is no key, which has 64 hexadecimal digits"
        exit 1
    fi
}

# Sets PYTHONPATH and MINTFS_TRUST for the following steps, and prints the command's directory.
export_to_later_steps() { # BIN
    python=${1%/bin}/share/mintfs/python
    if [ -d "$python" ]; then
        set_variable PYTHONPATH "$python${PYTHONPATH:+:$PYTHONPATH}"
    fi
    if [ -n "${MINTFS_TRUST-}" ]; then
        set_variable MINTFS_TRUST "$MINTFS_TRUST"
    fi
    printf '%s\n' "$1"
}

# A directory of that name may belong to another user, who could then choose what we run.
make_private() { # DIRECTORY
    mkdir -p "${1%/*}"
    if ! mkdir -m 700 "$1" 2>/dev/null &&
        [ -z "$(find "$1" -prune -type d -user "$(id -u)" -perm 0700)" ]; then
        message "$1 is not private to this user (mode 0700): remove it, or set RUNNER_TEMP"
        exit 1
    fi
}

check_that_it_runs() { # PROGRAM
    status=0
    output=$("$1" --version 2>&1) || status=$?
    printf '%s\n' "$output" >&2
    if [ "$status" -ne 0 ]; then
        libc=$(getconf GNU_LIBC_VERSION 2>/dev/null || echo "another C library")
        message "the mintfs in $MINTFS_TARBALL does not run on this machine ($(uname -m), $libc):" \
            "it needs the same processor as the machine where scripts/package made it, and its" \
            "glibc or a newer one"
        message "the Python package also works without the command: see its README"
        exit 1
    fi
}

install_step() {
    if command -v mintfs >/dev/null; then
        message "$(mintfs --version) is installed already"
        # It is on PATH already. As the first directory, /usr/bin would hide programs of the job.
        export_to_later_steps "$(dirname "$(command -v mintfs)")"
        return
    fi
    if [ ! -f "${MINTFS_TARBALL-}" ]; then
        message "no mintfs on PATH, and MINTFS_TARBALL (\"${MINTFS_TARBALL-}\") is not a file"
        exit 1
    fi
    place=${RUNNER_TEMP:-${TMPDIR:-/tmp}}/mintfs-bin-$(id -u)
    make_private "$place"
    tar -xzf "$MINTFS_TARBALL" -C "$place"
    check_that_it_runs "$place/bin/mintfs"
    if [ -n "${GITHUB_PATH-}" ]; then
        printf '%s\n' "$place/bin" >>"$GITHUB_PATH"
    fi
    export_to_later_steps "$place/bin"
}

key_step() {
    find_key
    store=$(store_path)
    case $store in
    *'
'*)
        message "the store's path contains a line break, which no output may: set MINTFS_STORE"
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

# Prints the seconds that building the template took, from its manifest.
build_seconds() {
    mintfs show --json "$1" | sed -n 's/^ *"build_time_ns": \([0-9]*\),\{0,1\}$/\1/p' |
        awk '{ printf "%.1f\n", $1 / 1e9 }'
}

build_step() {
    mend_step
    find_key
    hit=false seconds=0.0
    # A damaged template is not a hit, and is built again.
    if [ -d "$(store_path)/v1/templates/$key" ] && mintfs verify "$key" >/dev/null; then
        hit=true
        seconds=$(build_seconds "$key")
    fi
    if [ "$hit" = true ] && [ -n "${MINTFS_CI_KEY-}" ]; then
        # Do not even require the builder to be installed in this job.
        [ -z "${MINTFS_CI_NAME-}" ] || mintfs name "$MINTFS_CI_NAME" "$key"
    else
        built=$(run_with_arguments build)
        if [ "$built" != "$key" ]; then
            message "expected the key $key, but built $built: the jobs do not see the same inputs"
            exit 1
        fi
    fi
    set_output cache-hit "$hit"
    set_output key "$key"
    set_output seconds-saved "$seconds"
}

mount_step() {
    if [ "${MINTFS_BACKEND-}" = copy ]; then
        message "MINTFS_BACKEND=copy: sessions are copies"
        return
    fi
    status=0
    place=$(mintfs mount) || status=$?
    if [ "$status" -eq 0 ]; then
        message "mounted at $place"
        set_output mount "$place"
        set_variable MINTFS_CI_MOUNTED "$place"
    elif [ "$status" -eq 4 ]; then
        # Another job on this machine has mounted the store, and will unmount it.
        message "sessions are created on that mount"
    elif [ "${MINTFS_BACKEND-}" = fuse ]; then
        exit 1
    else
        message "sessions are copies"
        mintfs doctor >&2 || true
    fi
}

write_summary() {
    if [ "${MINTFS_CI_HIT-}" = true ]; then
        echo "mintfs: the template was found; ${MINTFS_CI_SECONDS:-?} s of migrations saved"
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
    # 3: nothing is mounted. If the mount is busy, a job whose tests have passed must not fail.
    if [ -z "${GITHUB_ENV-}" ] || [ -n "${MINTFS_CI_MOUNTED-}" ]; then
        status=0
        mintfs umount 2>/dev/null || status=$?
        case $status in
        0 | 3) ;;
        *) message "not unmounted: $(mintfs umount 2>&1 || true)" ;;
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
