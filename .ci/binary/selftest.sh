#!/bin/bash
# Tries the single binary in the folder it lies in, on a machine that need have nothing else:
# bash selftest.sh. Says what it did; anything but 0 is a failure.
set -euo pipefail
genba=./genba
export GENBA_HOME=$PWD/home GENBA_STATE=$PWD/state HOME=$PWD
api=18780
page=18788

fail() { printf 'selftest: %s\n' "$*" >&2; [ ! -f run.log ] || tail -n 30 run.log >&2; exit 1; }

answer() {
    # The status and text of a page of this machine, without curl.
    { exec 3<>"/dev/tcp/127.0.0.1/$1"; } 2>/dev/null || return 1
    printf 'GET %s HTTP/1.0\r\nHost: 127.0.0.1:%s\r\n\r\n' "$2" "$1" >&3
    timeout 60 cat <&3
    exec 3>&-
}

until_answer() {
    # Wait until a page says it.
    for _ in $(seq 240); do
        if answer "$1" "$2" 2>/dev/null | tr -d '\r' | grep -q "$3"; then return 0; fi
        kill -0 "$running" 2>/dev/null || fail "genba run has ended."
        sleep 1
    done
    fail "$2 on port $1 has not said '$3' in time."
}

if command -v python3 >/dev/null; then echo "There is a Python here; a bare system proves more."; fi
printf 'glibc %s, %s\n' "$(ldd --version | head -n 1 | grep -o '[0-9.]*$')" "$(uname -m)"
$genba --version
$genba lint trial.flow.yaml
$genba test trial.flow.yaml
$genba run --port $api --listen "127.0.0.1:$page" trial.flow.yaml >run.log 2>&1 &
running=$!
trap 'kill $running 2>/dev/null || true' EXIT
began=$SECONDS
until_answer $api /readyz '^HTTP/1.1 200'
printf 'Ready after %d s.\n' $((SECONDS - began))
until_answer $page / 'HTTP/1.1 \(200\|30[0-9]\)'
printf 'The page is up after %d s.\n' $((SECONDS - began))
export GENBA_API=http://127.0.0.1:$api
for _ in $(seq 120); do
    if [ -n "$($genba alarms list --json)" ]; then break; fi
    sleep 1
done
$genba alarms list --json | grep -q trial/pressure || fail "No alarm was raised."
$genba status | grep -q 'they balance' || fail "The books do not balance."
$genba models list || fail "The models cannot be listed."
code=0
$genba doctor >doctor.log || code=$?
grep -qi 'clock' doctor.log || fail "genba doctor said nothing of the clock."
printf 'genba doctor ended with %d.\n' $code
kill -TERM $running
wait $running || fail "genba run ended with $?."
echo "All is well."
