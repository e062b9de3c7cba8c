"""Banks of concepts as they stand in keys, and their images."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from lthbench import registry
from lthbench.data import loading
from lthbench.errors import BadInput
from lthbench.global_state import kept
from lthbench.kinds import Annotated, Bank, Source
from lthbench.kinds.filled_in import cell
from lthbench.spec import Data, Inputs

#: What the names of banks begin with in keys, and the views of their images.
PREFIX = "bank/"


def identify(bank: Bank, places: tuple[Path, ...], *, needed: bool = True) -> Data:
    """A bank as it stands in keys; its digest is "" for one that is made. Raises BadInput where it is
    missing.
    """
    source = _found(bank, places, needed=needed)
    name = PREFIX + bank.name
    lacking = loading.MISSING if bank.locate is not None else ""
    digest = loading.digest(source, name) if source else lacking
    return Data(name, registry.record_version(Bank, bank.name), digest)


def describe(name: str, places: tuple[Path, ...]) -> Mapping[str, str]:
    """Whether and where a source of images is there, by its name in keys: a bank, or a data set."""
    if not name.startswith(PREFIX):
        return loading.describe(name, places)
    return of_bank(registry.get(Bank, name.removeprefix(PREFIX)), places)


def of_bank(bank: Bank, places: tuple[Path, ...]) -> dict[str, str]:
    """Whether and where a bank of concepts is, or that it is made."""
    if bank.locate is None:
        return {"state": "found", "detail": "made where it is needed"}
    try:
        source = loading.located(bank, places)
    except Exception as error:  # a plug-in's own; what lists banks goes on
        return loading.broken(error)
    if source is None:
        return {"state": "missing", "detail": bank.obtain}
    return {"state": "found", "detail": f"{source.layout} in {source.root}"}


def _found(bank: Bank, places: tuple[Path, ...], *, needed: bool = True) -> Source | None:
    """The files of a bank; None for one that is made, or that is missing and not needed."""
    if bank.locate is None:
        return None
    source = loading.located(bank, places)
    if source is None and needed:
        looked = " or ".join(str(p) for p in places) or "any folder"
        raise BadInput(f"bank of concepts {bank.name} is not in {looked}. {bank.obtain}")
    return source


@lru_cache(maxsize=1)
def load(inputs: Inputs, size: int, channels: int, places: tuple[Path, ...]) -> Annotated:
    """The images of a bank, at the size of a network's. Raises BadInput for a bank that cannot be used.

    All metrics get the same arrays, so they cannot be written to.
    """
    import numpy as np

    name = inputs.view.removeprefix(PREFIX).partition("/")[0]
    bank = registry.get(Bank, name)
    backdrop = loading.lent(inputs, places)
    source = _found(bank, places)
    with kept(f"bank of concepts {bank.name}"):
        made = bank.load(source, backdrop, inputs.images, size, channels)
    if made.pixels.dtype != np.uint8 or made.layers.dtype.kind not in "iu":
        raise BadInput(
            f"bank of concepts {name}: images must be uint8 and masks whole numbers (int16), found "
            f"{made.pixels.dtype} and {made.layers.dtype}."
        )
    shape = (len(made.pixels), channels, size, size)
    labels = made.layers.shape
    square = len(labels) == 4 and labels[0] == shape[0] and labels[2] == labels[3] <= size
    if made.pixels.shape != shape or not square:
        raise BadInput(
            f"bank of concepts {name}: images {made.pixels.shape} and masks {made.layers.shape} do not fit: "
            f"expected {shape}, and squares that are no larger."
        )
    wrong = made.layers.min(initial=0) < 0 or made.layers.max(initial=0) > len(made.names)
    if len(made.names) != len(made.categories) or wrong:
        raise BadInput(f"bank of concepts {name}: masks, names and categories do not fit each other.")
    for text in {*made.names, *made.categories}:
        cell(f"bank of concepts {name}: the name of a concept or category", text)
    pixels, layers = made.pixels.view(), made.layers.astype(np.int16, copy=False).view()
    for shared in (pixels, layers):
        shared.setflags(write=False)
    return made._replace(pixels=pixels, layers=layers)
