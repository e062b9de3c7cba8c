"""What the documentation site has beside docs/: the README and its kind, with links that lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
#: Pages of the site that lie outside docs/, by the file they are made of.
OUTSIDE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "reports/FINDINGS.md": "findings.md",
}
_SOURCES = {page: source for source, page in OUTSIDE.items()}
_LINK = re.compile(r"(\]\()([^)#:\s]+)(#[^)\s]*)?(\))")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that lie outside docs/."""
    for source, page in OUTSIDE.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Let links lead to pages of the site, or to the repository."""
    here = page.file.src_uri
    source = PurePosixPath(_SOURCES.get(here, f"docs/{here}"))

    def led(link: re.Match[str]) -> str:
        target = _target(source, link[2])
        return f"{link[1]}{_where(target, here, files, config.repo_url)}{link[3] or ''}{link[4]}"

    return _LINK.sub(led, markdown)


def _target(source: PurePosixPath, link: str) -> str:
    """The file in the repository that a link leads to."""
    parts: list[str] = []
    for part in (source.parent / link).parts:
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)


def _where(target: str, here: str, files: Files, repository: str) -> str:
    """The link from a page of the site."""
    page = OUTSIDE.get(target, target.removeprefix("docs/") if target.startswith("docs/") else "")
    found = files.get_file_from_path(page) if page else None
    if found is not None and found.inclusion.is_included():
        return "../" * here.count("/") + page
    if not (ROOT / target).exists():
        return target  # the build says that it is not there
    return f"{repository}/{'tree' if (ROOT / target).is_dir() else 'blob'}/main/{target}"
