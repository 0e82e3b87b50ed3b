"""The manifest of a batch: which shots, with which settings, and where to. Judged whole before anything starts."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vdp_engine.batch.entry import KEYS, ShotSpec, read_entry
from vdp_engine.batch.find import find_shots
from vdp_engine.batch.written import Cell, Entry, Mistake, Written, read_csv, read_yaml
from vdp_engine.errors import EXIT_TRY_AGAIN, UsageError
from vdp_engine.plate import colour

__all__ = ["KEYS", "Manifest", "ManifestError", "ShotSpec", "load"]

_READERS = {".yaml": read_yaml, ".yml": read_yaml, ".json": read_yaml, ".csv": read_csv, ".tsv": read_csv}


class ManifestError(UsageError):
    """Mistakes in a manifest, all of them.

    Attributes:
        mistakes: one error each, which begins with file and line.
    """

    def __init__(self, path: Path, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = tuple(UsageError(_told(path, mistake), code="manifest") for mistake in mistakes)
        count = "a mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        self.summary = UsageError(
            f"{count} in {path}", code="manifest", path=path, remedy="nothing was started: mend the manifest first"
        )
        super().__init__(
            f"{count} in {path}: " + "; ".join(mistake.happened for mistake in self.mistakes), code="manifest"
        )
        if all(mistake.passing for mistake in mistakes):  # plates that are still being written
            self.exit_code = self.summary.exit_code = EXIT_TRY_AGAIN


@dataclass(frozen=True)
class Manifest:
    """Shots to decompose.

    Attributes:
        path: the file, or the folder of shots.
        shots: in their order, each with a name and an output folder of its own.
    """

    path: Path
    shots: tuple[ShotSpec, ...]


def load(path: Path, *, out: Path | None = None, fresh: bool = False) -> Manifest:
    """Read a manifest and open every plate and hint in it; no pixel of a plate is read, and nothing is written.

    Args:
        path: YAML, CSV with a header row, or a folder: each sequence in it or below is a shot.
        out: folder that the output folders of shots which name none are made in, by their names.
        fresh: output folders that hold other shots are fine, as they are to be emptied.

    Raises:
        ManifestError: there are mistakes in it; all of them, each with file and line.
        UsageError: it cannot be read, the folder holds no shots, or the OCIO config cannot be loaded.
    """
    colour.config()
    written = _of_folder(path) if path.is_dir() else _of_file(path)
    base = Path(os.path.abspath(path)).parent
    mistakes = list(written.mistakes)
    shots: list[ShotSpec] = []
    if not written.shots and not mistakes:
        mistakes.append(Mistake(1, "there are no shots in it"))
    for entry in written.shots:
        spec, wrong = read_entry(entry, written.defaults, base, out=out, fresh=fresh)
        mistakes += wrong
        if spec is not None:
            shots.append(spec)
    mistakes += _clashes(shots)
    if mistakes:
        # A mistake in the defaults is found with every shot, and told once.
        raise ManifestError(path, sorted(dict.fromkeys(mistakes), key=lambda mistake: mistake.line))
    return Manifest(path, tuple(shots))


def _of_file(path: Path) -> Written:
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise UsageError(
            f"{path} is no manifest", code="manifest", path=path, expected="a .yaml or .csv file, or a folder of shots",
            remedy="`vdp batch --init FOLDER` writes one",
        )  # fmt: skip
    try:
        return reader(path.read_bytes().decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise ManifestError(path, [Mistake(line, "this is not UTF-8 text")]) from None
    except FileNotFoundError:
        raise UsageError(f"there is no manifest {path}", code="manifest", path=path) from None


def _of_folder(path: Path) -> Written:
    shots = [
        Entry(0, {"plate": Cell((one.plate,), 0), "name": Cell((one.name.replace("{", "{{"),), 0)})
        for one in find_shots(path)
    ]
    return Written(Entry(0), tuple(shots), ())


def _clashes(shots: Sequence[ShotSpec]) -> Iterator[Mistake]:
    """Shots that would write over each other, or among the frames of a plate."""
    names: dict[str, ShotSpec] = {}
    folders: dict[str, ShotSpec] = {}
    plates = {_key(Path(spec.plate).parent): spec for spec in shots}
    for spec in shots:
        other = names.setdefault(spec.name, spec)
        if other is not spec:
            yield Mistake(spec.line, f"the name {spec.name!r} is taken by {_where(other)}: give this shot a `name`")
        other = folders.setdefault(_key(spec.out), spec)
        if other is not spec:
            yield Mistake(spec.line, f"the folder {spec.out} is that of {_where(other)}: put {{name}} into `out`")
        plate = plates.get(_key(spec.out))
        if plate is not None:
            yield Mistake(spec.line, f"the layers would lie among the frames of {plate.plate}: choose another `out`")


def _where(spec: ShotSpec) -> str:
    return f"the shot in line {spec.line}" if spec.line else f"the shot of {spec.plate}"


def _key(folder: Path) -> str:
    return os.path.normcase(os.path.realpath(folder))


def _told(path: Path, mistake: Mistake) -> str:
    return f"{path}:{mistake.line}: {mistake.message}" if mistake.line else f"{path}: {mistake.message}"
