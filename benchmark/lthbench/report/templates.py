"""What all pages share: templates, styles and scripts, and names that are safe in paths and links."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from lthbench import formatting, resources
from lthbench._version import __version__
from lthbench.results.table import SCORES

#: The scripts of a page, in the order in which they are read.
SCRIPTS = ("dataTables.min.js", "dataTables.buttons.min.js", "site.js")
STYLES = ("style.css",)
#: The same of a page with the interactive chart.
CHART_SCRIPTS = (*SCRIPTS, "uPlot.iife.min.js", "explorer.js")
CHART_STYLES = ("uPlot.min.css", *STYLES)
#: Beyond so many rows the table beside a page is compressed.
COMPRESSED = 20_000
#: The pages that every page of a site links to.
NAV = (
    ("Leaderboard", "index.html"),
    ("Methods", "methods.html"),
    ("Claims", "claims.html"),
    ("How to read", "reading.html"),
)

#: Where what is said beside a fact begins.
_BESIDE = re.compile(r"; |, the highest|, measured|, from | \(")


@cache
def environment() -> jinja2.Environment:
    """The templates; everything that is put into them is escaped."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(resources.templates()),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["parted"] = parted
    made.globals |= {"sparsity": formatting.sparsity, "counted": formatting.counted, "markup": Markup}
    made.globals |= {"version": __version__, "inline": None, "nav": NAV, "root": "", "here": ""}
    made.policies["json.dumps_kwargs"] = {"sort_keys": True, "separators": (",", ":")}
    made.globals |= {"scripts": SCRIPTS, "styles": STYLES, "policy": policy("'self' file:")}
    return made


def parted(fact: str) -> tuple[str, str]:
    """A fact, and what pages write small beside it: "Hessian trace" and "7 of 10 methods"."""
    found = _BESIDE.search(fact)
    if found is None:
        return fact, ""
    beside = fact[found.start() :].strip(" ;,")
    return fact[: found.start()], beside[1:].removesuffix(")") if beside.startswith("(") else beside


def render(template: str, **values: Any) -> str:
    """A page."""
    return environment().get_template(template).render(**values)


def policy(scripts: str) -> str:
    """The Content-Security-Policy of a page: nothing from elsewhere, and no scripts but these.

    Pages are read from disk as well, where "self" is nobody in some browsers, and ``file:`` the folder.
    """
    return (
        f"default-src 'none'; script-src {scripts}; style-src 'self' file: 'unsafe-inline'; "
        "img-src 'self' file: data:; font-src 'self' file:; base-uri 'none'; form-action 'none'"
    )


def alone() -> dict[str, Any]:
    """What makes a page need no other file: styles and scripts inside it, no links to other pages."""
    script = "\n".join(_asset(name).read_text(encoding="utf-8") for name in CHART_SCRIPTS)
    style = "\n".join(_asset(name).read_text(encoding="utf-8") for name in CHART_STYLES)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    inline = {"style": Markup(style), "script": Markup(script)}
    return {"inline": inline, "nav": (), "policy": policy(f"'sha256-{digest}'")}


def table_name(rows: int) -> str:
    """The file of a site that holds a table of so many rows: compressed where it would be large."""
    return SCORES[rows > COMPRESSED]


def assets() -> dict[str, Path]:
    """The files beside a site's pages, by name."""
    licences = ("LICENSE-DataTables.txt", "LICENSE-uPlot.txt")
    return {name: _asset(name) for name in (*CHART_STYLES, *CHART_SCRIPTS, *licences)}


def _asset(name: str) -> Path:
    own = resources.templates() / name
    return own if own.is_file() else resources.templates() / "vendor" / name


def slug(*names: str) -> str:
    """A name for a file: lower-case letters, digits and hyphens, and a mark where that loses something.

    Different names have different slugs, also where upper and lower case are the same, and also if they are
    split at another place: only the first may have hyphens without a mark.
    """
    plain = "-".join(re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.") for name in names)[:60]
    if plain == "-".join(names) and not any("-" in name for name in names[1:]):
        return plain
    return f"{plain.strip('-.') or 'x'}-{hashlib.sha256(repr(names).encode()).hexdigest()[:8]}"
