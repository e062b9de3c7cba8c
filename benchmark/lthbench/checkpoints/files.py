"""Weights from files that others wrote: safetensors, or torch's own format, of which only tensors are read.

Nothing is unpickled that could run code: ``torch.load`` is told ``weights_only``. Objects beside the tensors,
such as a script's arguments, are passed over: an empty record stands in for each.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import io
import re
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.torch
import torch
from torch import nn

from lthbench import masks
from lthbench.checkpoints import googlenet, modules, other_formats, pickles, quantised
from lthbench.checkpoints.contents import (
    TENSORS,
    Checkpoint,
    Record,
    Tensors,
    check_names,
    opened,
    together,
    too_many,
)
from lthbench.errors import BadInput, because

#: Endings that no repository of the Hugging Face hub has, and what is looked for in one, or in a folder.
SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".tar", ".pkl", ".model")
HUB_FILES = ("model.safetensors", "pytorch_model.bin", "model.pt", "model.pth")
INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
#: The weights that ``lthbench export`` writes.
EXPORTED = "network.safetensors"
#: Programs whose objects are refused, though nothing of them would run: no checkpoint needs them.
_REFUSED = (
    *("builtins", "ctypes", "importlib", "io", "marshal", "multiprocessing", "nt", "os", "pickle", "posix"),
    *("runpy", "shutil", "socket", "subprocess", "sys", "threading", "webbrowser"),
)
#: No file has more kinds of objects than this, nor is made of more operations: a tensor takes thirty.
KINDS, OPERATIONS = 200, 2_000_000
#: How many pickles a file of torch's older format has at most.
_PICKLES = 5


def of(source: Any, what: str, fetch: bool = True) -> Checkpoint:
    """A checkpoint from a path, the id of a hub's repository, a module, or a state dict in memory.

    ``what`` says what it is given as. One that was read already is given back. ``fetch`` is as in ``read``.
    """
    if isinstance(source, Checkpoint):
        return source
    if isinstance(source, nn.Module):
        where, pixels = f"the network given as {what}", googlenet.of_module(source)
        state = modules.tensors(source, where)
        if quantised.inside(state):  # its activations may be rounded, or not, as they are not here
            return dataclasses.replace(opened(state, where), pixels=pixels)
        return Checkpoint(where, state, pixels=pixels, module=source)
    if isinstance(source, Mapping):
        return opened(source, f"the state dict given as {what}")
    if isinstance(source, str | Path):
        return read(source, fetch)
    raise BadInput(f"{what}: expected a path, a module or a state dict, got {type(source).__name__}.")


def read(source: str | Path, fetch: bool = True) -> Checkpoint:
    """The tensors of a file, a folder, a repository of the Hugging Face hub, or weights of torchvision.

    Raises BadInput, naming it; unless it may ``fetch``, also for what would have to be fetched.
    """
    path = Path(source)
    if path.is_dir():
        path = other_formats.folder_file(path, (*HUB_FILES, *INDEXES, EXPORTED))
        source = path
    elif not path.is_file():
        named = re.fullmatch(r"\w+_Weights\.\w+", str(source))
        path = _of_torchvision(str(source), fetch) if named else _from_hub(str(source), fetch)
    if path.name.endswith(".index.json"):
        return _read(other_formats.shards(path, str(source)), str(source))
    found = _read([path], str(source))
    if str(source).startswith(googlenet.NAMES) or found.sha256.startswith(googlenet.HASH):
        return dataclasses.replace(found, pixels=googlenet.PIXELS)
    return found


def _read(paths: Sequence[Path], where: str) -> Checkpoint:
    """A checkpoint from its file, or from all of them: what quantises a tensor may stand in another one."""
    read = [_content(path, where if len(paths) == 1 else str(path)) for path in paths]
    digests = [part.sha256 for part in read]
    digest = digests[0] if len(paths) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
    packed = {name: held for part in read for name, held in part.packed.items()}
    contents = [part.content for part in read if not part.packed]
    if not contents:
        return Checkpoint(where, {}, {"": packed}, digest)
    objects = tuple(dict.fromkeys(name for part in read for name in part.objects))
    try:
        found = together(contents, where, digest, objects)
    except BadInput:
        if objects:
            raise _objects(objects, where) from None
        raise
    return dataclasses.replace(found, masks=found.masks | {"": packed}) if packed else found


class _Content(NamedTuple):
    """What a file holds: all of it, or the mask that lthbench packed; its hash, and objects passed over."""

    content: Any
    packed: Tensors
    sha256: str
    objects: tuple[str, ...] = ()


def _content(path: Path, where: str) -> _Content:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror}") from error
    digest = hashlib.sha256(content).hexdigest()
    if not content:
        raise BadInput(f"{where}: is empty.")
    if content[8:9] == b"{":
        return _Content(*_safetensors(content, where), digest)
    other_formats.refuse(path, content[:512], where)
    del content
    loaded, objects = _loaded(path, where)
    return _Content(loaded, {}, digest, objects)


def _safetensors(content: bytes, where: str) -> tuple[Tensors, Tensors]:
    """The tensors of a safetensors file, or the mask in one that lthbench packed."""
    tensors = content.count(b'"dtype"', 8, 8 + int.from_bytes(content[:8], "little"))
    if tensors > TENSORS:
        raise too_many(where)
    try:
        found = safetensors.torch.load(content)
    except Exception as error:  # bytes that others wrote raise anything
        raise BadInput(
            f"{where}: broken safetensors file: it is cut short, or of another kind{because(error)}."
        ) from error
    check_names(found, where)
    if tensors > len(found):
        raise BadInput(f"{where}: has two tensors of one name.")
    if found and all(t.dtype == torch.uint8 and t.dim() == 1 for t in found.values()):
        try:
            return {}, masks.unpacked(content)
        except (ValueError, KeyError, TypeError, AttributeError, RuntimeError, MemoryError) as error:
            raise BadInput(f"{where}: holds bytes, but no mask that lthbench packed.") from error
    return found, {}


def _loaded(path: Path, where: str) -> tuple[Any, tuple[str, ...]]:
    """What torch reads from a file when it may make nothing but tensors and plain containers.

    With the names of the objects that an empty record stands in for.
    """
    unpacked = 0
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                unpacked = sum(entry.file_size for entry in archive.infolist())
                other_formats.refuse_archive(archive, where)
                other_formats.refuse_twice(archive.namelist(), where)
    except BadInput:
        raise
    except Exception as error:  # zipfile raises half a dozen kinds for broken bytes
        raise BadInput(
            f"{where}: broken zip file: it is cut short, or of another kind{because(error)}."
        ) from error
    if unpacked > 2 * path.stat().st_size + 1_000_000:
        raise BadInput(f"{where}: unpacks to {unpacked / 1e9:.1f} GB; torch.save packs nothing.")
    if _operations(path, where) > OPERATIONS:
        raise BadInput(
            f"{where}: holds more than a state dict beside its tensors; save the state dict alone."
        )
    objects: dict[str, Any] = {}
    torchao = False
    while True:
        allowed: Any = [(kind, name) for name, kind in objects.items()]
        try:
            with warnings.catch_warnings(), torch.serialization.safe_globals(allowed):
                warnings.simplefilter("ignore")
                return torch.load(path, map_location="cpu", weights_only=True), tuple(objects)
        except Exception as error:  # bytes that others wrote raise anything
            said = str(error)
            named = sorted({a or b for a, b in re.findall(r"GLOBAL (\S+)|global (\S+) was not", said)})
            new = [name for name in named if name not in objects]
            if any(name.startswith("torchao.") for name in new) and not torchao:
                torchao = _torchao(where)
                continue
            if new and len(objects) < KINDS and all(_harmless(name) for name in new):
                objects |= {name: _stand_in(name) for name in new}
                continue
            if "DTensor" in said:
                raise BadInput(
                    f"{where}: holds tensors that are spread over processes (DTensor); save the whole ones: "
                    "torch.distributed.checkpoint.state_dict.get_model_state_dict(model, options="
                    "StateDictOptions(full_state_dict=True, cpu_offload=True))."
                ) from error
            if named or objects:
                raise _objects((*objects, *new), where) from error
            first = Exception(said.strip().split("\n")[0])
            raise BadInput(
                f"{where}: is no checkpoint that torch or safetensors can read{because(first)}."
            ) from error


def _torchao(where: str) -> bool:
    """Import torchao, which then says itself which of its tensors may be made. Raises BadInput without it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importlib.import_module("torchao")
    except ImportError as error:
        raise BadInput(
            f"{where}: holds tensors of torchao, which is not installed: pip install torchao. Or save the "
            "numbers: {name: tensor.dequantize() for name, tensor in model.state_dict().items()}."
        ) from error
    return True


