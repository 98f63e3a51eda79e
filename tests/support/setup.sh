#!/bin/sh
# setup.sh PYTHON DIR FILE: makes the virtual environment DIR with the packages that FILE pins. On
# Debian or Ubuntu as root it installs missing system packages; elsewhere it names them and stops.
set -eu
python=$1 venv=$2 requirements=$3

missing() {
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        echo "setup: installing $*" >&2
        apt-get update -qq >/dev/null && DEBIAN_FRONTEND=noninteractive DEBCONF_NOWARNINGS=yes apt-get install -y -qq --no-install-recommends "$@" >/dev/null
    else
        echo "setup: missing: $*. Install it (Debian, Ubuntu: sudo apt-get install $*), then run make again." >&2
        exit 1
    fi
}

command -v "$python" >/dev/null 2>&1 || missing python3 python3-venv
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "setup: $python is $("$python" -V 2>&1), but 3.11 or newer is needed: make PYTHON=python3.13 …" >&2
    exit 1
}
"$python" -c 'import ensurepip, venv' 2>/dev/null || missing python3-venv
"$venv/bin/python" -c '' 2>/dev/null || "$python" -m venv --clear "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$requirements" || {
    echo "setup: pip could not install $requirements: see its message above; is the network up?" >&2
    rm -rf "$venv"
    exit 1
}
