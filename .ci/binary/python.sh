#!/bin/sh
# Python 3.11 for a Debian that has none, as a tar of /opt/python: python.sh ARCH SUITE; prints its
# name. Compiled once in the Debian of that age from the source package of Debian 12.
set -eu
arch=$1 suite=$2
. .ci/binary/common.sh
made=$cache/python-$suite-$debian.tar
if [ ! -f "$made" ]; then
    tools_system
    if [ ! -d "$tools/opt/source" ]; then
        say "Fetching the source of Python ..."
        sed -n "s/^deb \(\S*\) .*/deb-src \1 bookworm main/p" "$tools/etc/apt/sources.list" \
            >"$tools/etc/apt/sources.list.d/source.list"
        rm -rf "$tools/opt/new"
        mkdir -p "$tools/opt/new"
        inside "$tools" --chdir=/opt/new sh -c \
            'apt-get update -qq && apt-get source -qq python3.11 && mv python3.11-*/ python' >&2
        mv "$tools/opt/new" "$tools/opt/source"
    fi
    say "Compiling Python for $arch ..."
    # The one for this machine comes first: the other one needs a Python to be made with.
    [ "$arch" = x86_64 ] || sh .ci/binary/python.sh x86_64 "$suite" >/dev/null
    across=
    [ "$arch" = x86_64 ] || across="--build=x86_64-linux-gnu --host=aarch64-linux-gnu \
        --with-build-python=/opt/python/bin/python3.11 ac_cv_file__dev_ptmx=yes ac_cv_file__dev_ptc=no \
        ac_cv_buggy_getaddrinfo=no"  # What could only be found out by running it.
    inside "$tools" --chdir=/opt sh -ec "
        mkdir -p build-$debian && cd build-$debian && rm -rf ../into-$debian
        [ -f Makefile ] || ../source/python/configure --prefix=/opt/python --enable-shared \
            --with-ensurepip=no --without-doc-strings LDFLAGS=-Wl,-rpath,/opt/python/lib $across
        make -s -j2
        make -s install DESTDIR=/opt/into-$debian
        rm -rf ../into-$debian/opt/python/lib/python3.11/test
    " >>"$cache/python-$debian.log" 2>&1 || fail "It failed; see $cache/python-$debian.log."
    [ "$arch" != x86_64 ] || cp -a "$tools/opt/into-amd64/opt/python" "$tools/opt/"
    tar -c -C "$tools/opt/into-$debian" -f "$made.new" opt/python
    mv "$made.new" "$made"
fi
echo "$made"
