"""Schedulers and workers of Dask as processes, forked from one that has imported Dask already."""

import multiprocessing
import os
import signal
import sys
from functools import cache
from pathlib import Path
from typing import Any

IMPORTED = [
    "distributed.cli.dask_scheduler",
    "distributed.cli.dask_worker",
    "softgrad.running.cluster",
]


@cache
def _context() -> Any:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    return context


class Started:
    """A process of Dask and its children, as a context."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.process = _context().Process(target=_run, args=(str(folder), words))
        self.process.start()

    def __enter__(self) -> Any:
        return self.process

    def __exit__(self, *_: object) -> None:
        if self.process.is_alive():
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.join()


def _run(folder: str, words: tuple[str, ...]) -> None:
    """Be `dask` with these words, silently, in a folder and a group of processes of its own."""
    os.setsid()
    os.chdir(folder)
    silence = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(silence, descriptor)
    from dask.__main__ import main

    sys.argv = ["dask", *words]
    main()
