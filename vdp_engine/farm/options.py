"""What a farm job needs to know that is not about the layers."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path, PurePath

from pydantic import BaseModel, ConfigDict, Field, field_validator

from vdp_engine.errors import UsageError
from vdp_engine.machine import parse_bytes

ENGINE_VARIABLE = "VDP_FARM_ENGINE"


def split_command(text: str) -> tuple[str, ...]:
    """A command as a person writes it, as an argument list: quotes group words, nothing else is special.

    Raises:
        UsageError: a quote is not closed, or there is nothing in it.
    """
    try:
        # The backslashes of Windows' paths are no escapes.
        words = shlex.split(text, posix=os.name != "nt")
    except ValueError as error:
        raise UsageError(f"the command {text!r} cannot be read: {error}", code="farm_engine") from None
    if not words:
        raise UsageError("the command that starts vdp on the workers is empty", code="farm_engine")
    return tuple(word.strip('"') if os.name == "nt" else word for word in words)


def default_engine() -> tuple[str, ...]:
    """The command in ``VDP_FARM_ENGINE``, else this very Python and this very package."""
    named = os.environ.get(ENGINE_VARIABLE, "").strip()
    if named:
        return split_command(named)
    # -I keeps a worker's own PYTHONPATH out, but not where this package was itself found by one.
    package = Path(__file__).resolve().parents[2]
    entries = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    by_path = any(entry and Path(entry).resolve() == package for entry in entries)
    return (sys.executable, *(() if by_path and not sys.flags.isolated else ("-I",)), "-m", "vdp_engine")


class FarmOptions(BaseModel):
    """How the stages of a shot are to be cut and run on a farm. Frozen; unknown names are refused.

    Attributes:
        engine: argument list that starts ``vdp`` on the workers.
        gpu: whether ``fit`` asks for a GPU, and fails where it gets none; else it computes on the CPU.
        prep_chunk: frames a task of ``prep``.
        render_chunk: frames a task of ``render``.
        cores: CPU cores a task; 0: the farm's default, and all that the task finds.
        memory: memory a task, as ``16G``; ``0``: the farm's default, and three quarters of what the task finds.
        timeout: minutes after which a task is surely hung.
        extra: names and values that are handed through to the farm's engine, such as ``("partition", "gpu")``.
        path_map: folders here, and where the workers find them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    engine: tuple[str, ...] = Field(default_factory=default_engine, min_length=1)
    gpu: bool = True
    prep_chunk: int = Field(25, ge=1)
    render_chunk: int = Field(10, ge=1)
    cores: int = Field(0, ge=0)
    memory: str = "16G"
    timeout: int = Field(240, ge=1)
    extra: tuple[tuple[str, str], ...] = ()
    path_map: tuple[tuple[str, str], ...] = ()

    @field_validator("memory")
    @classmethod
    def _is_an_amount(cls, value: str) -> str:
        parse_bytes(value)  # raises UsageError
        return value

    @property
    def memory_mb(self) -> int:
        """Megabytes a task; 0: the farm's default."""
        return parse_bytes(self.memory) >> 20

    def value(self, name: str, default: str = "") -> str:
        """The value handed through under a name; the last one counts."""
        return dict(self.extra).get(name, default)

    def mapped(self, path: str | PurePath) -> str:
        """A path as the workers know it: the longest folder of ``path_map`` that it lies in is replaced.

        Only whole folders count: ``/mnt/show`` does not touch ``/mnt/shows``. What lies in none of them stays.
        """
        here = str(path)
        best: tuple[int, str] | None = None
        for source, target in self.path_map:
            rest = _inside(here, source)
            if rest is not None and (best is None or len(source) > best[0]):
                best = len(source), _joined(target, rest)
        return here if best is None else best[1]


def _inside(path: str, folder: str) -> list[str] | None:
    """The parts of ``path`` below ``folder``; ``None`` where it does not lie in it."""
    # Windows takes both slashes and does not tell capitals apart; elsewhere a backslash is part of a name.
    windows = "\\" in folder or folder[1:2] == ":"
    parts, above = _parts(path, windows), _parts(folder, windows)
    same = [part.lower() for part in parts[: len(above)]] if windows else parts[: len(above)]
    if same != ([part.lower() for part in above] if windows else above):
        return None
    return parts[len(above) :]


def _parts(path: str, windows: bool) -> list[str]:
    text = path.replace("\\", "/") if windows else path
    return (text.rstrip("/") or "").split("/")


def _joined(target: str, rest: list[str]) -> str:
    slash = "\\" if "\\" in target else "/"
    if not rest:
        return target
    return slash.join((target.rstrip("/\\"), *rest))