def _operations(path: Path, where: str) -> int:
    """How much the pickles of a file ask for, as far as ``OPERATIONS``: nothing of it is done.

    Each byte of a pickle may make an object of a hundred.
    """
    count = 0
    try:
        if _is_archive(path):
            with zipfile.ZipFile(path) as archive:
                for inner in archive.namelist():
                    if inner.lower().endswith(".pkl"):
                        count = pickles.counted(io.BytesIO(archive.read(inner)), count, OPERATIONS)
        else:
            with path.open("rb") as file:
                for _ in range(_PICKLES):
                    count = pickles.counted(file, count, OPERATIONS)
    except MemoryError as error:
        raise BadInput(f"{where}: does not fit into memory.") from error
    except Exception:  # what is broken, torch refuses in its words
        return count
    return count


def _is_archive(path: Path) -> bool:
    """Whether torch takes a file for a zip archive: by its first bytes, where others look at its end."""
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def _harmless(name: str) -> bool:
    """Whether an object may be passed over. torch leaves out "builtins." in what it says."""
    return "." in name and name.partition(".")[0] not in _REFUSED


def _stand_in(name: str) -> Any:
    """What is made in place of an object. Items may be put into it if it is of a kind that may have any."""
    if name.startswith("numpy."):
        return type("Record", (Record,), {})
    return type("Items", (), {"__new__": lambda cls, *_: OrderedDict()})


