"""What ``--task relight`` makes of dark pictures and clips with known truth, beside simple methods.

    python tests/bench/relight.py --sheets sheets --write-results
    python tests/bench/relight.py --made --clips cows dog --variant default --variant gamma=2.2

Two kinds of case: --pairs, real pairs (LOL, SDSD); --made, real clips darkened by the physical model in linear light,
see made.py. Without either: both. A variant is ``default`` or SETTING=VALUE,…; without any: ``default`` and
``objective=paper``. The result is the layer ``relit``, without the sensor noise that the engine sets aside.
"""

from __future__ import annotations

import functools

import classical
import made
import pairs
from clips import layer_clips
from fidelity import gain
from restoration import Case, Contest
from restoration_command import Choice, run_contest

CONTEST = Contest(
    task="relight",
    layer="relit",
    simple={"gamma 1/2.2": classical.gamma, "CLAHE": classical.clahe, "Retinex": classical.retinex},
    oracles={"best gain": classical.best_gain, "best exposure": classical.best_exposure},
    gain=gain,
    gain_in_words="the gain (mean of result over plate)",
)


def cases(choice: Choice) -> list[Case]:
    """The cases of this bench."""
    found: list[Case] = []
    if choice.pairs:
        found += [Case.of_pair(pair) for pair in pairs.relight_pairs()]
    if choice.made:
        found += [
            Case.of_made(
                clip.name, f"{made.stops_of(clip):g} stops down, {choice.count(clip)} frames",
                functools.partial(made.darkened, clip, choice.frames),
            )
            for clip in layer_clips(choice.clips)
        ]  # fmt: skip
    return found


if __name__ == "__main__":
    run_contest(CONTEST, cases, __doc__)
