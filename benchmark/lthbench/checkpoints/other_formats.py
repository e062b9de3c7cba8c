"""What people give for a checkpoint that is none: recognised by its first bytes, and what to do about it."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from lthbench import textfiles
from lthbench.errors import BadInput

_SAVE = "torch.save(model.state_dict(), FILE)"
#: First bytes, what a file of them is, and what to do.
_STARTS = (
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras writes", f"load it there and save its tensors: {_SAVE}"),
    (b"GGUF", "a GGUF file, of quantized weights", "give the weights it was made from"),
    (b"\x93NUMPY", "one NumPy array", f"save a state dict with names: {_SAVE}"),
    (b"\x1f\x8b", "compressed with gzip", "unpack it first: gunzip FILE"),
    (b"BZh", "compressed with bzip2", "unpack it first: bunzip2 FILE"),
    (b"\xfd7zXZ", "compressed with xz", "unpack it first: unxz FILE"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", "unpack it first: unzstd FILE"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it first"),
    (b"Rar!", "a RAR archive", "unpack it first"),
    (b"\x89PNG", "a picture", "give a checkpoint"),
)


def refuse(path: Path, start: bytes, where: str) -> None:
    """Raise BadInput for a file of a known format that holds no state dict. ``start`` are its first bytes."""
    text = start[:200].lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise BadInput(f"{where}: is a web page, not a checkpoint; download it again.")
    if text.startswith(b"version https://git-lfs"):
        raise BadInput(f"{where}: is a pointer of Git LFS, not the file itself; fetch it with git lfs pull.")
    for first, what, remedy in _STARTS:
        if start.startswith(first):
            raise BadInput(f"{where}: is {what}; {remedy}.")
    if start[257:262] == b"ustar":
        raise BadInput(f"{where}: is a tar archive; unpack it first: tar xf FILE.")
    if path.suffix.lower() == ".onnx" or (start[:1] == b"\x08" and b"pytorch" in start[:64]):
        raise BadInput(
            f"{where}: is an ONNX graph, whose weights have lost their names; save those of the network that "
            f"it was exported from: {_SAVE}."
        )
    if text.startswith((b"{", b"[")):
        raise BadInput(f"{where}: is a JSON text, not a checkpoint; give the file of the weights.")


def refuse_archive(archive: zipfile.ZipFile, where: str) -> None:
    """Raise BadInput for a zip file that torch.save did not write."""
    names = archive.namelist()
    inner = [name.partition("/")[2] or name for name in names]
    if "constants.pkl" in inner and any(n.startswith("code/") for n in inner):
        raise BadInput(
            f"{where}: is a TorchScript program; save its tensors: "
            "torch.save(torch.jit.load(FILE).state_dict(), OTHER)."
        )
    if "archive_format" in inner or "models/model.json" in inner:
        raise BadInput(
            f"{where}: is an exported program; save its tensors: "
            "torch.save(torch.export.load(FILE).state_dict, OTHER)."
        )
    if "data.pkl" in inner:
        return
    if names and all(name.endswith(".npy") for name in names):
        raise BadInput(
            f"{where}: is a NumPy archive; save its arrays as tensors: "
            "torch.save({k: torch.from_numpy(v) for k, v in numpy.load(FILE).items()}, OTHER)."
        )
    raise BadInput(f"{where}: is a zip archive ({', '.join(names[:4]) or 'empty'}); unpack it first.")


def refuse_twice(names: list[str], where: str) -> None:
    """Raise BadInput for an archive with two files of one name: readers differ in which they take.

    torch makes no difference between large and small letters.
    """
    if len({name.lower() for name in names}) < len(names):
        raise BadInput(f"{where}: is a zip archive with two files of one name; save it again.")


def folder_file(folder: Path, names: tuple[str, ...]) -> Path:
    """The checkpoint in a folder that a library wrote, one of ``names``. Raises BadInput for none."""
    for name in names:
        if (folder / name).is_file():
            return folder / name
    if (folder / ".metadata").is_file() or any(folder.glob("*.distcp")):
        raise BadInput(
            f"{folder}: is a sharded checkpoint of torch.distributed; put it together first: "
            f"python -m torch.distributed.checkpoint.format_utils dcp_to_torch {folder} FILE"
        )
    if any(folder.glob("**/zero_pp_rank_*")) or (folder / "zero_to_fp32.py").is_file():
        raise BadInput(
            f"{folder}: is a sharded checkpoint of DeepSpeed; put it together first: "
            f"python {folder}/zero_to_fp32.py {folder} FILE"
        )
    held = sorted(p.name for p in folder.iterdir() if p.is_file())
    raise BadInput(f"{folder}: is a folder; give a file. It holds {', '.join(held[:6]) or 'none'}.")


def shards(index: Path, where: str) -> list[Path]:
    """The files that the index of a sharded checkpoint names, which stand beside it. Raises BadInput."""
    try:
        named = textfiles.values(textfiles.read(index))["weight_map"].values()
        names = list(dict.fromkeys(str(name) for name in named))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadInput(f"{where}: is no index of a sharded checkpoint: it has no weight_map.") from error
    files = [index.parent / name for name in names]
    for name, path in zip(names, files, strict=True):
        if Path(name).name != name or not path.is_file():
            raise BadInput(f"{where}: names {name[:100]}, which is not beside it.")
    return files


def of_a_shard(where: str) -> str:
    """What to give in place of one part of a checkpoint; "" for a file that is whole by its name."""
    part = re.search(r"([\w.-]*?)-(\d{5})-of-(\d{5})(\.[\w.]+)$", where)
    if part is None or part[3] == "00001":
        return ""
    return f"\n  It is part {int(part[2])} of {int(part[3])}: give {part[1]}{part[4]}.index.json, beside it."
