"""Files of other tools: read without them and without running anything.

The files in ``nets/`` are PyTorch's own (`nets/make.py`), and so are the numbers beside them.
"""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytorch_files import Calls, Stored, archive, forged

from crossdyad import weights
from crossdyad.recipe import Recipe
from crossdyad.weights import files, pytorch

NETS = Path(__file__).parent / "nets"
EXPECTED = dict(np.load(NETS / "expected.npz"))
SMALL = Recipe(name="small", sizes=[4, 3, 2], lanes=[2, 2])


# Reading ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, near", [("net.pt", 0), ("checkpoint.pt", 0), ("views.pt", 0), ("net.safetensors", 0), ("bfloat16.pt", 2e-3)]
)
def test_tensors_are_those_that_pytorch_wrote(name, near):
    found = files.read(NETS / name, SMALL).named
    assert len(found) == 2
    for tensor, values in found.items():
        assert values.shape == EXPECTED[tensor].shape and np.abs(values - EXPECTED[tensor]).max() <= near, tensor


@pytest.mark.parametrize(
    "name, words",
    [
        ("whole.pt", "holds torch.nn.modules.container.Sequential, which is not read, since that could run code; .*state_dict"),
        ("old.pt", "from before PyTorch 1.6"),
    ],
)
def test_what_is_no_state_dict_is_told_with_the_remedy(name, words):
    with pytest.raises(ValueError, match=f"{name}: .*{words}"):
        files.read(NETS / name, SMALL)


@pytest.mark.parametrize(
    "call_of",
    [
        lambda mark: Calls(os.system, f"touch {mark}"),
        lambda mark: Calls(eval, f"open({str(mark)!r}, 'w')"),
        lambda mark: Calls(pickle.loads, pickle.dumps(Calls(os.system, f"touch {mark}"))),
        lambda mark: Calls(getattr, "text", "lower"),
    ],
)
def test_nothing_of_a_pickle_is_run(call_of, tmp_path):
    mark = tmp_path / "mark"
    path = archive(tmp_path / "net.pt", pickle.dumps({"0.weight": call_of(mark)}, protocol=2), {})
    with pytest.raises(ValueError, match="is not read, since that could run code"):
        pytorch.read(path)
    assert not mark.exists()


def test_a_forged_tensor_is_a_tensor(tmp_path):
    path = archive(tmp_path / "net.pt", forged(a=((1, (2, 2), (2, 1)), Stored(5))), {"0": np.arange(5, dtype="<f4").tobytes()})
    assert pytorch.read(path)["a"].tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    "tensor, stored",
    [
        ((0, (3, 2), (2, 1)), Stored(5)),
        ((2, (2, 2), (2, 1)), Stored(5)),
        ((-1, (2, 2), (2, 1)), Stored(5)),
        ((0, (2, 2), (-1, 1)), Stored(5)),
        ((0, (1 << 40, 1 << 40), (0, 0)), Stored(5)),
        ((0, (2, 2), (2,)), Stored(5)),
        ((0, (2, 2), (2, 1)), Stored(6)),
        ((0, (2, 2), (2, 1)), Stored(5, key="../0")),
        ((0, (2, 2), (2, 1)), Stored(5, key="1")),
    ],
)
def test_a_tensor_beyond_its_storage_is_refused(tensor, stored, tmp_path):
    path = archive(tmp_path / "net.pt", forged(a=(tensor, stored)), {"0": np.arange(5, dtype="<f4").tobytes()})
    with pytest.raises(ValueError, match="net.pt: "):
        pytorch.read(path)


@given(st.data())
def test_a_spoiled_file_is_told_or_read(tmp_path_factory, data):
    """Whatever a byte is turned into; never another kind of error."""
    name = data.draw(st.sampled_from(["net.pt", "net.safetensors", "checkpoint.pt"]))
    raw = bytearray((NETS / name).read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("spoiled") / name
    path.write_bytes(raw[: data.draw(st.integers(0, len(raw)))] if data.draw(st.booleans()) else raw)
    try:
        files.read(path, SMALL)
    except ValueError as error:
        assert str(error).startswith(str(path))


@pytest.mark.parametrize("name", ["net.onnx", "net", "net.txt"])
def test_files_of_another_kind_are_refused(name, tmp_path):
    with pytest.raises(ValueError, match=r"allowed are \.pt, \.pth"):
        weights.load(SMALL, tmp_path / name)
