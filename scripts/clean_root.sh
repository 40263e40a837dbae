# shellcheck shell=bash
# A fresh root of Debian's, for scripts that source lib.sh and apt_source.sh before this.

# make_clean_root ROOT SUITE PACKAGE,PACKAGE...: from the machine's own mirror, with its proxy
make_clean_root() {
    local root=$1 suite=$2 packages=$3 mirror proxy
    [ "$EUID" -eq 0 ] || die "only root can make a root"
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

# in_clean_root ROOT COMMAND...: mounts lie in a name space of their own, and end with its processes
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

running_suite() {
    (. /etc/os-release && echo "${VERSION_CODENAME-stable}")
}
