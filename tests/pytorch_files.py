"""Files as PyTorch writes them, made without it."""

import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

from crossdyad.weights import pytorch


def archive(path: Path, pickled: bytes, storages: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("net/data.pkl", pickled)
        for key, raw in storages.items():
            file.writestr(f"net/data/{key}", raw)
    return path


class Stored:
    """A storage, written as PyTorch names one."""

    def __init__(self, count: int, kind: str = "FloatStorage", key: str = "0"):
        self.id = "storage", kind, key, "cpu", count


class Calls:
    """Pickles as a call of a function."""

    def __init__(self, function, *arguments):
        self.what = function, arguments

    def __reduce__(self):
        return self.what


def forged(**tensors: tuple[tuple, Stored]) -> bytes:
    """The pickle of a state_dict: by name the offset, size and stride of a tensor, and its storage."""
    import io
    import sys
    import types

    fake, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    exec("def _rebuild_tensor_v2(*a): pass", utils.__dict__)
    utils._rebuild_tensor_v2.__module__ = "torch._utils"
    kinds = {name: type(name, (), {"__module__": "torch"}) for name in pytorch.TYPES}
    fake.__dict__.update(kinds, _utils=utils)

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            return (value.id[0], kinds[value.id[1]], *value.id[2:]) if isinstance(value, Stored) else None

    before = {name: sys.modules.get(name) for name in ("torch", "torch._utils")}
    sys.modules.update({"torch": fake, "torch._utils": utils})
    try:
        out = io.BytesIO()
        Pickler(out, protocol=2).dump(
            {name: Calls(utils._rebuild_tensor_v2, stored, *tensor, False, OrderedDict()) for name, (tensor, stored) in tensors.items()}
        )
        return out.getvalue()
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
