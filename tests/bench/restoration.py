"""What the benches of dehaze and relight share: cases, the methods side by side on each, and scores that are kept.

A case is one plate, a picture or a clip, with its truth where there is one. Every method works on the same plate: the
simple ones on its display-referred frames, the engine, as a child process, on a scene-linear EXR sequence. Truth
reaches the scores, and oracles, which are marked so. All scores are taken on display-referred values.

What is scored is kept, a JSON file for each method, case and digest of the sources, and not run again unless --fresh.
Of the engine's layers the result alone is kept, as 8-bit pictures.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from clips import Engine, read_channel, run_engine
from display import read_picture, to_display, to_linear, write_picture, write_plate
from fidelity import Motion, mean_scores, scores
from made import Made
from pairs import Pair
from tables import Row

Simple = Callable[[np.ndarray], np.ndarray]
"""From a frame to the result, both display-referred (H, W, 3)."""
Oracle = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""The same from a frame and its truth."""

UNTOUCHED, OURS, PAPER = "untouched", "default", "objective=paper"
_SOURCES = ("classical.py", "display.py", "fidelity.py", "made.py", "restoration.py")


@dataclass(frozen=True)
class Footage:
    """The frames of a case, float32 (H, W, 3) each: scene-linear plates, and display-referred truth or none."""

    plates: Sequence[np.ndarray]
    truth: Sequence[np.ndarray] | None

    @cached_property
    def shown(self) -> list[np.ndarray]:
        """The plates, display-referred."""
        return [to_display(light) for light in self.plates]

    @cached_property
    def motion(self) -> Motion:
        """Along the truth, or the plate where there is none."""
        return Motion(self.truth or self.shown)


@dataclass(frozen=True)
class Case:
    """One plate to restore.

    Attributes:
        group, name: the set that it is averaged in, and its name there.
        load: reads or makes it.
        how: what was done to it, in words.
    """

    group: str
    name: str
    load: Callable[[], Footage]
    how: str = ""

    @classmethod
    def of_pair(cls, pair: Pair) -> Case:
        """A real picture with its truth."""
        return cls(
            pair.group, pair.name,
            lambda: Footage([to_linear(read_picture(pair.plate))], [read_picture(pair.truth)]),
        )  # fmt: skip

    @classmethod
    def of_made(cls, name: str, how: str, make: Callable[[], Made]) -> Case:
        """A made clip."""

        def load() -> Footage:
            made = make()
            return Footage(made.plates, [to_display(light) for light in made.truth])

        return cls("made", name, load, how)

    @classmethod
    def of_video(cls, name: str, frames: Sequence[Path]) -> Case:
        """A real clip without truth."""
        return cls("video", name, lambda: Footage([to_linear(read_picture(path)) for path in frames], None))


@dataclass(frozen=True)
class Contest:
    """One task against the simple methods.

    Attributes:
        task, layer: the engine's task and the layer that holds its result.
        simple, oracles: methods by name; those that know the frame alone, and those that are shown the truth.
        gain: of a result over its plate, that the plate's own warp error is scaled by.
        gain_in_words: the same.
    """

    task: str
    layer: str
    simple: Mapping[str, Simple]
    oracles: Mapping[str, Oracle]
    gain: Callable[[Sequence[np.ndarray], Sequence[np.ndarray]], float]
    gain_in_words: str

    def without_engine(self, frames: Footage, method: str) -> list[np.ndarray]:
        """What a method other than the engine makes of the frames, display-referred."""
        if method in self.oracles:
            return [self.oracles[method](*pair) for pair in zip(frames.shown, frames.truth or (), strict=True)]
        return frames.shown if method == UNTOUCHED else [self.simple[method](frame) for frame in frames.shown]


