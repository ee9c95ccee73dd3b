"""A .pt file of tensors by name; they are kept in memory until the end."""

from typing import Any, BinaryIO

import numpy as np
import torch

from softgrad.outputs.arrays.npz import Array, Shapes


class TorchFile:
    """A .pt file that is written by PyTorch when all of it is known."""

    def __init__(self, file: BinaryIO, arrays: Shapes) -> None:
        self._file = file
        self._arrays = {name: np.empty(shape, dtype) for name, (shape, dtype) in arrays.items()}
        self._written = dict.fromkeys(arrays, 0)

    def write(self, name: str, data: Array) -> None:
        """Take what comes next in an array."""
        start = self._written[name]
        self._written[name] = start + data.size
        self._arrays[name].reshape(-1)[start : start + data.size] = data.reshape(-1)

    def close(self) -> None:
        """Write the tensors."""

        def tensor(array: Array) -> Any:
            if array.dtype == np.uint16:
                return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
            return torch.from_numpy(array)

        tensors = {name: tensor(array) for name, array in self._arrays.items()}
        try:
            torch.save(tensors, self._file)
        except RuntimeError as error:
            # PyTorch says where in the file it was, and hides why it could not go on.
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise
