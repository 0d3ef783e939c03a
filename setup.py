"""Build the extension modules; everything else is in pyproject.toml.

`MP2_BUILD=debug` adds bounds checks and assertions, `MP2_BUILD=sanitize` also the address and
undefined-behaviour sanitizers, `MP2_BUILD=tsan` the thread sanitizer (see CONTRIBUTING.md for how
to run with them).
`MP2_REPOSITORY` is the address of the repository that a release is built from, to which the page of
the package index links.
"""

import os
import re
import shutil
import sys
import sysconfig
import tomllib
from glob import glob
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CCompilerError, CompileError, ExecError, LinkError, PlatformError

BUILD = os.environ.get("MP2_BUILD", "release")
if BUILD not in ("release", "debug", "sanitize", "tsan"):
    raise SystemExit(f"MP2_BUILD={BUILD!r} is not known; use release, debug, sanitize or tsan")
SANITIZERS = {"sanitize": ["-fsanitize=address,undefined"], "tsan": ["-fsanitize=thread"]}.get(
    BUILD, []
)
CHECKED = BUILD != "release"
# Cython supports no stable ABI for free-threaded interpreters yet: they get their own wheel.
ABI3 = not sysconfig.get_config_var("Py_GIL_DISABLED")
REPOSITORY = os.environ.get("MP2_REPOSITORY")
TAG = "v" + tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]

NO_COMPILER = """
mp2 could not compile its kernel: no working C compiler was found.
Install one and try again:
  Debian, Ubuntu:  apt-get install gcc libc6-dev
  Fedora:          dnf install gcc
  macOS:           xcode-select --install
  Windows:         the 'Desktop development with C++' workload of the Visual Studio Build Tools
"""


class BuildExt(build_ext):
    """build_ext that reports what to install when there is no compiler."""

    def finalize_options(self):
        super().finalize_options()
        # Each extension takes a minute, so both are compiled at once.
        self.parallel = self.parallel or True

    def build_extensions(self):
        # The interpreter's linker flags may name its own folder, which is unsafe on other machines.
        linker = getattr(self.compiler, "linker_so", [])
        self.compiler.linker_so = [arg for arg in linker if not arg.startswith("-Wl,-rpath")]
        super().build_extensions()

    def build_extension(self, ext):
        # Windows also has gcc and clang, which take the flags of other platforms.
        if self.compiler.compiler_type == "msvc":
            ext.extra_compile_args = ["/O2", "/fp:precise"]
        try:
            super().build_extension(ext)
        except (
            CCompilerError,
            CompileError,
            ExecError,
            LinkError,
            PlatformError,
            FileNotFoundError,
        ) as error:
            if self._has_compiler():
                raise
            raise SystemExit(f"{NO_COMPILER}(build error: {error})") from None

    def _has_compiler(self):
        command = getattr(self.compiler, "compiler", None)
        return command is None or shutil.which(command[0]) is not None


def compile_flags():
    # The score must be the same on every variant and platform: no fused multiply-add.
    flags = ["-ffp-contract=off", "-fno-math-errno", "-O1" if CHECKED else "-O3"]
    flags += ["-g", "-fno-omit-frame-pointer"] if CHECKED else ["-g0"]
    return [
        *flags,
        *SANITIZERS,
        *(["-fno-sanitize-recover=undefined"] if BUILD == "sanitize" else []),
    ]


def link_flags():
    if SANITIZERS:
        return SANITIZERS
    # Without stripping, the symbols make the wheel five times as large.
    return ["-Wl,-s"] if sys.platform == "linux" and not CHECKED else []


def extension(name):
    macros = [("MP2_CHECKED", "1")] if CHECKED else []
    return Extension(
        f"mp2.{name}",
        [f"src/mp2/{name}.pyx"],
        depends=[*glob("src/mp2/_kernel/*"), "src/mp2/_recurse.pxd"],
        define_macros=macros + ([("Py_LIMITED_API", "0x030B0000")] if ABI3 else []),
        py_limited_api=ABI3,
        extra_compile_args=compile_flags(),
        extra_link_args=link_flags(),
    )


def cythonized():
    from Cython.Build import cythonize

    # Divisors are never 0: without `cdivision` each division would have to check for it.
    directives = {"language_level": 3, "cdivision": True}
    directives |= {"boundscheck": CHECKED, "initializedcheck": CHECKED}
    return cythonize(
        [extension("_recurse"), extension("_replicates")],
        compiler_directives=directives,
        show_all_warnings=False,
        # C code of another MP2_BUILD in the tree is newer than its source, but wrong.
        force=True,
    )


def project_urls():
    if not REPOSITORY:
        return {}
    return {
        "Source": REPOSITORY,
        "Documentation": f"{REPOSITORY}/tree/{TAG}/docs",
        "Changelog": f"{REPOSITORY}/blob/{TAG}/CHANGELOG.md",
        "Issues": f"{REPOSITORY}/issues",
    }


def long_description():
    """The README; links to files lead to the repository, or are plain text without one."""
    readme = Path("README.md").read_text(encoding="utf-8")
    target = rf"[\1]({REPOSITORY}/blob/{TAG}/\2)" if REPOSITORY else r"\1"
    return re.sub(r"\[([^]]+)\]\((?!https?:|#)([^)]+)\)", target, readme)


setup(
    long_description=long_description(),
    long_description_content_type="text/markdown",
    project_urls=project_urls(),
    ext_modules=cythonized(),
    cmdclass={"build_ext": BuildExt},
    options={"build_ext": {"force": True}}
    | ({"bdist_wheel": {"py_limited_api": "cp311"}} if ABI3 else {}),
)
