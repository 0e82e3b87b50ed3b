"""The report of a batch and its page: what they hold, that they can be moved, that no name breaks them."""

from __future__ import annotations

import json
import os
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from vdp_engine.batch import ShotSpec
from vdp_engine.batch.results import Result, page_file, readable_seconds, write_results
from vdp_engine.errors import PlateError, TryAgainError
from vdp_engine.settings import Settings

_ODD = "<script>alert(1)</script> & \"quoted\" 'ä' #1 100%?"
_NOT_UTF8 = os.fsdecode(b"caf\xe9")


class Page(HTMLParser):
    """Tags with their attributes, and all text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str, attribute: str) -> list[str]:
        return [given[attribute] or "" for name, given in self.tags if name == tag and attribute in given]


def results(folder: Path) -> list[Result]:
    def spec(name: str, out: str) -> ShotSpec:
        return ShotSpec(name, f"/plates/{name}.#.exr", folder / out, "1001-1004", 4, Settings(), 3)

    warning = {"code": "layers.too_few", "message": "more <layers>", "frame": 7}
    good = Result(spec(_ODD, "layers/a: b"), "done", 12.34, 1, {"confidence": 0.5, "warnings": [warning]})
    there = Result(spec(_NOT_UTF8, "layers/c"), "there already", report={"confidence": None, "warnings": []})
    error = PlateError("cannot <read> it", code="unreadable", frame=1002, path="/plates/x.1002.exr")
    failed = Result(spec("bad", "layers/d"), "failed", 1.0, 1, error=error)
    return [good, there, failed, Result(spec("later", "layers/e"))]


def test_the_report_holds_every_shot_in_order(tmp_path: Path) -> None:
    path = tmp_path / "batch.report.json"
    write_results(path, tmp_path / "batch.yaml", results(tmp_path), "running", 61.23)
    told = json.loads(path.read_text(encoding="utf-8"))
    assert (told["format"], told["state"], told["seconds"]) == (1, "running", 61.2)
    good, there, failed, later = told["shots"]
    assert (good["name"], good["state"], good["seconds"], good["expected_overlap"]) == (_ODD, "done", 12.3, 0.5)
    assert good["warnings"][0]["frame"] == 7 and good["sheet"].endswith(f"a: b/{_ODD}.sheet.png")
    assert there["name"] == _NOT_UTF8 and there["warnings"] == []
    assert failed["error"] == {
        "code": "plate.unreadable", "message": "frame 1002: cannot <read> it (/plates/x.1002.exr)", "frame": 1002,
        "path": "/plates/x.1002.exr",
    }  # fmt: skip
    assert later["state"] == "waiting" and "sheet" not in later and "error" not in later


def test_no_name_breaks_the_page_and_every_link_is_relative(tmp_path: Path) -> None:
    path = tmp_path / "batch.report.json"
    write_results(path, tmp_path / "batch.yaml", results(tmp_path), "failed", 1.0)
    page = Page(page_file(path).read_text(encoding="utf-8"))
    tags = {name for name, _ in page.tags}
    assert not tags & {"script", "link", "iframe", "layers", "read"} and _ODD in page.text
    assert "frame 1002: cannot <read> it" in page.text and "frame 7: more <layers>" in page.text
    images = page.all("img", "src")
    wanted = [str(one.sheet_file.relative_to(tmp_path)) for one in results(tmp_path)[:2]]
    assert [unquote(image, errors="surrogateescape").removeprefix("./") for image in images] == wanted
    assert page.all("img", "loading") == ["lazy", "lazy"]
    for link in (*images, *page.all("a", "href")):
        parts = urlsplit(link)
        assert not parts.scheme and not parts.netloc and not parts.query and link[:2] in ("./", "#s")
    anchors = [link[1:] for link in page.all("a", "href") if link.startswith("#")]
    assert anchors == page.all("article", "id")
    assert "refresh" not in page.all("meta", "http-equiv")


def test_the_page_of_a_running_batch_renews_itself(tmp_path: Path) -> None:
    path = tmp_path / "batch.report.json"
    write_results(path, tmp_path / "batch.yaml", results(tmp_path), "running", 1.0)
    assert Page(page_file(path).read_text(encoding="utf-8")).all("meta", "http-equiv") == ["refresh"]
    assert sorted(one.name for one in tmp_path.iterdir()) == ["batch.report.html", "batch.report.json"]


def test_a_report_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises((TryAgainError, OSError)):
        write_results(tmp_path / "file" / "batch.report.json", tmp_path, [], "done", 0.0)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0, "-"), (31.4, "31 s"), (99.4, "99 s"), (100, "2 min"), (5940, "99 min"), (5999, "1 h 40 min")],
)
def test_seconds_for_a_person(seconds: float, told: str) -> None:
    assert readable_seconds(seconds) == told
