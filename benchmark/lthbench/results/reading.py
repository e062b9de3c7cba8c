"""The table of a run, read from the folder of its report or from a bundle; one that was edited is named."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lthbench.errors import BadInput

if TYPE_CHECKING:
    import pandas as pd

    from lthbench.results.run_facts import RunFacts


def read(source: Path) -> tuple[pd.DataFrame, RunFacts]:
    """The table and its facts in a folder that a run wrote, or beside a file in one, or in a bundle.

    Raises BadInput for what is neither, and ``bundle_file.Refused`` for a bundle that was changed.
    """
    from lthbench.results import bundle_file, table

    if source.suffix == ".zip" and source.is_file():
        return bundle_file.opened(source)
    return table.read(source.parent if source.is_file() else source)


#: What tables and facts that were edited raise somewhere. Numbers may be too large to be squared.
_EDITED = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)


@contextmanager
def as_a_run_wrote_it(
    folder: Path, *others: Path, alone: Callable[[int], object] | None = None
) -> Iterator[None]:
    """Raise BadInput, and nothing else, for a table or facts that were changed since a run wrote them.

    Of several folders that one is named for whose place ``alone`` fails, too: it takes one table by itself.
    """
    try:
        yield
    except _EDITED as error:
        folders = (folder, *others)
        places = range(len(folders)) if others and alone is not None else ()
        odd = [place for place in places if alone is not None and _fails(alone, place)]
        named = " or ".join(str(folders[place]) for place in odd[:1] or range(len(folders)))
        said = f"{type(error).__name__}: {error}"
        raise BadInput(f"{named}: run.json and scores.csv are not as a run wrote them ({said}).") from error


def _fails(alone: Callable[[int], object], place: int) -> bool:
    try:
        alone(place)
    except (*_EDITED, BadInput):
        return True
    return False
