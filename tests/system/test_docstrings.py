"""What docstrings name of lthbench, as ``module.name``, is there."""

import ast
import re
from functools import cache
from pathlib import Path

import lthbench

PACKAGE = Path(lthbench.__file__).parent
FILES = {
    ".".join(p.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): p
    for p in sorted(PACKAGE.rglob("*.py"))
}
#: Names of files, which may begin as modules do.
ENDS = ("csv", "html", "json", "npz", "parquet", "py", "txt", "zip")
NAMED = re.compile(r"``(?:lthbench\.)?([a-z_]\w*(?:\.\w+)+)(?:\(.*?\))?``")
CODE = re.compile(r"``([a-z_]\w*(?:/\w+)*\.py)``")


@cache
def tree(path):
    return ast.parse(path.read_text())


def names(nodes):
    """What statements define, by name; of a class with what it holds."""
    found: dict[str, ast.AST] = {}
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = node
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {(a.asname or a.name).partition(".")[0]: node for a in node.names}
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {t.id: node for target in targets for t in ast.walk(target) if isinstance(t, ast.Name)}
        elif isinstance(node, ast.If | ast.Try):
            found |= names(node.body)
    return found


def is_there(name):
    """Whether a module, or a name in one, is of lthbench; what an imported name holds is not looked at."""
    module, _, rest = name.partition(".")
    while rest.partition(".")[0] and f"{module}.{rest.partition('.')[0]}" in FILES:
        first, _, rest = rest.partition(".")
        module = f"{module}.{first}"
    nodes = tree(FILES[module]).body
    for part in filter(None, rest.split(".")):
        found = names(nodes).get(part)
        if not isinstance(found, ast.ClassDef):
            return found is not None
        nodes = found.body
    return True


def whole(name, file):
    """A name from the package on, where it begins with a module of lthbench: of any, or beside the file."""
    first, beside = name.partition(".")[0], file.rpartition(".")[0]
    if first in FILES:
        return name
    return f"{beside}.{name}" if beside and f"{beside}.{first}" in FILES else None


def absent(file):
    """What a file names of lthbench, between such quotes as docstrings have, that is not there."""
    text = FILES[file].read_text()
    code = {n for n in CODE.findall(text) if not (PACKAGE / n).is_file()}
    named = {n for n in NAMED.findall(text) if n.rpartition(".")[2] not in ENDS}
    return code | {n for n in named if (place := whole(n, file)) and not is_there(place)}


def test_what_docstrings_name_is_there():
    assert {(file, name) for file in FILES for name in absent(file)} == set()
