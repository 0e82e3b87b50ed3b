"""``vdp batch``: many shots from a manifest."""

from __future__ import annotations

import contextlib
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vdp_engine.cli.options import (
    Command,
    dry_run_option,
    machine_from,
    machine_options,
    option,
    progress_option,
)
from vdp_engine.cli.session import Session
from vdp_engine.errors import UsageError, VdpError
from vdp_engine.settings import Machine

if TYPE_CHECKING:
    from vdp_engine.batch import Manifest
    from vdp_engine.batch.results import BatchState
    from vdp_engine.batch.run import Batch
    from vdp_engine.progress import Dialect, Reporter

_EPILOG = """\b
A manifest, as YAML:
  defaults:                         any setting of `vdp run --help`, with _ for -, and name, out, frames
    out: layers/{name}              {name}: the shot's name; {folder}: the folder of its plate
    quality: final
  shots:
    - plate: plates/sh010/sh010.####.exr
    - plate: plates/sh020/sh020.####.exr
      frames: 1001-1050
      hints: [hints/dog.1024.png]

\b
The same as CSV: a header row such as plate,name,out,frames,hints; empty cells are not given; | separates hints. Paths
are relative to the manifest. All of it is checked before anything starts, and every mistake told with its line.

\b
Examples:
  vdp batch --init plates/ --to batch.yaml       write a manifest of what is there
  vdp batch batch.yaml --dry-run                 check it, and say what is left to do
  vdp batch batch.yaml --jobs 2
  vdp batch plates/ --out layers/                without a manifest: every sequence in plates/ and below

\b
What comes: the layers of every shot as from `vdp run`, batch.report.json and batch.report.html beside the manifest,
rewritten at the end of each shot, and a table. Ends with 1 where a shot failed.

What to do next: open batch.report.html. Mend what failed, then repeat the command: it does only what is missing.
$VDP_FARM_ENGINE is the command that starts vdp for each shot, where that is not to be this very one.
"""
_MANIFEST_NAME = "batch.yaml"
_REPORT_NAME = "batch.report.json"
_REPORT_HELP = f"Report to write, with its page of the same name beside it. [default: {_REPORT_NAME} beside MANIFEST]"


@click.command(cls=Command, epilog=_EPILOG, short_help="Decompose many shots from a manifest.")
@click.argument("manifest", metavar="[MANIFEST]", required=False, type=click.Path(path_type=Path))
@machine_options
@option("--jobs", metavar="N", type=click.IntRange(min=1), default=1, help="Shots at once. [default: 1]")
@option(
    "--out", metavar="DIR", type=click.Path(path_type=Path),
    help="Folder for the folders of shots that name no out of their own, made by their names.",
)
@option("--report", metavar="FILE", type=click.Path(path_type=Path), help=_REPORT_HELP)
@option(
    "--init", "init", metavar="DIR", type=click.Path(path_type=Path),
    help="Write a manifest of the sequences in DIR and below, then end.",
)
@option(
    "--to", metavar="FILE", type=click.Path(path_type=Path),
    help=f"Manifest for --init to write; never over one that is there. [default: {_MANIFEST_NAME}]",
)
@progress_option
@option("--fresh", is_flag=True, help="Remove what earlier runs left of every shot, then start.")
@dry_run_option
@click.pass_obj
def batch(
    session: Session, /, manifest: Path | None, init: Path | None, to: Path | None, progress: Dialect, **values: Any
) -> None:
    """Decompose many shots, some at once, each as `vdp run` would.

    MANIFEST is a YAML or CSV file, or a folder of shots: each sequence in it or below is one.

    Threads, --max-memory and GPUs are shared out among the jobs. A shot that fails stops no other; one that lacked
    memory or disk is tried again at the end, by itself.
    """
    machine = machine_from(values)
    if init is not None:
        if manifest is not None:
            raise UsageError("--init writes a manifest, and takes none", code="command", remedy="name it with --to")
        return _init(session, init, to or Path(_MANIFEST_NAME), progress)
    if manifest is None:
        raise UsageError(
            "a manifest is missing", code="command", remedy="`vdp batch --init FOLDER` writes one; see vdp batch --help"
        )
    with session.working(machine, progress) as reporter:
        shots = _load(manifest, values["out"], values["fresh"], reporter)
        if values["dry_run"]:
            return _tell_plan(session, shots, values["fresh"])
        _work(session, reporter, shots, machine, values)


