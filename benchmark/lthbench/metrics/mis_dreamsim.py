"""The machine interpretability score by DreamSim, and the share of right choices that it stands for."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lthbench.compute import libraries
from lthbench.errors import BadInput, StepFailed, because
from lthbench.files import PART, cache_folder, install, sync
from lthbench.kinds import Context, Metric, Score, Value

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def measure(context: Context) -> list[Value]:
    """The mean share of right choices over units, hard and soft, by DreamSim's similarity."""
    from lthbench.metrics.mis import chosen

    device = next(context.network().parameters()).device
    return chosen(context, lambda pixels: embedded(pixels, str(device)), "mis_dreamsim")


#: Images that pass at once on a GPU. On a CPU, where that gains little, each passes alone.
AT_ONCE = 64

#: The vectors of the images that were asked for last: they are the same for each network.
_kept: dict[tuple[str, tuple[int, ...], str], NDArray[np.float32]] = {}


def embedded(pixels: NDArray[np.uint8], device: str) -> NDArray[np.float32]:
    """DreamSim's vectors of images ``[N, C, H, W]``, of length 1; its weights are fetched at first use."""
    import numpy as np

    pixels = np.ascontiguousarray(pixels)
    key = hashlib.sha256(pixels.data).hexdigest(), pixels.shape, device
    if key not in _kept:
        made = _embedded(pixels, device)
        _kept.clear()
        _kept[key] = made
    return _kept[key]


def _embedded(pixels: NDArray[np.uint8], device: str) -> NDArray[np.float32]:
    import numpy as np
    import torch
    from PIL import Image

    model, prepare = _loaded(device)

    def prepared(image: NDArray[np.uint8]) -> torch.Tensor:
        colours = np.moveaxis(np.broadcast_to(image, (3, *image.shape[1:])), 0, -1)
        made: torch.Tensor = prepare(Image.fromarray(np.ascontiguousarray(colours)))
        return made

    parts, size = [], 1 if device == "cpu" else AT_ONCE
    with torch.no_grad():
        for start in range(0, len(pixels), size):
            batch = torch.cat([prepared(image) for image in pixels[start : start + size]])
            parts.append(model.embed(batch.to(device)).cpu())
    vectors = torch.nn.functional.normalize(torch.cat(parts).float(), dim=1)
    result: NDArray[np.float32] = vectors.numpy()
    return result


def _loaded(device: str) -> tuple[Any, Any]:
    """DreamSim and what prepares its images, with the weights of the user's cache; these are fetched once."""
    from dreamsim import dreamsim

    try:
        folder = cache_folder() / "dreamsim" / libraries.versions().get("dreamsim", "unknown")
    except RuntimeError as error:
        raise BadInput(f"DreamSim's weights have no place: {error}.") from error
    with _hub_kept(), contextlib.redirect_stdout(sys.stderr):  # what it prints is no result
        if not folder.is_dir():
            try:
                _fetch(folder)
            except (OSError, zipfile.BadZipFile) as error:
                raise StepFailed(f"DreamSim's weights cannot be put into {folder}{because(error)}") from error
        made: tuple[Any, Any] = dreamsim(pretrained=True, device=device, cache_dir=str(folder))
    return made


def _fetch(folder: Path) -> None:
    """Fetch DreamSim's weights into a folder, which is there once they were loaded.

    The package takes what is in its folder for whole, also where it was interrupted. Other processes wait.
    """
    from dreamsim import dreamsim
    from filelock import FileLock

    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f"{folder.name}.lock")):
        if folder.is_dir():
            return
        scratch = folder.with_name(f"{folder.name}{PART}")
        shutil.rmtree(scratch, ignore_errors=True)
        dreamsim(pretrained=True, device="cpu", cache_dir=str(scratch))
        (scratch / "pretrained.zip").unlink(missing_ok=True)
        sync(scratch.rglob("*"))
        install(scratch, folder)


@contextlib.contextmanager
def _hub_kept() -> Iterator[None]:
    """Leave torch's folder for downloads where it was: DreamSim sets its own."""
    import torch

    before = torch.hub.get_dir()
    try:
        yield
    finally:
        torch.hub.set_dir(before)


METRIC = Metric(
    name="mis-dreamsim",
    version=1,
    title="machine interpretability of units (MIS)",
    formula="as mis, by the cosine of DreamSim's vectors",
    source=(
        "Zimmermann et al. 2024; Fu et al. 2023, DreamSim. MIS is the mean probability of the right choice, "
        "mis_dreamsim_soft; mis_dreamsim counts the choices that are right. The published score takes "
        "training images of ImageNet; here it is the task's test images"
    ),
    scores=(
        Score("mis_dreamsim", "MIS task, right choices", "fraction", True, 0.0, 1.0, "interpretability"),
        Score("mis_dreamsim_soft", "MIS", "fraction", True, 0.0, 1.0, "interpretability"),
    ),
    needs=(),
    looks=("mis",),
    nulls=True,
    passes=1.0,
    measure=measure,
    usual=False,
    package="dreamsim",
    extra="mis",
)
