#!/usr/bin/env bash
# Makes .venv in the current directory and installs densezoo with its development tools, at the versions of
# constraints.txt. Says which system package is missing before anything is downloaded.
# `make .venv` runs it; PYTHON chooses the interpreter, else the first of python3.13 … python3 that is 3.11 to 3.13.
set -euo pipefail

fail() {
    printf 'densezoo: %s\n' "$@" >&2
    exit 2
}

# Running it is the only sure test: a name on the PATH may be a shim for a Python that is not switched on.
in_range() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}

version_of() {
    "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null
}

makes_environments() {
    "$1" -c 'import ensurepip, venv; ensurepip.version()' >/dev/null 2>&1
}

# Whether the dynamic linker finds these libraries, for the interpreter given first.
loads() {
    "$1" -c 'import ctypes, sys; [ctypes.CDLL(name) for name in sys.argv[1:]]' "${@:2}" 2>/dev/null
}

candidates=${PYTHON:-python3.13 python3.12 python3.11 python3}

# The first Python in range that can make environments; else the first in range.
find_python() {
    local name first=''
    for name in $candidates; do
        in_range "$name" || continue
        if makes_environments "$name"; then
            echo "$name"
            return
        fi
        first=${first:-$name}
    done
    echo "$first"
}

# An environment that was finished once is brought up to date, unless PYTHON asks for another version. One that was
# not is made anew: pip can take a package that it was interrupted at for an installed one.
keep=no
if [ -e .venv/installed ] && in_range .venv/bin/python; then
    if [ -z "${PYTHON:-}" ] || [ "$(version_of "$PYTHON")" = "$(version_of .venv/bin/python)" ]; then
        keep=yes
    fi
fi

if [ "$keep" = yes ]; then
    python=.venv/bin/python
else
    python=$(find_python)
    [ -n "$python" ] || fail "found no Python 3.11, 3.12 or 3.13 (tried: $candidates)." \
        "Install one, or name it: make PYTHON=/path/to/python3.12 …"
fi
version=$(version_of "$python")

missing=()
messages=()
if [ "$keep" = no ] && ! makes_environments "$python"; then
    missing+=("python$version-venv")
    messages+=("$python ($version) cannot make virtual environments: python3-venv (python$version-venv) is missing.")
fi
if [ "$(uname -s)" = Linux ]; then
    # What the opencv-python wheel takes from the system: its Qt links to these and the wheel does not bundle them.
    if ! loads "$python" libGL.so.1; then
        missing+=(libgl1)
        messages+=("OpenCV needs libGL.so.1: libgl1 is missing.")
    fi
    if ! loads "$python" libglib-2.0.so.0 libgthread-2.0.so.0; then
        missing+=(libglib2.0-0)
        messages+=("OpenCV needs libglib-2.0.so.0 and libgthread-2.0.so.0: libglib2.0-0 is missing.")
    fi
fi
if [ ${#missing[@]} -gt 0 ]; then
    fail "${messages[@]}" "On Debian and Ubuntu: sudo apt-get install ${missing[*]}"
fi

export PIP_DISABLE_PIP_VERSION_CHECK=1
install=(.venv/bin/python -m pip install --constraint constraints.txt --editable '.[dev]')
if [ "$keep" = yes ]; then
    rm -f .venv/installed
    install+=(--quiet)
else
    echo "densezoo: making .venv with $python ($version); the packages take about 6 GB"
    rm -rf .venv
    "$python" -m venv .venv
fi
"${install[@]}"
.venv/bin/python -c 'import cv2, torch; print(f"densezoo: .venv is ready: torch {torch.__version__}, OpenCV {cv2.__version__}")'
touch .venv/installed
