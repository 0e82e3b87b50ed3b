"""The real pairs of a degraded picture and its truth, and the clips without one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from clips import CLIPS


@dataclass(frozen=True)
class Pair:
    """One picture and its truth, both display-referred.

    Attributes:
        name: unique within its set.
        group: the set it is averaged in, such as ``SOTS, haze 3``.
        plate, truth: files.
    """

    name: str
    group: str
    plate: Path
    truth: Path


def dehaze_pairs() -> list[Pair]:
    """RESIDE SOTS at two levels of haze, and a frame of REVIDE."""
    folder = CLIPS / "dehaze"
    found = [
        Pair(f"sots_{hazy.stem}", f"SOTS, haze {level}", hazy, folder / "sots" / "clear" / f"{hazy.stem[:-2]}.png")
        for level in (3, 8)
        for hazy in sorted((folder / "sots" / "hazy").glob(f"*_{level}.png"))
    ]
    one = folder / "revide_pair"
    return _existing([*found, Pair("revide", "REVIDE", one / "frames" / "hazy.jpg", one / "gt" / "clear.jpg")])


def relight_pairs() -> list[Pair]:
    """LOL, and a frame of SDSD."""
    folder = CLIPS / "relight"
    found = [
        Pair(f"lol_{low.stem}", "LOL", low, folder / "lol" / "normal" / low.name)
        for low in sorted((folder / "lol" / "low").glob("*.png"), key=lambda path: int(path.stem))
    ]
    one = folder / "sdsd_pair"
    return _existing([*found, Pair("sdsd", "SDSD", one / "frames" / "low.png", one / "gt" / "normal.png")])


def hazy_video() -> list[Path]:
    """The frames of a real hazy clip, which has no truth."""
    return sorted((CLIPS / "dehaze" / "real_video").glob("*.jpg"))


def _existing(pairs: list[Pair]) -> list[Pair]:
    for pair in pairs:
        for path in (pair.plate, pair.truth):
            if not path.is_file():
                raise SystemExit(f"{path} is missing: set VDP_TEST_CLIPS to the folder with dehaze and relight")
    return pairs
