# Shared by elsewhere.sh and its helpers: `. .ci/binary/common.sh ARCH SUITE`. Sets arch, suite,
# debian, cache, bare (a Debian as it comes), home (the one to build in), tools (one of this
# machine's processor, for what is compiled across).
cache=${GENBA_CACHE:-build/elsewhere}
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)
began=${began:-$(date +%s)}
export began

say() { printf '%4d s  %s\n' "$(($(date +%s) - began))" "$*" >&2; }
fail() { printf 'binary: %s\n' "$*" >&2; exit 1; }

case $arch in
    aarch64) debian=arm64 ;;
    x86_64) debian=amd64 ;;
    *) fail "ARCH is aarch64 or x86_64, not $arch." ;;
esac
case $suite in
    bookworm | bullseye) ;;
    *) fail "SUITE is bookworm or bullseye, not $suite." ;;
esac
[ "$(uname -m)" = x86_64 ] || fail "This needs a machine with x86_64. Here, plain 'make binary' makes the file for $(uname -m)."
[ "$(id -u)" = 0 ] || fail "Only root can make a system to build in: sudo make binary ARCH=$arch"
bare=$cache/$suite-$debian
home=$bare-build
tools=$cache/$suite-amd64-tools

need() {
    # Debian packages of this machine, installed where a program of theirs is missing.
    command -v "$1" >/dev/null 2>&1 && return
    shift
    say "Installing $* on this machine ..."
    apt-get update -qq >/dev/null 2>&1 || true
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" \
        >/dev/null 2>&1 || fail "$* could not be installed."
}

inside() {
    # A command in one of them, with nothing of this machine but its network.
    root=$1
    shift
    systemd-nspawn --quiet --register=no --keep-unit --pipe --as-pid2 -D "$root" \
        --resolv-conf=copy-host --timezone=off --setenv=DEBIAN_FRONTEND=noninteractive \
        --setenv=PATH=/opt/python/bin:/usr/sbin:/usr/bin:/sbin:/bin --setenv=LC_ALL=C.UTF-8 \
        --setenv=PIP_CACHE_DIR=/var/cache/pip --setenv=PIP_DISABLE_PIP_VERSION_CHECK=1 \
        --setenv=SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
        --setenv=PIP_CERT=/etc/ssl/certs/ca-certificates.crt "$@"
}

bare_system() {
    # Make a Debian: bare_system FOLDER ARCHITECTURE; whole or not at all.
    [ ! -d "$1" ] || return 0
    say "Making a bare $suite for $2 ..."
    rm -rf "$1.new"
    debootstrap --arch="$2" --variant=minbase "$suite" "$1.new" >"$1.log" 2>&1 ||
        fail "debootstrap failed; see $1.log."
    mv "$1.new" "$1"
}

fetched() {
    # Packages of Debian in FOLDER.new: fetched FOLDER WORD...
    name=$1
    shift
    inside "$name.new" sh -c "apt-get update -qq && apt-get install -y -qq --no-install-recommends $*" \
        >>"$name.log" 2>&1 || fail "apt-get failed there; see $name.log."
}

with_packages() {
    # A copy of a Debian with more in it: with_packages FROM TO PACKAGE...; ends as TO.new. They
    # are unpacked by this machine and not set up: under qemu that takes minutes, and what is
    # taken from there are files.
    from=$1 to=$2
    shift 2
    rm -rf "$to.new"
    cp -a "$from" "$to.new"
    fetched "$to" --download-only "$@"
    for file in "$to.new"/var/cache/apt/archives/*.deb; do
        # With tar's own links kept: /lib is one in a merged system, and dpkg-deb would replace it.
        dpkg-deb --fsys-tarfile "$file" | tar -x --keep-directory-symlink -C "$to.new"
        rm "$file"
    done
    chroot "$to.new" /sbin/ldconfig
}

source_copy() {
    # The sources of Genba, those that git knows and those it would: source_copy FOLDER.
    rm -rf "$1/src"
    mkdir "$1/src"
    git ls-files -z --cached --others --exclude-standard |
        tar --null --ignore-failed-read -c -T - | tar -x -C "$1/src"
}

# Before Debian 12 there was no Python 3.11: there it is compiled, across for other processors.
python_packages=
[ "$suite" = bullseye ] || python_packages="python3 python3-venv libpython3.11"
libraries="libgomp1 libssl1.1 libsqlite3-0 libffi7 zlib1g libbz2-1.0 liblzma5 libuuid1"
[ "$suite" = bullseye ] || libraries="libgomp1 libsqlite3-0"

tools_system() {
    # The Debian that compiles; made once.
    [ ! -d "$tools" ] || return 0
    bare_system "$cache/$suite-amd64" amd64
    say "Installing compilers in a $suite of this machine's processor ..."
    more=
    if [ "$suite" = bullseye ]; then
        more="dpkg-dev $(headers amd64)"
    fi
    # shellcheck disable=SC2086
    rm -rf "$tools.new"
    cp -a "$cache/$suite-amd64" "$tools.new"
    # shellcheck disable=SC2086
    fetched "$tools" ca-certificates build-essential crossbuild-essential-arm64 $python_packages $more
    if [ "$suite" = bullseye ]; then
        inside "$tools.new" dpkg --add-architecture arm64
        # shellcheck disable=SC2046
        fetched "$tools" $(headers arm64)
    fi
    # This machine's authorities: a registry may be behind one of them.
    cp -L /etc/ssl/certs/ca-certificates.crt "$tools.new/etc/ssl/certs/ca-certificates.crt"
    mv "$tools.new" "$tools"
}

headers() {
    # What Python is compiled against, for one processor.
    for name in libssl-dev libsqlite3-dev libffi-dev zlib1g-dev libbz2-dev liblzma-dev uuid-dev; do
        printf '%s:%s ' "$name" "$1"
    done
}
