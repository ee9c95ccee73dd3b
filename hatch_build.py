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


KERNELS = "softgrad_core/loss/kernels"
"""Where the source is, and where the library belongs."""


def compilers() -> list[str]:
    """Return the commands to try: the one that is asked for, or Python's own and the usual ones."""
    if asked_for := os.environ.get("CC"):
        return [asked_for]
    return list(dict.fromkeys([sysconfig.get_config_var("CC") or "cc", "cc", "gcc", "clang"]))


class KernelBuildHook(BuildHookInterface[Any]):
    """Has the library in the wheel of this platform, for any Python 3; else a wheel for all."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile the library, and say so to the builder."""
        package = Path(self.root, KERNELS)
        source = package / "direct.c"
        # As softgrad_core.loss.kernels.direct looks for it.
        name = f"_direct_{zlib.crc32(source.read_bytes()):08x}.so"
        if version == "editable":
            for earlier in package.glob("_direct_*.so"):
                earlier.unlink()
            library = package / name
        else:
            self._folder = tempfile.TemporaryDirectory()
            library = Path(self._folder.name, name)
            build_data["force_include"][str(library)] = f"{KERNELS}/{name}"
        reasons = []
        for compiler in compilers():
            try:
                command = [*shlex.split(compiler), *FLAGS, "-o", str(library), str(source), "-lm"]
                subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
                break
            except (OSError, ValueError, subprocess.CalledProcessError) as error:
                reasons.append(f"{compiler}: {getattr(error, 'stderr', None) or error}")
        else:
            why = "\n".join(reasons)
            self.app.display_warning(f"no compiled kernel, NumPy is used instead: {why}")
            build_data["force_include"].pop(str(library), None)
            return
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform}"
