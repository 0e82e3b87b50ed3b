"""Jobs for OpenCue: a specification (``job.xml``), which Cuebot takes, and the same job as an outline for pyoutline.

Each step is a layer, each task a frame of it, numbered by the first frame of its chunk. OpenCue's own chunks are not
used: ``#FRAME_END#`` runs past the last frame of a layer and over every gap, and the ``#FRAMESPEC#`` of the last
chunk lacks its last frame (Cuebot's ``FrameSet.getChunk``). A frame's command is run by a shell on the worker, so it
is the same few safe words for every shot, and the path of the launcher comes in the environment.

Checked: the specification against its document type (cjsl 1.12) and against what pyoutline 1.37 makes of the outline;
its frames, run as RQD runs them; handing over, with pycue 1.37 to a stand-in for Cuebot. Not run on a Cuebot.

Options of the job: ``show`` (default ``$SHOW`` or testing), ``shot``, ``user``, ``uid``, ``facility``, ``priority``,
``maxretries`` (default 1, which is Cuebot's most), ``paused``, ``os``, ``python`` (on the workers); of all steps, or
of one as ``fit.tags``: ``tags``, ``service``, ``limits``, ``gpu_memory``.
"""

from __future__ import annotations

import getpass
import os
import re
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from vdp_engine import files
from vdp_engine.errors import TryAgainError, UsageError, VdpError
from vdp_engine.farm import ranges, tables
from vdp_engine.farm.graph import Job, Step
from vdp_engine.settings import short_digest

VARIABLE = "VDP_FARM_LAUNCHER"
_OF_JOB = ("show", "shot", "user", "uid", "facility", "priority", "maxretries", "paused", "os", "python")
_OF_STEPS = ("tags", "service", "limits", "gpu_memory")
# Cuebot has all older ones; 1.12 is the first that knows how many GPUs a layer wants.
_HEAD = (
    '<?xml version="1.0"?>\n<!DOCTYPE spec PUBLIC "SPI Cue  Specification Language" '
    '"http://localhost:8080/spcue/dtd/cjsl-1.12.dtd">\n'
)
_SPEC = "job.xml"
_START = f"import os,runpy;runpy.run_path(os.environ['{VARIABLE}'],run_name='__main__')"


class OpenCue:
    """``vdp farm opencue``."""

    name = "opencue"

    def write(self, jobs: Sequence[Job], folder: Path) -> tuple[Path, ...]:
        """``job.xml``, ``job.outline`` and what they start, for each shot; see ``Exporter.write``."""
        told = []
        for job in jobs:
            launcher = job.options.mapped(folder.absolute() / job.name / tables.LAUNCHER)
            told.append((specification(job, launcher), outline(job, launcher)))
        written = [tables.remember(jobs, folder)]
        for job, (spec, script) in zip(jobs, told, strict=True):
            place = folder / job.name
            written += (*tables.write(job.with_progress("plain"), place), place / _SPEC, place / "job.outline")
            files.write_text(place / _SPEC, spec)
            files.write_text(place / "job.outline", script)
        return tuple(written)

    def by_hand(self, jobs: Sequence[Job], folder: Path) -> tuple[str, ...]:
        """See ``Exporter.by_hand``; there is no one command for it."""
        return tuple(f"with the tools of your farm, from {folder / job.name}" for job in jobs)

    def submit(self, folder: Path) -> str:
        """Hand each job to the Cuebot of ``$CUEBOT_HOSTS`` with pycue; see ``Exporter.submit``."""
        specs = {place.name: (place / _SPEC).read_text(encoding="utf-8") for place in tables.remembered(folder)}
        for spec in specs.values():
            if "<user>root</user>" in spec or "<uid>0</uid>" in spec:
                raise UsageError(
                    "Cuebot takes no jobs of root", code="farm_root",
                    remedy="write it again as another user, or with --farm-option user=NAME --farm-option uid=NUMBER",
                )  # fmt: skip
        opencue = _pycue()
        said: list[str] = []
        for name, spec in specs.items():
            try:
                said += [job.name() for job in opencue.api.launchSpecAndWait(spec)]
            except opencue.exception.ConnectionException as error:
                raise TryAgainError(
                    f"Cuebot does not answer: {error}", code="farm", remedy="see whether CUEBOT_HOSTS is right"
                ) from error
            # pycue hands on whatever its network library raises.
            except Exception as error:
                raise VdpError(
                    f"Cuebot refused {name}: {error}", code="farm_refused", path=folder / name,
                    remedy=f"already handed over: {', '.join(said)}" if said else "",
                ) from error  # fmt: skip
        return "\n".join(said)


EXPORTER = OpenCue()


def job_name(name: str) -> str:
    """A shot's name as OpenCue lets jobs be called: ``[a-z0-9_.]``, other names marked so that they stay apart."""
    plain = re.sub(r"[^a-z0-9_.]+", "_", name.lower())
    return f"vdp_{plain}" if plain == name.lower() else f"vdp_{plain.strip('_')}_{short_digest(name)[:6]}"