def _objects(names: tuple[str, ...], where: str) -> BadInput:
    shown = ", ".join(names[:6]) + (" ..." if len(names) > 6 else "")
    return BadInput(
        f"{where}: holds Python objects ({shown}), which are not loaded: that could run code. "
        "Save the tensors alone: torch.save(model.state_dict(), FILE), or as safetensors."
    )


def _not_here(name: str) -> BadInput:
    """What is raised for weights that would have to be fetched, and may not be."""
    return BadInput(
        f"{name}: is not on this machine yet, and to collect what is stored nothing is fetched. Give the "
        "same command without --collect."
    )


def _of_torchvision(name: str, fetch: bool) -> Path:
    """The file of weights that torchvision calls ``ResNet50_Weights.IMAGENET1K_V1``, fetched at first use.

    It lies where torch keeps such files (``TORCH_HOME``), and a download is held to the hash in its name.
    """
    from torchvision.models import get_weight

    try:
        address = get_weight(name).url
    except (ValueError, AttributeError, KeyError) as error:
        raise BadInput(f"torchvision has no weights {name}: {error}") from error
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    path: Path = folder / address.rsplit("/", 1)[1]
    if not path.is_file():
        if not fetch:
            raise _not_here(name)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(address, str(path), re.findall(r"-([0-9a-f]{8,})\.", path.name)[0])
        except (OSError, RuntimeError, IndexError) as error:
            raise BadInput(f"{address}: cannot be fetched ({error}). Put it into {folder}.") from error
    return path


def _from_hub(name: str, fetch: bool) -> Path:
    """The weights of a repository ``owner/name`` of the Hugging Face hub, or of one file in it."""
    parts = name.removeprefix("hf://").split("/")
    looks = len(parts) == 2 and all(re.fullmatch(r"[A-Za-z0-9][\w.-]*", p) for p in parts)
    if name.startswith("hf://"):
        looks = len(parts) >= 2 and all(re.fullmatch(r"[\w.-]+", p) and p.strip(".") for p in parts)
    if not looks or (len(parts) == 2 and name.lower().endswith(SUFFIXES)):
        raise BadInput(f"no file {name}.")
    try:
        import huggingface_hub
    except ImportError as error:
        raise BadInput(
            f"no file {name}. To read it from the Hugging Face hub: pip install 'lthbench[hub]'"
        ) from error
    repository, wanted = "/".join(parts[:2]), "/".join(parts[2:])
    try:
        if not fetch:
            names = [wanted] if wanted else HUB_FILES
            kept = (huggingface_hub.try_to_load_from_cache(repository, f) for f in names)
            path = next((Path(found) for found in kept if isinstance(found, str)), None)
            if path is None:
                raise _not_here(name)
            return path
        held = set(huggingface_hub.list_repo_files(repository))
        chosen = wanted or next((f for f in HUB_FILES if f in held), "")
        if chosen not in held:
            there = [f for f in sorted(held) if f.lower().endswith(SUFFIXES)]
            raise BadInput(
                f"hf://{repository}: has no {wanted or ' or '.join(HUB_FILES)}. It has "
                f"{', '.join(there[:10]) or 'no checkpoint'}; name one: hf://{repository}/FILE"
            )
        return Path(huggingface_hub.hf_hub_download(repository, chosen))
    except BadInput:
        raise
    except Exception as error:  # the library and what it stands on raise dozens of kinds
        said = str(error).strip().split("\n")[0][:200]
        raise BadInput(
            f"no file {name}, and the Hugging Face hub does not give it: {type(error).__name__}: {said}"
        ) from error
