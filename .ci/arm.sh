#!/usr/bin/env bash
# Tests of the kernel and the demo on an emulated aarch64: `arm.sh FOLDER WHEEL [PYTEST ARGUMENT]...`.
# Debian's Python for arm64 is unpacked into FOLDER, nothing is installed on this machine. FOLDER is
# used again when it is there.
set -euo pipefail
root=$1/root site=$1/site wheel=$2 source=$(cd "$(dirname "$0")/.." && pwd)
shift 2

if [ ! -e "$site" ]; then
    rm -rf "$root" && mkdir -p "$root"
    packages=python3.11,libpython3.11-stdlib,libexpat1,libsqlite3-0,libffi8,zlib1g,libssl3,libbz2-1.0,liblzma5
    debootstrap --foreign --arch=arm64 --variant=minbase --include=$packages bookworm "$root" >/dev/null
    for package in "$root"/var/cache/apt/archives/{lib,python3,zlib}*.deb; do
        dpkg -x "$package" "$root"
    done
    platforms=()
    for glibc in 2_28 2_27 2_24 2_17; do platforms+=(--platform "manylinux_${glibc}_aarch64"); done
    python -m pip install -q --target "$site.part" "${platforms[@]}" --platform manylinux2014_aarch64 \
        --python-version 3.11 --implementation cp --abi cp311 --abi abi3 --abi none --only-binary=:all: \
        "numpy>=2.0" "polars>=2.0" "narwhals>=2.0" "click>=8.4.2" "rich>=14.0" "TA-Lib>=0.6.5" \
        "pydantic>=2.11" "orjson>=3.10" "backports.zstd>=1.0" "pytest>=8.4" "hypothesis>=6.130" "pytest-timeout>=2.4"
    mv "$site.part" "$site"
fi
rm -rf "$site"/mp2*
python -m zipfile -e "$wheel" "$site"

# Tests start `sys.executable`, which the system cannot run by itself: it is a script here.
python=$(dirname "$root")/python
printf '#!/bin/sh\nexec qemu-aarch64-static -L %s %s/usr/bin/python3.11 "$@"\n' "$root" "$root" >"$python"
chmod +x "$python"
echo "import sys; sys.executable = '$python'" >"$site/sitecustomize.py"
export PYTHONPATH=$site PYTHONDONTWRITEBYTECODE=1

cd "$(mktemp -d)"
cp -r "$source/tests" "$source/pyproject.toml" .
"$python" -m mp2 doctor
if [ $# -gt 0 ]; then
    exec "$python" -m pytest -q -p no:cacheprovider --timeout=1800 "$@"
fi
"$python" -m pytest -q -p no:cacheprovider --timeout=1800 tests/kernel tests/oracle/test_golden.py
"$python" tests/oracle/differential.py --minutes 2
"$python" -m mp2 demo --budget 20s
