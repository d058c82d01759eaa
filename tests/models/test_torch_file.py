import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from busi_keras.models.torch_file import MAGIC, read_state_dict


def stored(path: Path, tensors: dict[str, torch.Tensor], zipped: bool = False) -> Path:
    torch.save(tensors, path, _use_new_zipfile_serialization=zipped)
    return path


def test_the_tensors_are_those_that_pytorch_wrote(tmp_path: Path) -> None:
    whole = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)
    tensors = {
        "kernel": whole,
        "turned": whole.permute(2, 0, 1),
        "part": whole[1, 1:],
        "steps": torch.tensor(7),
        "nothing": torch.empty(0, 3),
    }
    read = read_state_dict(stored(tmp_path / "weights.pth", tensors))
    assert list(read) == list(tensors)
    for name, tensor in tensors.items():
        assert read[name].dtype == tensor.numpy().dtype
        np.testing.assert_array_equal(read[name], tensor.numpy())


def test_what_is_no_such_file_is_refused_in_a_sentence(tmp_path: Path) -> None:
    tensors = {"kernel": torch.ones(100)}
    whole = stored(tmp_path / "whole.pth", tensors).read_bytes()
    torn = {f"torn-{size}.pth": whole[:size] for size in range(0, len(whole), 40)}
    for name, content in {**torn, "text.pth": b"no weights", "number.pth": pickle.dumps(MAGIC)}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=rf"{name} holds no state dict of PyTorch before 1\.6"):
            read_state_dict(tmp_path / name)
    with pytest.raises(ValueError, match=r"zipped\.pth holds no state dict"):
        read_state_dict(stored(tmp_path / "zipped.pth", tensors, zipped=True))


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    made = tmp_path / "made"

    class Harmful:
        def __reduce__(self) -> tuple:
            return Path.touch, (made,)

    (tmp_path / "harmful.pth").write_bytes(pickle.dumps(Harmful()))
    with pytest.raises(ValueError, match="it asks for"):
        read_state_dict(tmp_path / "harmful.pth")
    assert not made.exists()
