"""Opens a file of arrays by the ending of its name."""

from collections.abc import Mapping

from softgrad.exits import Exit, InputFailedError
from softgrad.inputs.arrays.files import ArrayFile


def open_file(name: str, names: Mapping[str, str] | None = None) -> ArrayFile:
    """Open a file of arrays, or raise StoppedError; `names` are theirs by ours."""
    if name.endswith(".safetensors"):
        from softgrad.inputs.arrays.safetensors_files import open_safetensors as opened
    elif name.endswith((".pt", ".pth")):
        from softgrad.inputs.arrays.torch_files import open_torch as opened
    else:
        from softgrad.inputs.arrays.numpy_files import open_numpy as opened
    try:
        return opened(name).with_names(names or {})
    except OSError as error:
        raise InputFailedError(Exit.IO_FAILED, f"{name}: {error.strerror or error}") from None
