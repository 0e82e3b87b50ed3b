"""What ``--task dehaze`` makes of hazy pictures and clips with known truth, beside the dark channel prior.

    python tests/bench/dehaze.py --sheets sheets --write-results
    python tests/bench/dehaze.py --pairs --limit 5 --variant default --variant transmission=rgb

Three kinds of case: --pairs, real pairs (RESIDE SOTS, REVIDE); --made, real clips hazed by the physical model in linear
light, see made.py; --video, a real hazy clip, which has no truth: only its steadiness is scored. Without any of the
three: all. A variant is ``default`` or SETTING=VALUE,…; without any: ``default`` and ``objective=paper``.
"""

from __future__ import annotations

import functools

import classical
import made
import pairs
from clips import layer_clips
from fidelity import detail_gain
from restoration import Case, Contest
from restoration_command import Choice, run_contest

CONTEST = Contest(
    task="dehaze",
    layer="clear",
    simple={"dark channel": classical.dark_channel_prior},
    oracles={},
    gain=detail_gain,
    gain_in_words="the gain in detail (mean slope of the smoothed frames, of result over plate)",
)


def cases(choice: Choice) -> list[Case]:
    """The cases of this bench."""
    found: list[Case] = []
    if choice.pairs:
        found += [Case.of_pair(pair) for pair in pairs.dehaze_pairs()]
    if choice.made:
        found += [
            Case.of_made(
                clip.name, f"{made.veil_of(clip)} haze, {choice.count(clip)} frames",
                functools.partial(made.hazed, clip, choice.frames),
            )
            for clip in layer_clips(choice.clips)
        ]  # fmt: skip
    if choice.video:
        found.append(Case.of_video("hazy video", pairs.hazy_video()))
    return found


if __name__ == "__main__":
    run_contest(CONTEST, cases, __doc__)
