"""Build the eight wheels of a release on one machine, for checks: `python .ci/cross.py WHEEL DIR`.

Takes the Python part from a wheel of this machine, whose build left the kernel's C code in `src`,
and compiles that for each platform by Zig (`pip install ziglang`); a warning is an error. Releases
are built by the compilers of the platforms. For Windows, CPYTHON_SOURCE is a folder with the source
of CPython, whose headers are needed; else those two are left out with a notice.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parent.parent
TARGETS = {
    "manylinux_2_17_x86_64": "x86_64-linux-gnu.2.17",
    "manylinux_2_17_aarch64": "aarch64-linux-gnu.2.17",
    "musllinux_1_2_x86_64": "x86_64-linux-musl",
    "musllinux_1_2_aarch64": "aarch64-linux-musl",
    "macosx_11_0_x86_64": "x86_64-macos.11.0",
    "macosx_11_0_arm64": "aarch64-macos.11.0",
    "win_amd64": "x86_64-windows-gnu",
    "win_arm64": "aarch64-windows-gnu",
}
"""The platform of a wheel and what Zig calls it."""

FLAGS = ["-O3", "-g0", "-ffp-contract=off", "-fno-math-errno", "-fPIC", "-shared"]
FLAGS += ["-DPy_LIMITED_API=0x030B0000", "-DNDEBUG", "-Wall", "-Wextra", "-Werror"]
CPYTHON = os.environ.get("CPYTHON_SOURCE")


def run(*command):
    """Run a command; its failure is an error."""
    subprocess.run([str(part) for part in command], check=True)


def windows_parts(folder, machine):
    """Return the flags for Windows: CPython's headers, and a library that leads to python3.dll."""
    source = Path(CPYTHON)
    (config,) = source.glob("PC/pyconfig.h*")
    shutil.copy(config, folder / "pyconfig.h")
    exported = re.findall(r"EXPORT_(FUNC|DATA)\((\w+)\)", (source / "PC/python3dll.c").read_text())
    lines = [f"{name} DATA" if kind == "DATA" else name for kind, name in exported]
    definition = folder / "python3.def"
    definition.write_text("\n".join(["LIBRARY python3.dll", "EXPORTS", *lines]) + "\n")
    library = folder / f"python3-{machine}.lib"
    names = {"x86_64": "i386:x86-64", "aarch64": "arm64"}
    dlltool = [sys.executable, "-m", "ziglang", "dlltool", "-m", names[machine]]
    run(*dlltool, "-d", definition, "-l", library)
    return [f"-I{folder}", f"-I{source}/Include", library]


def flags_of(target, folder):
    """Return what a target needs beyond FLAGS."""
    machine, system = target.split("-")[:2]
    if system == "windows":
        return [*windows_parts(folder, machine), "-s"]
    headers = f"-I{sysconfig.get_path('include')}"
    if system.startswith("macos"):
        # Names of the interpreter are found when it loads the module.
        return [headers, "-Wl,-undefined,dynamic_lookup"]
    return [headers, "-s"]


def build(wheel, platform, target, out):
    """Repack `wheel` for a platform with libraries compiled for it."""
    folder = out / platform
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    run(sys.executable, "-m", "wheel", "unpack", "-d", folder, wheel)
    (tree,) = folder.glob("mp2-*")
    for library in tree.glob("mp2/*.abi3.so"):
        name = library.name.partition(".")[0]
        suffix = ".pyd" if platform.startswith("win") else ".abi3.so"
        compiler = [sys.executable, "-m", "ziglang", "cc", "-target", target, *FLAGS]
        source = ROOT / "src" / "mp2" / f"{name}.c"
        library.unlink()
        more = [*flags_of(target, folder), "-o", library.with_name(name + suffix)]
        run(*compiler, f"-I{ROOT / 'src' / 'mp2'}", source, *more)
    (facts,) = tree.glob("*.dist-info/WHEEL")
    text = re.sub(
        r"^Tag: .*$", f"Tag: cp311-abi3-{platform}", facts.read_text(), flags=re.MULTILINE
    )
    facts.write_text(text)
    run(sys.executable, "-m", "wheel", "pack", "-d", out, tree)
    shutil.rmtree(folder)


def main(wheel, out, *platforms):
    """Build for the platforms named, or for all."""
    for platform, target in TARGETS.items():
        if platforms and platform not in platforms:
            continue
        if platform.startswith("win") and not CPYTHON:
            print(f"NOTICE: CPYTHON_SOURCE is not set, so {platform} was not built")
            continue
        build(wheel, platform, target, Path(out))


if __name__ == "__main__":
    main(*sys.argv[1:])
