"""The HTML page of a batch: a line a shot, then each with its contact sheet. One file that needs nothing else."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from vdp_engine import files

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2em auto; padding: 0 1.5em; max-width: 80em; }
h1 { font-size: 1.4em; } h2 { font-size: 1.1em; margin: 0; }
table { border-collapse: collapse; width: 100%; margin: 1em 0 2em; }
th, td { text-align: left; padding: .3em .9em .3em 0; border-bottom: 1px solid #8884; vertical-align: top; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
article { border-top: 1px solid #8884; padding: 1em 0; }
img { max-width: 100%; height: auto; display: block; margin-top: .6em; background: #8882; }
.state { display: inline-block; padding: 0 .6em; border-radius: 1em; background: #8883; white-space: nowrap; }
.failed { background: #c33; color: #fff; } .done, .there { background: #283; color: #fff; }
.running { background: #26c; color: #fff; }
.error { color: #c33; } .quiet { opacity: .7; } ul { margin: .3em 0; padding-left: 1.2em; }
"""
_REFRESH_SECONDS = 20


def write_page(path: Path, told: Mapping[str, Any]) -> None:
    """Write the page of what ``batch.report.json`` holds. Links are relative, so that folder and page can move.

    Raises:
        TryAgainError: it cannot be written.
    """
    text = "\n".join(_page(told, Path(os.path.abspath(path)).parent)) + "\n"
    files.write_bytes(path, text.encode("utf-8", "backslashreplace"))


def _page(told: Mapping[str, Any], folder: Path) -> Iterator[str]:
    shots = told["shots"]
    title = f"{Path(told['manifest']).name}: {_counted(shots)}"
    yield "<!DOCTYPE html>"
    yield '<html lang="en"><head><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    if told["state"] == "running":
        yield f'<meta http-equiv="refresh" content="{_REFRESH_SECONDS}">'
    yield f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>"
    yield f"<h1>{escape(title)}</h1>"
    yield f'<p class="quiet">{escape(told["manifest"])}, {escape(told["state"])}, vdp {escape(told["vdp"])}</p>'
    yield "<table><thead><tr><th>shot</th><th>state</th><th class=number>frames</th><th class=number>seconds</th>"
    yield "<th class=number>expected overlap</th><th>warnings and errors</th></tr></thead><tbody>"
    for number, shot in enumerate(shots):
        yield from _row(number, shot)
    yield "</tbody></table>"
    for number, shot in enumerate(shots):
        yield from _article(number, shot, folder)
    yield "</body></html>"


def _row(number: int, shot: Mapping[str, Any]) -> Iterator[str]:
    overlap = shot.get("expected_overlap")
    codes = dict.fromkeys(warning["code"] for warning in shot.get("warnings", []))
    said = escape(", ".join(codes))
    if "error" in shot:
        said = f'<span class="error">{escape(shot["error"]["message"])}</span>'
    yield f'<tr><td><a href="#shot-{number}">{escape(shot["name"])}</a></td><td>{_state(shot)}</td>'
    yield f'<td class="number">{escape(shot["frames"])}</td><td class="number">{shot["seconds"] or ""}</td>'
    yield f'<td class="number">{"" if overlap is None else format(overlap, ".2f")}</td><td>{said}</td></tr>'


def _article(number: int, shot: Mapping[str, Any], folder: Path) -> Iterator[str]:
    yield f'<article id="shot-{number}"><h2>{escape(shot["name"])} {_state(shot)}</h2>'
    yield f'<div class="quiet">{escape(shot["plate"])}, frames {escape(shot["frames"])}</div>'
    yield f'<div><a href="{_link(shot["out"], folder)}">{escape(shot["out"])}</a></div>'
    if "error" in shot:
        error = shot["error"]
        yield f'<p class="error">{escape(error["message"])} [{escape(error["code"])}]</p>'
    if shot.get("warnings"):
        yield "<ul>"
        for warning in shot["warnings"]:
            where = f"frame {warning['frame']}: " if "frame" in warning else ""
            yield f"<li>{escape(where + warning['message'])} [{escape(warning['code'])}]</li>"
        yield "</ul>"
    if "sheet" in shot:
        yield f'<a href="{_link(shot["sheet"], folder)}"><img loading="lazy" src="{_link(shot["sheet"], folder)}"'
        yield f' alt="contact sheet of {escape(shot["name"])}"></a>'
        yield f'<a href="{_link(shot["report"], folder)}">report</a>'
    yield "</article>"


def _state(shot: Mapping[str, Any]) -> str:
    return f'<span class="state {escape(shot["state"])}">{escape(shot["state"])}</span>'


def _link(path: str, folder: Path) -> str:
    try:
        relative = Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # another drive of Windows
        return escape(Path(path).as_uri())
    # A leading "./" keeps a colon in the first name from being taken for a protocol.
    return escape("./" + quote(os.fsencode(relative)))


def _counted(shots: list[Mapping[str, Any]]) -> str:
    states = [shot["state"] for shot in shots]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    return f"{len(shots)} shots ({counts})" if len(shots) != 1 else f"1 shot ({counts})"
