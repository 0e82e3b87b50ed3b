"""Rows of the benches of dehaze and relight as Markdown, and their contact sheets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from clips import machine
from display import read_picture, write_picture
from restoration import OURS, UNTOUCHED, Bench, Case, Contest, command_line
from tables import Row

_TITLES = {OURS: "ours", "objective=paper": "paper"}
_WORST = 3  # marked on the sheets
_TILE = 320  # pixels wide
_LABEL = 18  # pixels high
_ROWS = 9  # of one sheet
_BAR, _MARK = (40, 40, 40), (255, 25, 25)


def document(bench: Bench, rows: Sequence[Row]) -> str:
    """All rows as the Markdown that ``results/`` holds."""
    contest = bench.contest
    parts = [
        f"# {contest.task}: against the truth and against simple methods",
        f"    {command_line()}",
        f"{machine()}; engine {bench.engine.digest}; threads a run: {bench.threads or 'all'}; seed {bench.seed}.",
    ]
    judged = [row for row in rows if "PSNR" in row]
    moving = [row for row in rows if "warp error" in row]
    if judged:
        oracles = ", ".join(contest.oracles)
        parts += [
            "## Fidelity",
            "PSNR in dB / SSIM / ΔE (CIEDE2000), each a mean over pictures, then over clips; display-referred values."
            + (f" Shown the truth, so an upper bound and no contestant: {oracles}." if oracles else ""),
            fidelity_table(judged),
            worst_lines(judged),
        ]
    if moving:
        parts += [
            "## Steadiness",
            "Warp error: mean change of display-referred values along the optical flow from frame to frame, in 1/1000, "
            f"and in brackets the most it may be: the plate's own, scaled by {contest.gain_in_words}. Over it: bold.",
            steadiness_table(contest, moving),
        ]
    engine = [row for row in rows if "peak MiB" in row]
    if engine:
        parts += ["## Cost and rebuild", cost_table(engine)]
    return "\n\n".join(parts) + "\n"


def _lines(titles: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    rows = [f"| {' | '.join(row)} |" for row in (titles, *cells)]
    return "\n".join([rows[0], "|---" * len(titles) + "|", *rows[1:]])


def _methods(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row["method"] for row in rows))


def _title(method: str) -> str:
    return _TITLES.get(method, method)


def _subjects(rows: Sequence[Row]) -> list[tuple[str, str, list[Row]]]:
    """What has a line of its own: a set of pictures; each clip of a set, and then all its clips together."""
    found = []
    for group in dict.fromkeys(row["group"] for row in rows):
        members = [row for row in rows if row["group"] == group]
        names = list(dict.fromkeys(row["case"] for row in members))
        if members[0]["frames"] > 1:
            for name in names:
                clip = [row for row in members if row["case"] == name]
                found.append((name, clip[0]["how"], clip))
        if members[0]["frames"] == 1 or len(names) > 1:
            kind = "pictures" if members[0]["frames"] == 1 else "clips"
            found.append((f"**{group}**", f"{len(names)} {kind}", members))
    return found


def fidelity_table(rows: Sequence[Row]) -> str:
    """A line for each set of pictures and each clip, a column for each method."""
    methods = _methods(rows)
    cells = []
    for name, what, members in _subjects(rows):
        line = [name, what]
        for method in methods:
            chosen = [row for row in members if row["method"] == method]
            means = [float(np.mean([row[score] for row in chosen])) for score in ("PSNR", "SSIM", "ΔE") if chosen]
            line.append("{:.2f} / {:.3f} / {:.1f}".format(*means) if means else "")
        cells.append(line)
    return _lines(["", "", *map(_title, methods)], cells)


def worst(rows: Sequence[Row], method: str) -> list[Row]:
    """The cases of ``method`` with the least PSNR, the worst first."""
    judged = (row for row in rows if row["method"] == method and "PSNR" in row)
    return sorted(judged, key=lambda row: row["PSNR"])[:_WORST]


def worst_lines(rows: Sequence[Row]) -> str:
    """The worst cases of each set."""
    lines = []
    for group in dict.fromkeys(row["group"] for row in rows):
        found = worst([row for row in rows if row["group"] == group], OURS)
        if len(found) == _WORST:
            lines.append(f"{group}: " + ", ".join(f"{row['case']} ({row['PSNR']:.1f} dB)" for row in found) + ".")
    return "Our worst. " + " ".join(lines) if lines else ""


def steadiness_table(contest: Contest, rows: Sequence[Row]) -> str:
    """A line for each clip, a column for each method."""
    methods = [method for method in _methods(rows) if method != UNTOUCHED and method not in contest.oracles]
    cells = []
    for name in dict.fromkeys(row["case"] for row in rows):
        by_method = {row["method"]: row for row in rows if row["case"] == name}
        any_row = next(iter(by_method.values()))
        line = [name]
        line.append(_thousandths(by_method[UNTOUCHED]["warp error"]) if UNTOUCHED in by_method else "")
        line.append(_thousandths(any_row["warp error of the truth"]) if "warp error of the truth" in any_row else "")
        for method in methods:
            row = by_method.get(method)
            cell = f"{_thousandths(row['warp error'])} ({_thousandths(row['warp error bound'])})" if row else ""
            line.append(f"**{cell}**" if row and row["warp error"] > row["warp error bound"] else cell)
        cells.append(line)
    return _lines(["clip", "plate", "truth", *map(_title, methods)], cells)


def _thousandths(value: float) -> str:
    return f"{1e3 * value:.1f}"


def cost_table(rows: Sequence[Row]) -> str:
    """A line for each set or clip and variant: seconds of a case, peak memory, worst rebuild, warnings."""
    cells = []
    for name, what, members in _subjects(rows):
        for method in _methods(members):
            chosen = [row for row in members if row["method"] == method]
            seconds = [row["seconds"] for row in chosen]
            codes = [code for row in chosen for code in row["warnings"]]
            cells.append([
                name, what, _title(method), f"{np.mean(seconds):.1f}", f"{max(seconds):.1f}",
                f"{max(row['peak MiB'] for row in chosen):.0f}", f"{max(row['rebuild'] for row in chosen):.2f}",
                "yes" if all(row["rebuilt"] for row in chosen) else "**no**",
                ", ".join(f"{code} ×{codes.count(code)}" for code in dict.fromkeys(codes)),
            ])  # fmt: skip
    titles = ("", "", "variant", "seconds mean", "most", "peak MiB", "rebuild, half ulps", "rebuilt", "warnings")
    return _lines(titles, cells)


def write_sheets(folder: Path, bench: Bench, cases: Sequence[Case], rows: Sequence[Row], variant: str) -> list[Path]:
    """Contact sheets of all cases: plate, the simple methods, ours, truth; a clip by its middle frame.

    The PSNR stands over each picture, of a clip over all its frames. A red bar marks the worst of a set. The worst
    single pictures of all are on a sheet of their own, without the simple methods.
    """
    task = bench.contest.task
    sheets: dict[str, list[np.ndarray]] = {}
    for group in dict.fromkeys(case.group for case in cases):
        members = [case for case in cases if case.group == group]
        marked = {row["case"] for row in worst([row for row in rows if row["group"] == group], variant)}
        words = "".join(letter if letter.isalnum() else "_" for letter in group)
        for start in range(0, len(members), _ROWS):
            sheets[f"{task}_{words}_{start // _ROWS + 1}"] = [
                _line(bench, case, rows, [*bench.contest.simple, variant], case.name in marked)
                for case in members[start : start + _ROWS]
            ]
    least = [row["case"] for row in worst([row for row in rows if row["frames"] == 1], variant)]
    if least:
        found = [next(case for case in cases if case.name == name) for name in least]
        sheets[f"{task}_worst"] = [_line(bench, case, rows, [variant], False) for case in found]
    for name, lines in sheets.items():
        width = max(line.shape[1] for line in lines)
        sheet = np.concatenate([np.pad(line, ((0, 4), (0, width - line.shape[1]), (0, 0))) for line in lines])
        write_picture(folder / f"{name}.png", sheet)
    return [folder / f"{name}.png" for name in sheets]


def _line(bench: Bench, case: Case, rows: Sequence[Row], methods: Sequence[str], marked: bool) -> np.ndarray:
    """The plate, what ``methods`` make of it, and its truth, side by side."""
    footage = case.load()
    middle = len(footage.plates) // 2
    tiles = {UNTOUCHED: footage.shown[middle]}
    for method in methods:
        simple = bench.contest.simple.get(method)
        kept = bench.result(case, method)
        tiles[method] = read_picture(kept[middle]) if simple is None else simple(footage.shown[middle])
    scored = {row["method"]: row.get("PSNR") for row in rows if (row["group"], row["case"]) == (case.group, case.name)}
    labelled = [
        _tile(tile, _title(method) + (f" {scored[method]:.1f} dB" if scored.get(method) else ""), marked)
        for method, tile in tiles.items()
    ]
    if footage.truth is not None:
        labelled.append(_tile(footage.truth[middle], f"truth of {case.name}", marked))
    return np.concatenate(labelled, axis=1)


def _tile(picture: np.ndarray, label: str, marked: bool) -> np.ndarray:
    height = round(_TILE * picture.shape[0] / picture.shape[1])
    small = cv2.resize(picture, (_TILE, height), interpolation=cv2.INTER_AREA)
    bar = np.full((_LABEL, _TILE, 3), _MARK if marked else _BAR, np.uint8)
    cv2.putText(bar, label, (4, _LABEL - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (255, 255, 255), 1, cv2.LINE_AA)
    return np.pad(np.concatenate([bar / np.float32(255), small.astype(np.float32)]), ((0, 0), (0, 4), (0, 0)))
