"""Compiles the kernel in C where a wheel is built, and leaves it out where that cannot be."""

import os
import shlex
import subprocess
import sysconfig
import tempfile
import zlib
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# No contraction of a * b + c: which operations are fused is a part of the arithmetic. Errno and
# traps of floating-point operations, which would keep loops from being vectors, are not looked at.
FLAGS = ["-O3", "-std=c11", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]
FLAGS += ["-Wall", "-Wextra", "-Wno-psabi", "-shared", "-fPIC"]


SOURCES = [
    "softgrad_core/loss/kernels/direct.c",
    "softgrad_core/verification/screening.c",
]
"""What is compiled; each library belongs beside its source."""


def compilers() -> list[str]:
    """Return the commands to try: the one that is asked for, or Python's own and the usual ones."""
    if asked_for := os.environ.get("CC"):
        return [asked_for]
    return list(dict.fromkeys([sysconfig.get_config_var("CC") or "cc", "cc", "gcc", "clang"]))


def compiled(source: Path, library: Path) -> str:
    """Compile a library, and return why that failed; empty if it did not."""
    reasons = []
    for compiler in compilers():
        try:
            command = [*shlex.split(compiler), *FLAGS, "-o", str(library), str(source), "-lm"]
            subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
            return ""
        except (OSError, ValueError, subprocess.CalledProcessError) as error:
            reasons.append(f"{compiler}: {getattr(error, 'stderr', None) or error}")
    return "\n".join(reasons)


class KernelBuildHook(BuildHookInterface[Any]):
    """Has the libraries in the wheel of this platform, for any Python 3; else a wheel for all."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile the libraries, and say so to the builder."""
        self._folder = tempfile.TemporaryDirectory()
        included = {}
        for source in (Path(self.root, name) for name in SOURCES):
            # As softgrad_core.loss.library looks for it.
            place = source.with_name(f"_{source.stem}_{zlib.crc32(source.read_bytes()):08x}.so")
            library = Path(self._folder.name, place.name)
            if version == "editable":
                library = place
                for earlier in source.parent.glob(f"_{source.stem}_*.so"):
                    earlier.unlink()
            else:
                included[str(library)] = place.relative_to(self.root).as_posix()
            if why := compiled(source, library):
                self.app.display_warning(f"no compiled kernel, NumPy is used instead: {why}")
                return
        build_data["force_include"].update(included)
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform}"
