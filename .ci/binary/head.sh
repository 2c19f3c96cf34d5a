#!/bin/sh
# Genba @VERSION@ for @ARCH@, in one file: unpacks itself once, checks what it unpacked, runs it.
# Needs sh, tail, gzip, tar and sha256sum, which every Debian and Ubuntu has, and glibc @GLIBC@.
set -eu
name=@VERSION@-@HASH8@
if [ -n "${GENBA_HOME:-}" ]; then base=$GENBA_HOME
elif [ "$(id -u)" = 0 ]; then base=/opt/genba
else base=${XDG_CACHE_HOME:-$HOME/.cache}/genba; fi
home=$base/releases/$name
if [ ! -e "$home/.complete" ]; then
    say() { printf 'genba: %s\n' "$*" >&2; }
    if [ "$(uname -m)" != "@ARCH@" ]; then
        say "This file is for @ARCH@, and this machine is $(uname -m). Take the other file."; exit 1
    fi
    umask 022
    mkdir -p "$base/releases" || { say "$base cannot be written. Name another folder: GENBA_HOME=DIR $0"; exit 1; }
    say "Unpacking into $home (once) ..."
    work=$(mktemp -d "$base/releases/.new.XXXXXX")
    trap 'rm -rf "$work"' EXIT INT TERM
    tail -c +@OFFSET@ "$0" | head -c @LENGTH@ > "$work/payload"
    if [ "$(sha256sum < "$work/payload" | cut -d' ' -f1)" != "@SHA256@" ]; then
        say "This file is damaged: its checksum is another. Copy it again."; exit 1
    fi
    mkdir "$work/tree"
    gzip -dc "$work/payload" | tar -x -C "$work/tree" -f - || {
        say "It could not be unpacked. 400 MB of room are needed in $base."; exit 1; }
    rm "$work/payload"
    : > "$work/tree/.complete"
    chmod 755 "$work/tree"
    sync
    # Another one may have been faster; both are the same.
    mv -T "$work/tree" "$home" 2>/dev/null || [ -e "$home/.complete" ] || {
        say "$home is in the way. Remove it and start again."; exit 1; }
    rm -rf "$work"
    trap - EXIT INT TERM
fi
exec "$home/genba" "$@"
exit 1