def specification(job: Job, launcher: str) -> str:
    """The job as Cuebot takes it; ``launcher`` as the workers know it.

    Raises:
        UsageError: an option is not known, or a path cannot be said.
    """
    tables.require_known(job.options, _OF_JOB, _OF_STEPS, "opencue")
    name, option = job_name(job.name), job.options.value
    spec = ElementTree.Element("spec")
    _fill(spec, _identity(job))
    job_tag = ElementTree.SubElement(spec, "job", name=name)
    _fill(job_tag, {
        "paused": option("paused", "False"), "priority": option("priority", "1"),
        "maxretries": option("maxretries", "1"), "autoeat": "False", "os": option("os"),
    })  # fmt: skip
    key = ElementTree.SubElement(ElementTree.SubElement(job_tag, "env"), "key", name=VARIABLE)
    key.text = tables.require_one_line(launcher, "the folder of the job")
    layers, depends = ElementTree.SubElement(job_tag, "layers"), ElementTree.SubElement(spec, "depends")
    for step in job.steps:
        layer = ElementTree.SubElement(layers, "layer", name=step.name, type="Render")
        _fill(layer, _layer(job, step))
        if limits := _list(tables.value(job, step, "limits")):
            _list_into(ElementTree.SubElement(layer, "limits"), "limit", limits)
        services = ElementTree.SubElement(layer, "services")
        _list_into(services, "service", [tables.value(job, step, "service", "default")])
        for need in step.needs:
            depend = ElementTree.SubElement(depends, "depend", type="LAYER_ON_LAYER", anyframe="False")
            _fill(depend, {"depjob": name, "deplayer": step.name, "onjob": name, "onlayer": need})
    ElementTree.indent(spec)
    return f"{_HEAD}{ElementTree.tostring(spec, encoding='unicode')}\n"


def outline(job: Job, launcher: str) -> str:
    """The job as an outline, for studios whose jobs all go through pyoutline: ``pycuerun job.outline``."""
    lines = [
        "import outline",
        "from outline.modules.shell import Shell",
        "",
        "job = outline.current_outline()",
        f"job.set_name({job_name(job.name)!r})",
        f"job.set_env({VARIABLE!r}, {launcher!r}, pre=True)",
    ]
    for step in job.steps:
        lines.append(f"{step.name} = Shell({step.name!r}, {_shell_arguments(job, step)})")
        lines += [f"{step.name}.depend_all({need})" for need in step.needs]
    return "\n".join((*lines, ""))


def _identity(job: Job) -> dict[str, str]:
    """Whose job it is, in the words of a specification."""
    option = job.options.value
    return {
        "facility": option("facility"),
        "show": option("show", os.environ.get("SHOW", "testing")),
        "shot": option("shot", job_name(job.name)),
        "user": option("user") or getpass.getuser(),
        "uid": option("uid") or (str(os.getuid()) if hasattr(os, "getuid") else ""),
    }


def _layer(job: Job, step: Step) -> dict[str, str]:
    """What a layer is, in the words and the order of a specification; what is empty is not said."""
    return {
        "cmd": f'{_shell_word(tables.python(job))} -I -c "{_START}" {step.name} #IFRAME#',
        "range": ranges.write(tables.numbers(step), "opencue"),
        "chunk": "1",
        "cores": f"{step.cores:.1f}" if step.cores else "",
        "threadable": "True" if step.cores != 1 else "False",
        "memory": f"{step.memory_mb}m" if step.memory_mb else "",
        "gpus": "1" if step.gpu else "",
        # Cuebot books no GPU where none of its memory is asked for.
        "gpu_memory": tables.value(job, step, "gpu_memory", "1g") if step.gpu else "",
        "timeout": str(step.minutes),
        "tags": " | ".join(_list(tables.value(job, step, "tags"))),
    }


def _shell_arguments(job: Job, step: Step) -> str:
    """What a layer is, in the words of pyoutline."""
    said: dict[str, Any] = {name: value for name, value in _layer(job, step).items() if value}
    said["command"] = said.pop("cmd")
    said |= {name: int(said[name]) for name in ("chunk", "gpus", "timeout") if name in said}
    if step.cores:
        said["cores"] = step.cores
    said["threadable"] = said["threadable"] == "True"
    if "tags" in said:
        # As one text, pyoutline would drop those with an underscore.
        said["tags"] = _list(said["tags"])
    if limits := _list(tables.value(job, step, "limits")):
        said["limits"] = limits
    said["service"] = tables.value(job, step, "service", "default")
    return ", ".join(f"{name}={value!r}" for name, value in said.items())


def _shell_word(path: str) -> str:
    # ``tables.python`` lets nothing else through that a shell, of whatever kind, would take for its own.
    return f'"{path}"' if " " in path else path


def _list(text: str) -> list[str]:
    return [part.strip() for part in re.split(r"[,|]", text) if part.strip()]


def _fill(parent: ElementTree.Element, values: dict[str, str]) -> None:
    for name, value in values.items():
        if value:
            ElementTree.SubElement(parent, name).text = tables.require_one_line(value, name)


def _list_into(parent: ElementTree.Element, name: str, values: Sequence[str]) -> None:
    for value in values:
        ElementTree.SubElement(parent, name).text = tables.require_one_line(value, name)


def _pycue() -> Any:
    if not os.environ.get("CUEBOT_HOSTS"):
        raise VdpError(
            "no Cuebot is named", code="farm_command",
            remedy="set CUEBOT_HOSTS to where it listens, as cuebot.studio:8443",
        )  # fmt: skip
    try:
        import_module("opencue.api")
        return import_module("opencue")
    except ImportError:
        raise VdpError(
            "pycue is not installed here", code="farm_command",
            remedy="install opencue-pycue beside the engine, or hand over job.xml with your own tools",
        ) from None  # fmt: skip
