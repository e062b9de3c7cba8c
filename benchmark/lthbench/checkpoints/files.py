"""Weights from files that others wrote: safetensors, or torch's own format, of which only tensors are read.

Nothing is unpickled that could run code: ``torch.load`` is told ``weights_only``, and a file that holds other
objects is refused.
"""

from __future__ import annotations

import hashlib
import re
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn

from lthbench import masks
from lthbench.errors import BadInput

Tensors = dict[str, torch.Tensor]

#: What files call a network's state dict, the likeliest first.
NETWORKS = ("state_dict", "model_state_dict", "model", "net", "network", "weights", "params", "state")
MASKS = ("mask", "masks")
#: Endings that no repository of the Hugging Face hub has, and what is looked for in one.
SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".tar", ".pkl", ".model")
HUB_FILES = ("model.safetensors", "pytorch_model.bin", "model.pt", "model.pth")


@dataclass(frozen=True)
class Checkpoint:
    """Named tensors as they were found; ``masks`` where the file has them apart from the weights.

    ``where`` is what messages call it, ``sha256`` the hash of its file ("" for what is in memory).
    """

    where: str
    tensors: Tensors
    masks: Tensors = field(default_factory=dict)
    sha256: str = ""


def of(given: Any, what: str) -> Checkpoint:
    """A checkpoint from a path, the id of a hub's repository, a module, or a state dict in memory."""
    if isinstance(given, nn.Module):
        return Checkpoint(f"the network given as {what}", dict(given.state_dict()))
    if isinstance(given, Mapping):
        return _found(given, f"the state dict given as {what}")
    if isinstance(given, str | Path):
        return read(given)
    raise BadInput(f"{what}: expected a path, a module or a state dict, got {type(given).__name__}.")


def read(given: str | Path) -> Checkpoint:
    """The tensors of a file, or of a repository of the Hugging Face hub. Raises BadInput, naming the file."""
    path = Path(given)
    if path.is_dir():
        raise BadInput(f"{path}: is a folder; give a file.")
    if not path.is_file():
        path = _from_hub(str(given))
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror}") from error
    where, digest = str(given), hashlib.sha256(content).hexdigest()
    if not content:
        raise BadInput(f"{where}: is empty.")
    if content[8:9] == b"{":
        return Checkpoint(where, *_safetensors(content, where), digest)
    start = content[:200].lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise BadInput(f"{where}: is a web page, not a checkpoint; download it again.")
    if start.startswith(b"version https://git-lfs"):
        raise BadInput(f"{where}: is a pointer of Git LFS, not the file itself; fetch it with git lfs pull.")
    del content
    found = _found(_loaded(path, where), where)
    return Checkpoint(where, found.tensors, found.masks, digest)


def _safetensors(content: bytes, where: str) -> tuple[Tensors, Tensors]:
    """The tensors of a safetensors file, or the mask in one that lthbench packed."""
    try:
        found = safetensors.torch.load(content)
    except Exception as error:  # bytes that others wrote raise anything
        raise BadInput(f"{where}: broken safetensors file: {error}") from error
    if found and all(t.dtype == torch.uint8 and t.dim() == 1 for t in found.values()):
        try:
            return {}, masks.unpacked(content)
        except (ValueError, KeyError, TypeError, AttributeError, RuntimeError, MemoryError) as error:
            raise BadInput(f"{where}: holds bytes, but no mask that lthbench packed.") from error
    return found, {}


def _loaded(path: Path, where: str) -> Any:
    """What torch reads from a file when it may make nothing but tensors and plain containers."""
    unpacked = 0
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                unpacked = sum(entry.file_size for entry in archive.infolist())
    except Exception as error:  # zipfile raises half a dozen kinds for broken bytes
        raise BadInput(f"{where}: broken zip file: {error}") from error
    if unpacked > 2 * path.stat().st_size + 1_000_000:
        raise BadInput(f"{where}: unpacks to {unpacked / 1e9:.1f} GB; torch.save packs nothing.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # bytes that others wrote raise anything
        said = str(error)
        objects = sorted({a or b for a, b in re.findall(r"GLOBAL (\S+)|global (\S+) was not", said)})
        if objects:
            names = ", ".join(objects)
            raise BadInput(
                f"{where}: holds Python objects ({names}), which are not loaded: that could run code. "
                "Save the tensors alone: torch.save(model.state_dict(), FILE), or as safetensors."
            ) from error
        short = said.strip().split("\n")[0][:200] or type(error).__name__
        raise BadInput(f"{where}: is no checkpoint that torch or safetensors can read: {short}") from error


def _found(content: Any, where: str, depth: int = 3) -> Checkpoint:
    """The state dict in what a file holds, and the masks beside it."""
    if isinstance(content, torch.Tensor):
        raise BadInput(f"{where}: holds one tensor; a state dict with names is needed.")
    if not isinstance(content, Mapping):
        raise BadInput(f"{where}: holds a {type(content).__name__}; a state dict is needed.")
    if _tensors(content):
        return Checkpoint(where, _plain(_tensors(content), where))
    inner = {str(k): v for k, v in content.items() if isinstance(v, Mapping) and _deep(v, depth)}
    beside: Tensors = next((_tensors(inner[k]) for k in MASKS if k in inner), {})
    networks = [k for k in inner if k not in MASKS] or list(inner)
    chosen = next((k for k in NETWORKS if k in networks), networks[0] if len(networks) == 1 else None)
    if chosen is None and networks:
        raise BadInput(f"{where}: holds several networks ({', '.join(networks[:8])}); save one on its own.")
    if chosen is None:
        names = ", ".join(str(k) for k in list(content)[:8]) or "nothing"
        raise BadInput(f"{where}: holds no tensors by name; it has {names}.")
    found = _found(inner[chosen], where, depth - 1)
    return Checkpoint(
        where, found.tensors, found.masks or (_plain(beside, where) if chosen not in MASKS else {})
    )


def _plain(tensors: Tensors, where: str) -> Tensors:
    """The tensors, if each has a number in memory for each that its shape says. Raises BadInput."""
    for name, t in tensors.items():
        if t.layout != torch.strided or t.is_quantized or t.device.type == "meta":
            kind = "quantized" if t.is_quantized else "empty" if t.device.type == "meta" else "sparse"
            raise BadInput(f"{where}: {name[:100]} is {kind}; save tensors as dense ones of plain numbers.")
        size = t.numel() * t.element_size()
        if size > max(1e8, t.untyped_storage().nbytes()):
            raise BadInput(
                f"{where}: {name[:100]} would take {size / 1e9:.3g} GB, and its file has less of it."
            )
    return tensors


def _tensors(content: Mapping[Any, Any]) -> Tensors:
    return {str(k): v for k, v in content.items() if isinstance(v, torch.Tensor)}


def _deep(content: Mapping[Any, Any], depth: int) -> bool:
    """Whether there are tensors in it; those of an optimiser have numbers for names."""
    if any(isinstance(k, str) for k in _tensors(content)) and not _optimiser(content):
        return True
    inner = [v for v in content.values() if isinstance(v, Mapping)]
    return depth > 0 and not _optimiser(content) and any(_deep(v, depth - 1) for v in inner)


def _optimiser(content: Mapping[Any, Any]) -> bool:
    return "param_groups" in content


def _from_hub(name: str) -> Path:
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
