"""What is said of a variant of a method that there is not."""

from __future__ import annotations

import difflib

from lthbench import formatting, registry
from lthbench.kinds import Method


def no_variant(method: Method, variant: str) -> str:
    """What is said of a variant that a method has not: the nearest that it has, or what has that one."""
    others = [m for m in registry.every(Method) if m.name != method.name]
    own = difflib.get_close_matches(variant.lower(), method.variants, n=1, cutoff=0.5)
    named = [m.name for m in others if variant.lower() in (m.name, *m.aliases)]
    there = {name for m in others for name in m.variants}
    near = difflib.get_close_matches(variant.lower(), there, n=1, cutoff=0.7)
    having = [f"{m.name}:{near[0]}" for m in others if near and near[0] in m.variants]
    said = f'method {method.name}: no variant "{variant}".'
    if own:
        said += f" Did you mean {method.name}:{own[0]}?"
    elif named:
        said += f" Did you mean the method {named[0]}?"
    elif having:
        said += f" There is {formatting.listed(having)}."
    known = [f"{method.name}:{name}" for name in method.variants]
    return f"{said} Valid: {', '.join([method.name, *known])}{'' if known else ', which has no variants'}."
