#!/bin/sh
# The single binary for another processor or for an older system: elsewhere.sh ARCH [SUITE]
#
#   ARCH   aarch64 or x86_64
#   SUITE  bookworm (glibc 2.36) or bullseye (glibc 2.31: JetPack 5 and 6, Ubuntu 20.04 and 22.04)
#
# PyInstaller takes the libraries of the system it runs on, so it runs in a Debian of that processor
# and age, a foreign one under qemu-user; what is in C is compiled across, which takes a tenth of
# the time. What comes out is tried in a second Debian that has no Python and no network.
# Needs root on Debian 12. What is slow is kept in build/elsewhere (or GENBA_CACHE): remove a
# folder there to make it anew.
set -eu
cd "$(dirname "$0")/../.."
arch=${1:?which processor: aarch64 or x86_64} suite=${2:-bookworm}
. .ci/binary/common.sh

need debootstrap debootstrap
need systemd-nspawn systemd-container
if [ "$arch" != "$(uname -m)" ]; then
    need qemu-aarch64-static qemu-user-static binfmt-support
    [ -e /proc/sys/fs/binfmt_misc/register ] ||
        mount -t binfmt_misc none /proc/sys/fs/binfmt_misc || fail "This kernel has no binfmt_misc."
    [ -e "/proc/sys/fs/binfmt_misc/qemu-$arch" ] || update-binfmts --enable "qemu-$arch" >/dev/null
fi

bare_system "$bare" "$debian"
if [ ! -d "$home" ]; then
    say "Installing what it takes to build there ..."
    # shellcheck disable=SC2086
    with_packages "$bare" "$home" binutils $libraries $python_packages
    [ "$suite" = bookworm ] || tar -x -C "$home.new" -f "$(sh .ci/binary/python.sh "$arch" "$suite")"
    mv "$home.new" "$home"
fi

source_copy "$home"
wheel=$(echo "$cache/wheels-$suite"/llama_cpp_python-*_"$arch".whl)
if [ ! -f "$wheel" ]; then
    tools_system
    [ "$suite" = bookworm ] || sh .ci/binary/python.sh x86_64 "$suite" >/dev/null
    say "Compiling llama.cpp ..."
    source_copy "$tools"
    mkdir -p "$cache/wheels-$suite"
    if inside "$tools" --chdir=/src sh -ec "
        python3 -m venv --clear /opt/venv
        /opt/venv/bin/python .ci/binary/llama.py $arch /opt/wheels" >&2; then
        cp "$tools/opt/wheels"/llama_cpp_python-*_"$arch".whl "$cache/wheels-$suite/"
        wheel=$(echo "$cache/wheels-$suite"/llama_cpp_python-*_"$arch".whl)
    else
        say "llama.cpp could not be compiled: local language models are not in this binary."
        wheel=
    fi
fi

made="$(cat pyproject.toml) $wheel"
if [ "$(cat "$home/opt/venv/.made" 2>/dev/null)" != "$made" ]; then
    say "Installing the libraries ..."
    rm -rf "$home/opt/venv"
    inside "$home" python3 -m venv --without-pip /opt/venv
    # All are wheels, so this machine's pip can unpack those of the other one.
    python3 -m venv build/pip
    build/pip/bin/python .ci/binary/wheels.py "$arch" "$suite" "$home/opt/venv" $wheel >&2
    echo "$made" >"$home/opt/venv/.made"
fi

say "Building ..."
inside "$home" --chdir=/src /opt/venv/bin/python .ci/binary/build.py >&2
mkdir -p dist
built=$(cd "$home/src/dist" && echo genba-*-"$arch")
name=$built
[ "$suite" = bookworm ] || name=$built-$suite
cp "$home/src/dist/$built" "dist/$name"

say "Trying it on a bare $suite without network ..."
trial=$(mktemp -d "$cache/trial.XXXXXX")
trap 'rm -rf "$trial"' EXIT INT TERM
cp -a "$bare" "$trial/root"
mkdir "$trial/root/trial"
cp "dist/$name" "$trial/root/trial/genba"
cp .ci/binary/selftest.sh tests/appliance/trial.flow.yaml "$trial/root/trial/"
inside "$trial/root" --private-network --chdir=/trial bash ./selftest.sh >&2
say "dist/$name is made and runs."
