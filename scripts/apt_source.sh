# shellcheck shell=bash
# Debian's packages and source packages, for scripts that source lib.sh before this.
#
# Packages are installed as root. Source packages come from the Debian mirror that the machine's apt
# is configured with, signed by the key required there, through an apt configuration of our own: it
# reads the machine's settings, such as proxies, and writes nothing outside its directory.

as_root() {
    if [ "$EUID" -eq 0 ]; then
        env DEBIAN_FRONTEND=noninteractive "$@"
    else
        sudo -n env DEBIAN_FRONTEND=noninteractive "$@"
    fi
}

# sudo may ask for a password, but only on a terminal.
can_be_root() {
    [ "$EUID" -eq 0 ] && return
    command -v sudo >/dev/null || return
    sudo -n true 2>/dev/null || { [ -t 0 ] && sudo -v; }
}

missing_packages() {
    comm -13 <(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null |
        sed -n 's/^installed //p' | sort -u) <(printf '%s\n' "$@" | sort)
}

# If package lists cannot be fetched, the packages may still be available.
apt_install() {
    as_root apt-get -qq update || true
    as_root apt-get -qq -y --no-install-recommends -o DPkg::Lock::Timeout=300 install "$@"
}

install_packages() {
    local missing
    if ! command -v apt-get >/dev/null; then
        note "no apt-get here; the equivalents of these packages are needed: $*"
        return
    fi
    mapfile -t missing < <(missing_packages "$@")
    [ ${#missing[@]} -eq 0 ] && return
    can_be_root || die "packages are missing, and only root can install them:
    apt-get install ${missing[*]}"
    quietly apt_install "${missing[@]}" || die "not installed: ${missing[*]}"
}

# Prints the code name of the Debian release that runs here.
running_suite() {
    (. /etc/os-release && echo "${VERSION_CODENAME-stable}")
}

# Prints the address of a Debian mirror and the file of apt's configuration that names it.
# apt knows who publishes a list only after fetching it; before that, go by the release's name.
# shellcheck disable=SC2016 # it is apt that expands these
debian_mirror() {
    local ID='' VERSION_CODENAME=''
    . /etc/os-release
    {
        apt-get indextargets --format '$(ORIGIN)/$(LABEL)|$(REPO_URI)|$(SOURCESENTRY)'
        [ "$ID" != debian ] || apt-get indextargets --no-release-info \
            --format '$(RELEASE)|$(REPO_URI)|$(SOURCESENTRY)' |
            sed "s:^$VERSION_CODENAME|:Debian/Debian|:"
    } | awk -F'|' '$1 == "Debian/Debian" && !done++ { sub(/:[0-9]+$/, "", $3); print $2 "\n" $3 }'
}

# signed_by URI FILE: prints the Signed-By field that FILE has for URI: a key's file or a whole key,
# in either of apt's formats. Without such a field, apt's own keys are used.
signed_by() {
    local uri=${1%/} file=$2
    if [[ $file = *.sources ]]; then
        grep -v '^#' "$file"
    else
        sed -n 's/^deb[^[]*\[[^]]*signed-by=\([^] ]*\)[^]]*\] *\([^ ]*\).*/URIs: \2\nSigned-By: \1\n/p' \
            "$file"
    fi | awk -v uri="$uri" '
        function names(text, uri) { return index(text, uri " ") || index(text, uri "\n") }
        BEGIN { RS = ""; FS = "\n" }
        !done && (names($0 "\n", uri) || names($0 "\n", uri "/")) {
            for (i = 1; i <= NF; i++) {
                if ($i !~ /^[ \t]/) inside = tolower($i) ~ /^signed-by:/
                if (inside) print $i
            }
            done = 1
        }'
}

# write_apt_conf WORK URI SUITE KEY: a configuration for apt that reads only the machine's settings,
# such as proxies, and its keys, and writes only below WORK. Hooks that run after an update are off,
# because they would change the machine.
write_apt_conf() {
    local work=$1 uri=$2 suite=$3 key=$4
    mkdir -p "$work/apt/lists/partial" "$work/apt/cache/archives/partial"
    printf '%s\n' 'Types: deb-src' "URIs: $uri" "Suites: $suite" 'Components: main' \
        ${key:+"$key"} >"$work/apt/debian.sources"
    cat >"$work/apt/apt.conf" <<EOF
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
Dir::Etc::SourceList "$work/apt/debian.sources";
Dir::Etc::SourceParts "/dev/null";
Dir::State::Lists "$work/apt/lists";
Dir::Cache "$work/apt/cache";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowWeakRepositories "false";
Acquire::AllowDowngradeToInsecureRepositories "false";
Acquire::Languages "none";
Acquire::http::Timeout "20";
Acquire::https::Timeout "20";
APT::Get::AllowUnauthenticated "false";
// The user that apt changes to for downloads may not be able to reach the checkout.
APT::Sandbox::User "root";
EOF
}

# fetch_source WORK PACKAGE [AT_LEAST]: unpacks the newest source of PACKAGE into WORK/PACKAGE-*,
# and writes its Debian version to WORK/version. Fails if it is older than AT_LEAST. Call
# write_apt_conf first.
fetch_source() {
    local work=$1 package=$2 at_least=${3-} conf=$1/apt/apt.conf version
    apt-get -c "$conf" update || return
    version=$(apt-cache -c "$conf" showsrc --only-source "$package" | sed -n 's/^Version: //p' |
        sort -V | tail -n 1)
    echo "newest source package: ${version:-none}"
    [ -n "$version" ] && dpkg --compare-versions "$version" ge "${at_least:-0}" || return
    (cd "$work" && apt-get -c "$conf" source "$package=$version") || return
    echo "$version" >"$work/version"
}
