"""Shells complete commands, options, formats and files."""

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.command import environment

pytestmark = pytest.mark.sweep

WORDS = {
    "softgrad ver": "verify",
    "softgrad verify --lik": "--like",
    "softgrad --format ht": "html",
    "softgrad -o r.npz logi": "logits.npy",
    "softgrad verify logi": "logits.npy",
}


ZSH = b"""autoload -U compinit; compinit -u; unsetopt beep
eval "$(softgrad --show-completion zsh)"; compdef _softgrad_completion softgrad; PS1='REA''DY'
"""
"""What a file that zsh reads at its start says."""


@pytest.fixture
def shell(tmp_path):
    """Return what runs a shell in a folder with one file."""
    (tmp_path / "logits.npy").touch()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {"cwd": tmp_path, "env": environment(PATH=path, HOME=str(tmp_path))}


def needed(name):
    if not shutil.which(name):
        pytest.skip(f"{name} is not installed")


def output_of(name, script, shell):
    words = [name, "-c", script]
    done = subprocess.run(words, capture_output=True, text=True, check=True, **shell)
    return done.stdout.splitlines()


@pytest.mark.parametrize("words", WORDS)
def test_bash_completes(shell, words):
    needed("bash")
    # Bash itself completes files where the function has nothing to say (-o default).
    script = f"""eval "$(softgrad --show-completion bash)"; COMP_WORDS=({words})
    COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _softgrad_completion softgrad
    echo ${{COMPREPLY[@]:-$(compgen -f -- ${{COMP_WORDS[COMP_CWORD]}})}}; complete -p softgrad"""
    out = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, check=True, **shell
    )
    assert out.stdout.splitlines()[0] == WORDS[words]
    assert "-o default" in out.stdout


@pytest.mark.parametrize("words", WORDS)
def test_fish_completes(shell, words):
    needed("fish")
    script = f"softgrad --show-completion fish | source; complete -C '{words}'"
    out = subprocess.run(
        ["fish", "-c", script], capture_output=True, text=True, check=True, **shell
    )
    assert [line.partition("\t")[0] for line in out.stdout.splitlines()] == [WORDS[words]]


def test_zsh_completes(shell):
    needed("zsh")
    terminal, of_shell = pty.openpty()
    with subprocess.Popen(
        ["zsh", "-f", "-i"],
        **shell,
        stdin=of_shell,
        stdout=of_shell,
        stderr=of_shell,
        start_new_session=True,
    ) as process:
        os.write(terminal, ZSH)
        _until(terminal, b"READY")
        for words, wanted in WORDS.items():
            os.write(terminal, f"{words}\t".encode())
            _until(terminal, wanted.encode())
            os.write(terminal, b"\x15")
        process.kill()
    os.close(of_shell)
    os.close(terminal)


def _until(terminal, end):
    """Read what a terminal shows up to some text."""
    shown, started = b"", time.monotonic()
    while end not in shown:
        assert time.monotonic() - started < 30, shown
        if select.select([terminal], [], [], 1)[0]:
            shown += os.read(terminal, 1 << 12)
