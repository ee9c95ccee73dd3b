"""What is compiled reads and writes its own memory only, and its threads do not race."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import softgrad_core

PROGRAM = Path(__file__).parent.parent / "support" / "sanitized.py"
PACKAGE = Path(softgrad_core.__file__).parent
FLAGS = ["-O1", "-g", "-std=c11", "-ffp-contract=off", "-Wno-psabi", "-shared", "-fPIC"]
ENVIRONMENT = {
    "ASAN_OPTIONS": "detect_leaks=0",
    # A bug ends the run with this status.
    "TSAN_OPTIONS": "exitcode=66",
    # Python's own allocator would hide what is read beyond an array.
    "PYTHONMALLOC": "malloc",
}


@pytest.mark.sweep
@pytest.mark.parametrize(
    ("sanitizers", "library", "calls"),
    [("address,undefined", "libasan.so", 40), ("thread", "libtsan.so", 10)],
)
def test_a_sanitizer_finds_nothing_in_what_is_compiled(tmp_path, sanitizers, library, calls):
    shutil.copytree(PACKAGE, tmp_path / "softgrad_core")
    sanitize = [f"-fsanitize={sanitizers}", "-fno-sanitize-recover=all"]
    for source in tmp_path.rglob("*.c"):
        [built] = source.parent.glob(f"_{source.stem}_*.so")
        subprocess.run(["gcc", *FLAGS, *sanitize, "-o", built, source, "-lm"], check=True)
    found = subprocess.run(
        ["gcc", f"-print-file-name={library}"], capture_output=True, text=True, check=True
    )
    done = subprocess.run(
        [sys.executable, PROGRAM, str(calls), "2"],
        env={
            **os.environ,
            **ENVIRONMENT,
            "LD_PRELOAD": found.stdout.strip(),
            "PYTHONPATH": str(tmp_path),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(" calls\n")
