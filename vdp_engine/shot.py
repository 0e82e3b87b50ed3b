"""One shot: its plate, its frames, its settings, and where its files lie."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from vdp_engine import __version__, files
from vdp_engine.errors import PlateError, ShotError, UsageError
from vdp_engine.plate import Plate, colour, format_frames, parse_frames
from vdp_engine.plate.hints import Hint, open_hints
from vdp_engine.settings import Settings

_FORMAT = 1


@dataclass(frozen=True)
class Shot:
    """One shot and the layout of its output folder.

    Attributes:
        out: the folder of the results (``OUT``).
        name: stem of every result file.
        pattern: the plate's sequence pattern, absolute.
        frames: the frames to decompose, ascending.
        settings: what the user asked for.
    """

    out: Path
    name: str
    pattern: str
    frames: tuple[int, ...]
    settings: Settings = field(default_factory=Settings)

    @classmethod
    def create(
        cls, plate: str, out: Path, *, frames: str | None = None, name: str | None = None, settings: Settings
    ) -> Shot:
        """Open the plate and the hints, and say what is to be done with them; writes nothing.

        Raises:
            PlateError: plate or hints are not usable, the first fault by file and frame.
            UsageError: the name is not one a file can have, the results would lie among the plate's own files or
                over the hints, or the OCIO config cannot be loaded, which the contact sheet would find out after all
                the work.
        """
        colour.config()
        opened = _open(plate, frames, settings)
        chosen = name or default_name(opened.sequence.pattern)
        files.require_stem(chosen)
        if out.resolve() == Path(opened.sequence.pattern).parent.resolve():
            raise UsageError(
                "the results would lie among the plate's own files", code="out", path=out,
                remedy="choose another folder as --out",
            )  # fmt: skip
        hints = open_hints(settings.hints, opened, opened.frames)
        exact = settings.model_copy(update={"hints": tuple(hint.pattern for hint in hints)})
        shot = cls(out.absolute(), chosen, opened.sequence.pattern, opened.frames, exact)
        shot._accept(hints)
        # Already scanned: spare the stages a second scan.
        shot.__dict__.update(plate=opened, hints=hints)
        return shot

    @classmethod
    def load(cls, place: Path) -> Shot:
        """The shot of an output folder (or of its ``shot.json``).

        Raises:
            ShotError: there is none, or it is damaged or of another version.
        """
        path = place if place.name == "shot.json" else place / ".vdp" / "shot.json"
        remedy = "give the folder that `vdp run` or `vdp init` wrote with --out"
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            if stored["format"] != _FORMAT:
                raise ShotError(
                    f"the shot is of format {stored['format']}, this engine reads {_FORMAT}", code="format", path=path,
                    remedy="use the engine that wrote it, or start again with --fresh",
                )  # fmt: skip
            return cls(
                path.parent.parent.absolute(),
                stored["name"],
                stored["plate"],
                parse_frames(stored["frames"]),
                Settings(**stored["settings"]),
            )
        except (FileNotFoundError, NotADirectoryError):
            raise ShotError("there is no shot here", code="not_found", path=path, remedy=remedy) from None
        except (ValueError, KeyError, TypeError, UsageError) as error:  # ValidationError is a ValueError
            raise ShotError(f"the shot cannot be read: {error}", code="damaged", path=path, remedy=remedy) from None

    def save(self) -> None:
        """Write ``shot.json`` (not touched where it already says the same).

        Raises:
            UsageError: the folder holds the results of another plate or under another name.
        """
        self.refuse_other()
        text = json.dumps(self.as_dict(), indent=2, ensure_ascii=False) + "\n"
        if not (self.file.exists() and self.file.read_text(encoding="utf-8") == text):
            files.write_text(self.file, text)

    def as_dict(self) -> dict[str, Any]:
        """What ``shot.json`` holds."""
        return {
            "format": _FORMAT,
            "vdp": __version__,
            "name": self.name,
            "plate": self.pattern,
            "frames": format_frames(self.frames),
            "settings": self.settings.model_dump(mode="json"),
        }

    def refuse_other(self) -> None:
        """Raise UsageError where the folder holds the results of another plate or under another name."""
        if not self.file.exists():
            return
        try:
            other = Shot.load(self.out)
        except ShotError:
            return  # damaged or older: it is rewritten, and digests tell what can still be used
        if (other.pattern, other.name) != (self.pattern, self.name):
            raise UsageError(
                f"{self.out} holds the layers of {other.name} ({other.pattern})", code="other_shot",
                remedy="choose another --out, or --fresh to start over in this one",
            )  # fmt: skip

    def clear(self) -> None:
        """Remove what earlier runs left in the output folder (``--fresh``): this shot's results, nothing else."""
        if not self.work.is_dir():
            return  # no run was here: files of such names are somebody else's
        names = {self.name}
        with contextlib.suppress(ShotError):
            names.add(Shot.load(self.out).name)
        for name in names:
            stem = re.escape(name)
            ours = re.compile(rf"{stem}\.(-?\d+\.exr|sheet\.png|report\.json)")
            for path in self.out.glob("*") if self.out.is_dir() else ():
                if ours.fullmatch(path.name):
                    path.unlink()
        shutil.rmtree(self.work, ignore_errors=True)

    @cached_property
    def plate(self) -> Plate:
        """The plate, opened once; PlateError as ``Plate.open``."""
        return _open(self.pattern, format_frames(self.frames), self.settings)

    @cached_property
    def hints(self) -> tuple[Hint, ...]:
        """The hints of the settings, opened once; the first steers the first foreground layer.

        Raises:
            ShotError: one of them cannot be used any more.
            PlateError: the plate cannot be opened.
        """
        if not self.settings.hints:
            return ()  # without a look at the plate
        plate = self.plate
        try:
            return open_hints(self.settings.hints, plate, self.frames)
        except PlateError as error:
            raise ShotError(
                error.happened, code="hint", path=error.path, frame=error.frame, expected=error.expected,
                remedy="put it back as it was, or repeat `vdp run` (on a farm: `vdp init`, then `vdp fit`) with the "
                "hints there are: that fits and renders again",
            ) from error  # fmt: skip

    def chosen_frames(self, frames: str | None) -> tuple[int, ...]:
        """The frames of this shot that a stage was asked for (``None``: all).

        Raises:
            UsageError: a frame is not in the shot.
        """
        if frames is None:
            return self.frames
        asked = parse_frames(frames)
        outside = sorted(set(asked) - set(self.frames))
        if outside:
            raise UsageError(
                f"frames {format_frames(tuple(outside))} are not in the shot", code="frames", path=self.file,
                expected=f"frames out of {format_frames(self.frames)}",
            )  # fmt: skip
        return asked

    def _accept(self, hints: tuple[Hint, ...]) -> None:
        for hint in hints:
            for frame in hint.frames:
                if hint.path(frame).resolve() == self.layer_file(frame).resolve():
                    raise UsageError(
                        f"the results would overwrite the hint {hint.path(frame)}", code="hint", frame=frame,
                        remedy="copy the frames that are good into another folder, and give that as --hint",
                    )  # fmt: skip
            hint.check(matte=self.settings.task == "layers")

    @property
    def work(self) -> Path:
        """Folder of what the stages keep for each other."""
        return self.out / ".vdp"

    @property
    def file(self) -> Path:
        """``shot.json``."""
        return self.work / "shot.json"

    def motion_file(self, frame: int) -> Path:
        """Flow, confidence and evidence of one frame."""
        return self.work / "flow" / f"{self.name}.{frame_text(frame)}.safetensors"

    @property
    def model_file(self) -> Path:
        """The fitted nets."""
        return self.work / "model.safetensors"

    @property
    def checkpoint_file(self) -> Path:
        """The state of a fit under way."""
        return self.work / "checkpoint.safetensors"

    @property
    def log_file(self) -> Path:
        """What happened, for the person who has to find out."""
        return self.work / "log.txt"

    def layer_file(self, frame: int) -> Path:
        """The multi-layer EXR of one frame."""
        return self.out / f"{self.name}.{frame_text(frame)}.exr"

    @property
    def report_file(self) -> Path:
        """The quality report."""
        return self.out / f"{self.name}.report.json"

    @property
    def sheet_file(self) -> Path:
        """The contact sheet."""
        return self.out / f"{self.name}.sheet.png"


def frame_text(frame: int) -> str:
    """A frame number as it stands in file names: at least four digits, the sign before them."""
    return f"{frame:04d}" if frame >= 0 else f"-{-frame:04d}"


def default_name(pattern: str) -> str:
    """The stem of a sequence pattern: ``/a/shot.1001-1100#.exr`` gives ``shot``."""
    stem = Path(pattern).name
    stem = re.split(r"-?\d*(?:-?\d+x?\d*)?[#@]|%0?\d*d", stem)[0] or Path(pattern).parent.name
    stem = re.sub(r"\.(exr|dpx|tiff?|png|jpe?g|hdr)$", "", stem, flags=re.IGNORECASE)
    return stem.rstrip("._- ") or "shot"


def _open(plate: str, frames: str | None, settings: Settings) -> Plate:
    return Plate.open(
        plate, frames=frames, layer=settings.layer, colorspace=settings.colorspace, missing=settings.missing
    )
