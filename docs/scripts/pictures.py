"""The pictures of the README, of the published pages. Needs a Chromium: python docs/scripts/pictures.py.

Beside them lies ``pictures.sha256``, a digest of what pages are made with, which tests hold to the templates.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SITE = ROOT / "reports" / "site"
DIGEST = ROOT / "docs" / "pictures.sha256"
#: Each picture: its page, what is shown of it, how much of that at most, in pixels, and its colours.
PICTURES = {
    "report.png": ("index.html", "body", 1420, "light"),
    "chart.png": ("digits-r8-quick/index.html", "#closer", 800, "dark"),
    "network.png": ("digits-r8-quick/omp-89.26258176.html", "body", 900, "dark"),
}
WIDTH, HEIGHT = 1280, 900


def digest() -> str:
    """The SHA-256 of all templates, styles and scripts of the pages."""
    found = hashlib.sha256()
    folder = ROOT / "reports" / "templates"
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        found.update(f"{path.relative_to(folder).as_posix()}\0".encode())
        found.update(path.read_bytes())
    return found.hexdigest()


def take(folder: Path) -> list[Path]:
    """Take the pictures into a folder. Raises SystemExit where there is no Chromium."""
    from playwright.sync_api import sync_playwright

    browser = os.environ.get("LTHBENCH_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if not browser:
        raise SystemExit("no Chromium: install one, or name it by LTHBENCH_CHROMIUM")
    taken = []
    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        for name, (source, part, high, theme) in PICTURES.items():
            page = opened.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme=theme)  # type: ignore[arg-type]
            page.goto((SITE / source).as_uri())
            # What sticks to the window would lie over the picture.
            page.evaluate("document.querySelectorAll('.contents').forEach(e => e.style.position = 'static')")
            if part == "#closer":
                page.get_by_label("Score", exact=True).select_option(label="NLL")
            box = page.locator(part).first.bounding_box()
            assert box is not None
            area = {"x": box["x"], "y": box["y"], "width": box["width"], "height": min(box["height"], high)}
            page.screenshot(path=folder / name, clip=area, full_page=True)  # type: ignore[arg-type]
            taken.append(folder / name)
        opened.close()
    return taken


def main() -> None:
    """Take all pictures, make them small, and note what they were taken of."""
    from PIL import Image

    for path in take(ROOT / "docs"):
        with Image.open(path) as picture:
            small = picture.convert("RGB").quantize(256, dither=Image.Dither.NONE)
        small.save(path, optimize=True)
        print(path.relative_to(ROOT), *small.size, file=sys.stdout)
    DIGEST.write_text(f"{digest()}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
