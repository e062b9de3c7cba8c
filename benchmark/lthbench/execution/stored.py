"""Networks of a table, found in the store that made it."""

from __future__ import annotations

from lthbench.errors import BadInput
from lthbench.planning.step_record import restored
from lthbench.spec import Train, Weights
from lthbench.store import Store, layout


def stored(store: Store, key: str) -> Weights:
    """The step behind the weights of this key. Raises BadInput where the store does not hold it whole."""
    if not layout.KEY.fullmatch(key) or not store.hold(key):
        raise BadInput(
            f"store {store.address} does not hold this network ({key[:12]!a}); "
            "give the store that made the table."
        )
    try:
        step = restored(layout.history_of(store.place(key)), key)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadInput(f"store {store.address}: what made {key} cannot be read.") from error
    if not isinstance(step, Train):
        raise BadInput(f"this network ({key[:12]}) was made elsewhere, and not trained in the store.")
    return step
