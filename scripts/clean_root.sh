# shellcheck shell=bash
# A fresh Debian root, for scripts that source lib.sh and apt_source.sh before this.

# parse_options ARGUMENT...: sets suite and packages from --suite and --packages.
# shellcheck disable=SC2034,SC2153
parse_options() {
    packages=$ROOT/build-packages
    suite=$(running_suite)
    while [ $# -gt 0 ]; do
        case $1 in
        -h | --help) usage && exit ;;
        --suite) suite=${2:?which suite?} && shift ;;
        --packages) packages=${2:?which directory?} && shift ;;
        *) bad_usage "unknown argument: $1" ;;
        esac
        shift
    done
}

# make_clean_root ROOT SUITE PACKAGE,PACKAGE...: from the machine's mirror, through its proxy
make_clean_root() {
    local root=$1 suite=$2 packages=$3 mirror proxy
    [ "$EUID" -eq 0 ] || die "only root can make a fresh Debian root"
    command -v debootstrap >/dev/null || die "debootstrap is missing: apt-get install debootstrap"
    mapfile -t mirror < <(debian_mirror 2>/dev/null)
    [ ${#mirror[@]} -eq 2 ] || die "apt knows no Debian mirror"
    chmod 755 "$root"
    proxy=$(apt-config shell proxy Acquire::http::Proxy | sed "s/^proxy='\(.*\)'$/\1/")
    [ -z "$proxy" ] || export http_proxy=$proxy
    quietly debootstrap --variant=minbase --include="$packages" "$suite" "$root" "${mirror[0]}" ||
        die "debootstrap failed"
    note "a fresh $suite: $(cat "$root/etc/debian_version")"
}

# in_clean_root ROOT COMMAND...: in its own mount namespace, whose mounts end with its processes
in_clean_root() {
    # shellcheck disable=SC2016 # the inner shell's $0 is the root
    unshare --mount --fork --pid --kill-child bash -ec '
        mount --make-rprivate /
        mount -t proc proc "$0/proc"
        mount --bind /dev "$0/dev"
        mount -t tmpfs tmpfs "$0/dev/shm" 2>/dev/null || true
        mount -t devpts devpts "$0/dev/pts" 2>/dev/null || true
        exec chroot "$0" "$@"' "$@"
}
