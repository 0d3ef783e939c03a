#!/usr/bin/env bash
# Makes a command that runs Debian's Python for arm64 under emulation: `arm.sh FOLDER`, as root. It is
# FOLDER/python, used again when it is there. Nothing is installed on this machine.
set -euo pipefail
root=$1/root python=$1/python
[ -e "$python" ] && exit

rm -rf "$root" && mkdir -p "$root"
packages=python3.11,libpython3.11-stdlib,libexpat1,libsqlite3-0,libffi8,zlib1g,libssl3,libbz2-1.0,liblzma5
debootstrap --foreign --arch=arm64 --variant=minbase --include=$packages bookworm "$root" >/dev/null
for package in "$root"/var/cache/apt/archives/{lib,python3,zlib}*.deb; do
    dpkg -x "$package" "$root"
done
printf '#!/bin/sh\nexec qemu-aarch64-static -L %s %s/usr/bin/python3.11 "$@"\n' "$root" "$root" >"$python"
chmod +x "$python"