@dataclass(frozen=True)
class Bench:
    """How a contest is run.

    Attributes:
        contest: the contest.
        scratch: absolute.
        engine: the engine.
        threads: of each run, 0 for as many as the engine likes.
        seed: of each run.
        fresh: run what has been scored before, too.
    """

    contest: Contest
    scratch: Path
    engine: Engine
    threads: int = 0
    seed: int = 0
    fresh: bool = False

    def run(self, cases: Sequence[Case], variants: Sequence[str]) -> list[Row]:
        """A row for each case and method, the simple ones first, then the engine with each variant of its settings."""
        return [row for case in cases for row in self._case(case, variants)]

    def result(self, case: Case, method: str) -> list[Path]:
        """The kept frames of an engine's result."""
        return sorted(self._folder(case, method).glob("*.png"))

    def _case(self, case: Case, variants: Sequence[str]) -> list[Row]:
        methods = [UNTOUCHED, *self.contest.simple, *self.contest.oracles, *variants]
        todo = [method for method in methods if self.fresh or not self._kept(case, method).exists()]
        footage = case.load() if todo else None
        for method in todo:
            assert footage is not None
            # An oracle has nothing to go by where there is no truth.
            if method in self.contest.oracles and footage.truth is None:
                continue
            row = self._row(case, footage, method)
            told = f"{row['PSNR']:.2f} dB" if "PSNR" in row else f"warp error {row['warp error']:.4f}"
            print(f"{case.group}, {case.name}, {method}: {told}, {row['seconds']:.1f} s", flush=True)
            kept = self._kept(case, method)
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.with_suffix(".part").write_text(json.dumps(row, indent=2))
            kept.with_suffix(".part").replace(kept)
        kept_rows = [self._kept(case, method) for method in methods]
        return [json.loads(path.read_text()) for path in kept_rows if path.exists()]

    def _row(self, case: Case, footage: Footage, method: str) -> Row:
        cost: Row = {}
        if self._is_simple(method):
            began = time.monotonic()
            frames = self.contest.without_engine(footage, method)
            cost["seconds"] = time.monotonic() - began
        else:
            frames, cost = self._restore(case, footage, method)
        return {
            "group": case.group, "case": case.name, "how": case.how, "method": method, "frames": len(frames),
            **judge(frames, footage, self.contest), **cost,
        }  # fmt: skip

    def _restore(self, case: Case, footage: Footage, variant: str) -> tuple[list[np.ndarray], Row]:
        """The engine's result, display-referred, and what it cost."""
        folder = self._folder(case, variant)
        shutil.rmtree(folder, ignore_errors=True)
        plate = write_plate(folder / "plate" / case.name, footage.plates)
        out = folder / "layers"
        options = [word for name, value in settings_of(variant).items() for word in (f"--{name}", value)]
        run = run_engine(
            "run", plate, "--task", self.contest.task, "--out", str(out), "--name", case.name,
            "--seed", str(self.seed), "--threads", str(self.threads), "--progress", "plain", *options,
            log=folder / "log.txt", engine=self.engine,
        )  # fmt: skip
        report = json.loads((out / f"{case.name}.report.json").read_text())
        found = sorted(out.glob(f"{case.name}.*.exr"))
        frames = [
            to_display(np.dstack([read_channel(path, f"{self.contest.layer}.{c}") for c in "RGB"])) for path in found
        ]
        if len(frames) != len(footage.plates):
            raise SystemExit(f"{out} holds {len(frames)} frames of {case.name}, not {len(footage.plates)}")
        for path, frame in zip(found, frames, strict=True):
            write_picture(folder / f"{path.stem}.png", frame)
        shutil.rmtree(folder / "plate")
        shutil.rmtree(out)
        return frames, {
            "seconds": run.seconds, "cpu seconds": run.cpu_seconds, "peak MiB": run.peak_mib,
            "rebuild": report["rebuild"]["worst"], "rebuilt": report["passed"],
            "warnings": [warning["code"] for warning in report["warnings"]],
        }  # fmt: skip

    def _is_simple(self, method: str) -> bool:
        return method == UNTOUCHED or method in self.contest.simple or method in self.contest.oracles

    def _folder(self, case: Case, method: str) -> Path:
        # "/" and "=" of a variant such as hint=/a/b.png do not belong in a name.
        words = "".join(letter if letter.isalnum() else "_" for letter in f"{case.group} {case.name}")
        variant = "".join(letter if letter.isalnum() else "_" for letter in method)
        frames = f"_{case.how}".replace(" ", "_") if case.how else ""
        return self.scratch / "runs" / self.contest.task / f"{variant}_seed{self.seed}" / f"{words}{frames}"

    def _kept(self, case: Case, method: str) -> Path:
        folder = self._folder(case, method)
        engine = "" if self._is_simple(method) else self.engine.digest
        return folder.with_name(f"{folder.name}.{_digest(engine)}.json")


def judge(frames: Sequence[np.ndarray], footage: Footage, contest: Contest) -> Row:
    """The scores of a result, display-referred: against the truth, where there is one, and over time in a clip.

    ``warp error bound`` is the plate's own warp error scaled by the gain.
    """
    found: Row = {}
    if footage.truth is not None:
        found |= mean_scores([scores(*pair) for pair in zip(frames, footage.truth, strict=True)])
    if len(frames) > 1:
        gain = contest.gain(frames, footage.shown)
        found |= {
            "warp error": footage.motion.warp_error(frames),
            "warp error bound": gain * footage.motion.warp_error(footage.shown),
        }
        if footage.truth is not None:
            found["warp error of the truth"] = footage.motion.warp_error(footage.truth)
    return found


def settings_of(variant: str) -> dict[str, str]:
    """What a variant, ``default`` or ``SETTING=VALUE,…``, sets, as options of the command."""
    if variant == OURS:
        return {}
    pairs = [pair.partition("=") for pair in variant.split(",")]
    if not all(name and separator for name, separator, _ in pairs):
        raise SystemExit(f"--variant takes {OURS} or SETTING=VALUE,…, not {variant!r}")
    return {name.replace("_", "-"): value for name, _, value in pairs}


def _digest(engine: str) -> str:
    """Of an engine's digest and of the sources here that scores depend on."""
    total = hashlib.sha256(engine.encode())
    for name in _SOURCES:
        total.update(Path(__file__).with_name(name).read_bytes())
    return total.hexdigest()[:12]


def spread_out(cases: Sequence[Case], limit: int | None) -> list[Case]:
    """At most ``limit`` cases of each group, evenly spaced."""
    chosen: list[Case] = []
    for group in dict.fromkeys(case.group for case in cases):
        members = [case for case in cases if case.group == group]
        count = min(limit or len(members), len(members))
        chosen += [members[index * len(members) // count] for index in range(count)]
    return chosen


def command_line() -> str:
    """How this bench was called."""
    return f"python tests/bench/{Path(sys.argv[0]).name} {' '.join(sys.argv[1:])}".strip()
