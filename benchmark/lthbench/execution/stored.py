"""Networks of a table, found in the store that made it."""

from __future__ import annotations

from lthbench import registry
from lthbench.errors import BadInput
from lthbench.kinds import Architecture
from lthbench.planning import contents
from lthbench.planning.step_record import restored
from lthbench.spec import Given, Train, Weights, mask_keeper, network_of
from lthbench.store import Store, layout


def stored(store: Store, key: str) -> Weights:
    """The step behind the weights of this key. Raises BadInput where the store does not hold it whole.

    Its description may be anybody's: an architecture is looked up by name, and no path is imported.
    """
    where = f"store {store.address}"
    if not layout.KEY.fullmatch(key) or not store.hold(key):
        raise BadInput(
            f"{where} does not hold this network ({key[:12]!a}); give the store that made the table, or run "
            "its command to the end where it is not finished."
        )
    try:
        step = restored(layout.history_of(store.place(key)), key)
    except (LookupError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise BadInput(f"{where}: what made {key} cannot be read.") from error
    if not isinstance(step, Train | Given):
        raise BadInput(f"{where}: {key[:12]} is no network, but a step on the way to one.")
    architecture = str(network_of(step).architecture)
    if registry.known(Architecture, architecture) is None:
        raise BadInput(
            f"this network ({key[:12]}) is of the architecture {architecture[:200]!a}, which is not known "
            "here. If a file of yours defines it, name that on this command line: --plugin FILE"
        )
    for part in (step, mask_keeper(step) or step):
        if not store.hold(part.key):
            raise BadInput(f"{where} does not hold the mask of this network ({part.key[:12]}).")
        if wrong := contents.misfit(part, store.place(part.key)):
            raise BadInput(f"{where}: {part.key[:12]} is not what its step makes: {wrong}.")
    return step
