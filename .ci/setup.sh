#!/bin/sh
# Makes the product's own environment. Usage: setup.sh FOLDER [EXTRA]
# Needs Python 3.11 or newer; what Debian or Ubuntu lacks is installed when we may.
set -eu

venv=$1
extra=${2:-}

fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

install() {
    # Install Debian packages when this user may; say nothing and go on when not.
    command -v apt-get >/dev/null 2>&1 || return 1
    if [ "$(id -u)" = 0 ]; then
        sudo=
    elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
        sudo="sudo -n"
    else
        return 1
    fi
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get update -qq >/dev/null 2>&1 || true
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" \
        >/dev/null 2>&1
}

find_python() {
    for name in python3 python3.13 python3.12 python3.11 python3.14; do
        if command -v "$name" >/dev/null 2>&1 &&
            "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            printf '%s' "$name"
            return 0
        fi
    done
    return 1
}

python=$(find_python) || {
    install python3 python3-venv || true
    python=$(find_python) || fail "Python 3.11 or newer is needed. Try: sudo apt-get install python3 python3-venv"
}

if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    printf 'Making the environment in %s ...\n' "$venv"
    "$python" -m venv "$venv" >/dev/null 2>&1 || {
        rm -rf "$venv"
        version=$("$python" -c 'import sys; print(f"{sys.version_info[0]}.{sys.version_info[1]}")')
        install python3-venv "python$version-venv" || install python3-venv || true
        "$python" -m venv "$venv" || fail "no environment could be made. Try: sudo apt-get install python3-venv"
    }
fi

printf 'Installing Genba and what it needs ...\n'
target=.
[ -z "$extra" ] || target=".[$extra]"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -e "$target" ||
    fail "pip could not install everything; see above. Is the package registry reachable?"

if [ "$extra" = dev ] && ! command -v cc >/dev/null 2>&1; then
    install gcc libc6-dev || printf 'No C compiler: the tests of power cuts need one.\n' >&2
fi
if [ "$extra" = dev ] && ! command -v chromium >/dev/null 2>&1; then
    printf 'Installing Chromium for the tests of the screens ...\n'
    install chromium || "$venv/bin/python" -m playwright install --with-deps chromium >/dev/null 2>&1 ||
        printf 'No browser: the tests of the screens are skipped. Try sudo apt-get install chromium\n' >&2
fi
if [ -z "$extra" ] && ! command -v mosquitto >/dev/null 2>&1 && [ ! -x /usr/sbin/mosquitto ]; then
    printf 'Installing mosquitto, the MQTT broker of the demonstration ...\n'
    install mosquitto || {
        printf 'mosquitto could not be installed; taking the broker amqtt from the Python registry.\n'
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -e '.[broker]' ||
            printf 'No MQTT broker: try sudo apt-get install mosquitto\n' >&2
    }
fi