def _init(session: Session, folder: Path, to: Path, progress: Dialect) -> None:
    with session.working(Machine.parse(), progress) as reporter:
        from vdp_engine.batch.find import write_manifest

        count = write_manifest(folder, to)
        reporter.result(manifest=to.absolute())
        shots = "1 shot" if count == 1 else f"{count} shots"
        session.tell([f"{shots}; look through it, then: vdp batch {to}"])


def _load(path: Path, out: Path | None, fresh: bool, reporter: Reporter) -> Manifest:
    from vdp_engine.batch import ManifestError, load

    reporter.note(f"looking through {path} and its plates")
    try:
        return load(path, out=out, fresh=fresh)
    except ManifestError as error:
        for mistake in error.mistakes:
            reporter.error(mistake)
        raise error.summary from None


def _tell_plan(session: Session, manifest: Manifest, fresh: bool) -> None:
    from vdp_engine.batch.results import Result, table
    from vdp_engine.batch.run import finished

    results = [Result(spec) for spec in manifest.shots]
    for result in results:
        report = None if fresh else finished(result.spec)
        if report is not None:
            result.state, result.report = "there already", report
    session.tell(table(results))


def _work(
    session: Session, reporter: Reporter, manifest: Manifest, machine: Machine, values: dict[str, Any]
) -> None:  # fmt: skip
    from vdp_engine.batch.lanes import deal
    from vdp_engine.batch.results import GOOD, page_file, table, write_results
    from vdp_engine.batch.run import Batch

    path = (values["report"] or _report_file(manifest, values["out"])).absolute()
    if path == page_file(path):
        raise UsageError("the report is JSON, and its page lies beside it", code="report", remedy="name a .json file")
    jobs = min(values["jobs"], len(manifest.shots))
    began = time.monotonic()

    def write(state: BatchState) -> None:
        write_results(path, manifest.path, work.results, state, time.monotonic() - began)

    def changed() -> None:
        # What cannot be written now may be later; the shots go on, and the end tells.
        with contextlib.suppress(VdpError):
            write("running")

    work = Batch(
        manifest.shots, _engine(), deal(machine, jobs), deal(machine, 1)[0], reporter,
        fresh=values["fresh"], changed=changed,
    )  # fmt: skip
    write("running")
    _run(work, write)
    reporter.result(report=path, index=page_file(path))
    session.tell(table(work.results))
    failed = [result.spec.name for result in work.results if result.state not in GOOD]
    if failed:
        raise VdpError(
            f"{len(failed)} of {len(work.results)} shots failed: {', '.join(failed)}", code="batch", path=path,
            remedy="the table and the report say why; the same command does only what is missing",
        )  # fmt: skip


def _run(work: Batch, write: Any) -> None:
    from vdp_engine.batch.results import GOOD

    try:
        work.run()
    except BaseException:
        with contextlib.suppress(VdpError):
            write("stopped")
        raise
    write("done" if all(result.state in GOOD for result in work.results) else "failed")


def _report_file(manifest: Manifest, out: Path | None) -> Path:
    if manifest.path.is_dir():
        return (out or manifest.path) / _REPORT_NAME
    return manifest.path.parent / _REPORT_NAME


def _engine() -> tuple[str, ...]:
    from vdp_engine.farm.options import default_engine

    engine = default_engine()
    if shutil.which(engine[0]) is None:
        raise UsageError(
            f"the engine's command {engine[0]} is not there", code="engine", remedy="mend or unset $VDP_FARM_ENGINE"
        )
    return engine
