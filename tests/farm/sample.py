"""Jobs that the tests of the exporters write: one of every day, and some with names that break what is not quoted."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vdp_engine.farm import FarmOptions, Job, job_of
from vdp_engine.settings import Settings
from vdp_engine.shot import Shot

_GOLDEN = Path(__file__).with_name("golden")

# Parts of paths, each with what some parser on some farm takes for its own.
NASTY = (
    "two words", " a b ", "it's", 'say "hi"', "{open", "close}", "{both}", "}{", "$HOME", "${HOME}", "$(id)", "`id`",
    "back\\slash", "end\\", "\\{", "50%d", "%PATH%", "%D(x)", "%%", "a<b>c", "<STARTFRAME>", "<QUOTE>", "-rf", "~root",
    "a;b", "a&b|c", "#IFRAME#", "#JOB#", "#x", "[exec id]", "!!", "^x^", "a=b", "*", "naïve Größe 夜", "é\u00a0x",
)  # fmt: skip


def job(
    place: str | Path = "/shows/ab/sh010/vdp",
    name: str = "sh010",
    frames: Iterable[int] = range(1001, 1013),
    engine: tuple[str, ...] = ("/opt/vdp/bin/python", "-I", "-m", "vdp_engine"),
    **options: Any,
) -> Job:
    """A job of a shot that need not be there."""
    shot = Shot(Path(place), name, "/shows/ab/plates/sh010.#.exr", tuple(frames), Settings())
    return job_of(shot, FarmOptions(engine=engine, **({"prep_chunk": 5, "render_chunk": 4} | options)))


def same_as_golden(text: str, name: str) -> bool:
    """Whether a text is the one kept as ``golden/NAME``; with ``VDP_WRITE_GOLDEN=1`` it becomes that."""
    path = _GOLDEN / name
    if os.environ.get("VDP_WRITE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return path.read_text(encoding="utf-8") == text
