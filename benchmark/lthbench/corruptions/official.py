"""The published corrupted sets, read instead of generated: CIFAR-10-C, CIFAR-100-C and ImageNet-C.

CIFAR-C is a folder of arrays, ``<kind>.npy`` with five blocks of test images (severity 1 first), uint8
``[50000, 32, 32, 3]``, and ``labels.npy``. ImageNet-C is a tree ``<kind>/<severity>/<WordNet id>/image``, or
the same with the kinds in folders of families, as its archives unpack. Its images are 224 x 224 already: only
their middle is taken, nothing is resized.

Hendrycks & Dietterich 2019; https://zenodo.org/records/2535967, 3555552 and 2235448.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lthbench.corruptions import EXTRA, FIFTEEN, STAND_INS
from lthbench.data import loading
from lthbench.data.image_files import is_image, planes
from lthbench.errors import BadInput
from lthbench.kinds import Dataset, Images, Source
from lthbench.spec import Data

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: What the view of a published set begins with; the kind follows.
PREFIX = "official/"
#: How the sets are read; raise it when a change to this file changes the images.
VERSION = 1
KINDS = (*FIFTEEN, *EXTRA)
#: The folder of each data set's corrupted images, as robustbench names them.
FOLDERS = {"cifar10": "CIFAR-10-C", "cifar100": "CIFAR-100-C", "imagenet": "ImageNet-C"}
#: What else such a folder is called, in lower case as other projects unpack it.
_ALSO = {"imagenet": ("imagenet-c", "imagenet_c")}


def named(kind: str) -> str:
    """What the published sets call a kind that we have a stand-in for."""
    return next((published for published, ours in STAND_INS.items() if ours == kind), kind)


def identify(
    dataset: Dataset, kind: str, severities: Sequence[int], places: tuple[Path, ...], *, needed: bool = True
) -> Data:
    """The published images of a kind as they stand in keys. Raises BadInput where they cannot be used.

    Where they are missing and not ``needed``, their digest says so.
    """
    source = locate(dataset, kind, severities, places)
    if source is not None:
        return Data(dataset.name, dataset.version, loading.digest(source, f"{dataset.name}/{kind}"))
    if not needed:
        return Data(dataset.name, dataset.version, loading.MISSING)
    folder = FOLDERS[dataset.name]
    looked = ", ".join(str(place / folder) for place in places)
    raise BadInput(
        f"the published images of {kind} for data set {dataset.name} are not in {looked}. Unpack {folder} "
        "from Zenodo and name the folder that holds it with --data DIR, or set corruption_source to "
        '"generated".'
    )


def locate(dataset: Dataset, kind: str, severities: Sequence[int], places: tuple[Path, ...]) -> Source | None:
    """The files of a kind, checked as far as that goes without decoding them; None if there are none."""
    if dataset.name not in FOLDERS:
        raise BadInput(
            f"no corrupted images are published for data set {dataset.name}; there are some for "
            f'{", ".join(FOLDERS)}. Set corruption_source = "generated".'
        )
    for place in places:
        names = (FOLDERS[dataset.name], *_ALSO.get(dataset.name, ()))
        root = next((f for f in (place / name for name in names) if f.is_dir()), place / names[0])
        if dataset.name == "imagenet":
            found = next((f for f in (root / kind, *sorted(root.glob(f"*/{kind}"))) if f.is_dir()), None)
            if found is not None:
                files = [p for s in severities for p in _tree(dataset, found / str(s))]
                return Source("ImageNet-C", found, tuple(files))
        elif (root / f"{kind}.npy").is_file():
            source = Source("CIFAR-C", root, (root / f"{kind}.npy", root / "labels.npy"))
            _arrays(dataset, source)
            return source
    return None


def load(dataset: Dataset, kind: str, severity: int, places: tuple[Path, ...]) -> Images:
    """The test images at one severity, in the order of the clean ones. Raises BadInput, naming the file."""
    import numpy as np

    source = locate(dataset, kind, (severity,), places)
    if source is None:
        raise BadInput(f"the published images of {kind} for data set {dataset.name} are no longer there.")
    if source.layout == "CIFAR-C":
        pixels, labels = _arrays(dataset, source)
        count = dataset.splits["test"]
        block = slice((severity - 1) * count, severity * count)
        return Images(planes(pixels[block]), np.asarray(labels[block], dtype=np.int64))
    from lthbench.corruptions._squares import Squares

    classes = {name: i for i, name in enumerate(sorted({p.parent.name for p in source.files}))}
    found = np.array([classes[p.parent.name] for p in source.files], dtype=np.int64)
    return Images(Squares(source.files, dataset.size), found)


def _arrays(dataset: Dataset, source: Source) -> list[NDArray[Any]]:
    """The pixels and labels of all severities, mapped into memory."""
    import numpy as np

    total = 5 * dataset.splits["test"]
    shapes = ((total, dataset.size, dataset.size, 3), (total,))
    found: list[NDArray[Any]] = []
    for path, shape in zip(source.files, shapes, strict=True):
        if not path.is_file():
            raise BadInput(f"{path}: is missing.")
        try:
            array = np.lib.format.open_memmap(path, mode="r")
        except (OSError, ValueError, SyntaxError, EOFError) as error:
            raise BadInput(f"{path}: broken .npy file: {error}") from error
        good = array.dtype == np.uint8 if len(shape) > 1 else array.dtype.kind in "iu"
        if array.shape != shape or not good:
            wanted = "uint8" if len(shape) > 1 else "whole numbers"
            raise BadInput(f"{path}: should be {wanted} of shape {shape}, is {array.dtype} of {array.shape}.")
        found.append(array)
    labels = found[1]
    if labels.min() < 0 or labels.max() >= len(dataset.classes):
        raise BadInput(f"{source.files[1]}: labels must be 0..{len(dataset.classes) - 1}.")
    return found


def _tree(dataset: Dataset, folder: Path) -> list[Path]:
    """The images of one severity, class by class in the order of their WordNet ids, by file name."""
    if not folder.is_dir():
        raise BadInput(f"{folder}: is missing.")
    classes = sorted(p for p in folder.iterdir() if p.is_dir())
    files = [p for c in classes for p in sorted(c.iterdir()) if is_image(p.name)]
    if (len(classes), len(files)) != (len(dataset.classes), dataset.splits["test"]):
        raise BadInput(
            f"{folder}: should hold {dataset.splits['test']:,} images in {len(dataset.classes):,} folders of "
            f"classes, holds {len(files):,} in {len(classes):,}."
        )
    return files
