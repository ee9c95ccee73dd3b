"""Files of tensors that are damaged, or cannot be written to their end."""

import numpy as np
import pytest
from softgrad.exits import InputFailedError
from softgrad.inputs.arrays.source import ArrayOptions, open_arrays
from support.command import assert_full_disk_is_74

torch = pytest.importorskip("torch", reason="PyTorch is not installed")


@pytest.mark.parametrize("is_zip", [True, False])
def test_a_damaged_file_of_pytorch_is_refused(tmp_path, is_zip):
    tensors = {"logits": torch.arange(12.0).reshape(4, 3), "target": torch.tensor([0, 1, 2, 0])}
    torch.save(tensors, path := tmp_path / "x.pt", _use_new_zipfile_serialization=is_zip)
    whole = path.read_bytes()
    places = np.random.default_rng(6).integers(len(whole), size=60)
    damaged = [b"J", b"0", b"}{", *(whole[:place] for place in places)]
    damaged += [
        whole[:place] + bytes([255 - whole[place]]) + whole[place + 1 :] for place in places
    ]
    options, errors = ArrayOptions(None, {}, None, with_claims=False, names={}, axis=-1), []
    for data in damaged:
        path.write_bytes(data)
        try:
            list(open_arrays(str(path), options).blocks(5))
        except InputFailedError as error:
            errors.append(error)
    assert len(errors) > 60
    assert {error.status for error in errors} <= {3, 74}
    assert all(str(error).startswith(f"{path}: expected ") for error in errors)


@pytest.mark.parametrize("kind", ["safetensors", "pt"])
def test_a_disk_that_is_full_while_tensors_are_written_is_74(tmp_path, kind):
    assert_full_disk_is_74(tmp_path, kind)
