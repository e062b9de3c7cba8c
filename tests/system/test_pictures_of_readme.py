"""The README's pictures are of today's pages: not older than the templates."""

import importlib.util
import re
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[2]
_SPEC = importlib.util.spec_from_file_location("pictures", ROOT / "docs" / "scripts" / "pictures.py")
pictures = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(pictures)


def test_the_pictures_are_not_older_than_the_templates():
    assert pictures.DIGEST.read_text().strip() == pictures.digest(), (
        "the templates have changed: make reports/site again (reports/README.md), then "
        "python docs/scripts/pictures.py"
    )


def test_a_changed_template_is_noticed(tmp_path, monkeypatch):
    folder = tmp_path / "reports" / "templates"
    folder.mkdir(parents=True)
    (folder / "a.css").write_text("a")
    monkeypatch.setattr(pictures, "ROOT", tmp_path)
    before = pictures.digest()
    (folder / "a.css").write_text("b")
    assert pictures.digest() != before
    (folder / "a.css").rename(folder / "b.css")
    (folder / "b.css").write_text("a")
    assert pictures.digest() != before


def test_each_picture_of_the_readme_is_taken_of_a_page_that_is_there():
    shown = re.findall(r"\(docs/(\w+\.png)\)|src=\"docs/(\w+\.png)\"", (ROOT / "README.md").read_text())
    names = {a or b for a, b in shown}
    assert names <= pictures.PICTURES.keys()
    for name, (page, part, high, _) in pictures.PICTURES.items():
        text = (pictures.SITE / page).read_text()
        assert part == "body" or f'id="{part[1:]}"' in text
        with Image.open(ROOT / "docs" / name) as picture:
            assert picture.size[1] <= high
            assert picture.size[0] <= pictures.WIDTH
