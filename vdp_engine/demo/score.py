"""How close a decomposition of the demo plate came to the layers it was made from."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np

from vdp_engine import files
from vdp_engine.check.layers_file import LayerFile
from vdp_engine.check.rebuild import expected, measure_rebuild
from vdp_engine.equations import Channels, colour
from vdp_engine.plate import log_encode
from vdp_engine.shot import Shot

_OPAQUE, _CLEAR = 0.99, 0.01


@dataclass(frozen=True)
class DemoScore:
    """The demo's score; means over all frames.

    Attributes:
        j: area of the intersection over the union of matte and truth, both above 0.5.
        alpha_mae, alpha_mse: error of the matte within two pixels of where the truth is neither 0 nor 1.
        clean_psnr: of the clean plate in dB, log-encoded with 1.0 as peak, where the object covers the background in
            this frame and another frame shows it.
        colour_error: mean |error| of the premultiplied foreground over its mean, scene-linear.
        rebuild: largest rebuild error of any pixel in half ulps.
    """

    j: float
    alpha_mae: float
    alpha_mse: float
    clean_psnr: float
    colour_error: float
    rebuild: float

    def as_dict(self) -> dict[str, float]:
        """The numbers by name, as in ``score.json``."""
        return asdict(self)

    def lines(self) -> list[str]:
        """The score for a person."""
        return [
            f"matte       J {self.j:.3f} (mean IoU; 1 is perfect)",
            f"soft edge   mean error {self.alpha_mae:.3f}, mean squared error {self.alpha_mse:.4f}",
            f"clean plate {self.clean_psnr:.1f} dB where the creature hides it (log-encoded)",
            f"colour      {100 * self.colour_error:.1f}% off in the foreground (premultiplied, scene-linear)",
            f"rebuild     {self.rebuild:.2f} half ulps at the worst pixel (2 allowed)",
        ]


@dataclass(frozen=True)
class _FrameScore:
    j: float
    alpha_mae: float
    alpha_mse: float
    clean_error: float  # sum of squares over the hidden pixels
    hidden: int
    colour_error: float
    rebuild: float


def score_demo(folder: Path, shot: Shot) -> DemoScore:
    """Score the layers of ``shot`` against ``folder/truth``, and write ``folder/score.json``.

    Raises:
        CheckError: a layer file, or a file of the truth, is missing or damaged.
    """
    cameras = {frame: _camera_step(_truth(folder, frame)) for frame in shot.frames}
    alphas = {frame: _truth(folder, frame)["fg1.A"] for frame in shot.frames}
    frames = [
        _score_frame(shot, frame, _truth(folder, frame), _hidden_but_seen(frame, cameras, alphas))
        for frame in shot.frames
    ]
    hidden = max(sum(one.hidden for one in frames), 1)
    score = DemoScore(
        j=float(np.mean([one.j for one in frames])),
        alpha_mae=float(np.mean([one.alpha_mae for one in frames])),
        alpha_mse=float(np.mean([one.alpha_mse for one in frames])),
        clean_psnr=-10 * float(np.log10(max(sum(one.clean_error for one in frames) / (3 * hidden), 1e-12))),
        colour_error=float(np.mean([one.colour_error for one in frames])),
        rebuild=max(one.rebuild for one in frames),
    )
    files.write_json(folder / "score.json", score.as_dict())
    return score


def _score_frame(shot: Shot, frame: int, truth: Channels, hidden: np.ndarray) -> _FrameScore:
    written = _read(shot.layer_file(frame), frame)
    straight = shot.settings.alpha == "straight"
    matte, alpha = written["A"], truth["fg1.A"]
    mask, object_ = matte > 0.5, alpha > 0.5
    soft = cv2.dilate(((alpha > _CLEAR) & (alpha < _OPAQUE)).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    error = np.abs(matte - alpha)[soft].astype(np.float64)
    clean = log_encode(colour(written, "clean")) - log_encode(colour(truth, "clean"))
    foreground = _foreground(written, straight=straight)
    known = colour(truth, "fg1")
    plate = shot.plate.read(frame)
    light, _ = expected(plate.pixels, shot.settings.bit_depth)
    rebuilt = measure_rebuild(shot.settings.task, written, light, straight=straight)
    return _FrameScore(
        j=int(np.count_nonzero(mask & object_)) / max(int(np.count_nonzero(mask | object_)), 1),
        alpha_mae=float(error.mean()),
        alpha_mse=float(np.square(error).mean()),
        clean_error=float(np.square(clean[hidden], dtype=np.float64).sum()),
        hidden=int(np.count_nonzero(hidden)),
        colour_error=float(np.abs(foreground - known).mean() / np.abs(known).mean()),
        rebuild=rebuilt.worst,
    )


def _foreground(written: Channels, *, straight: bool) -> np.ndarray:
    """All foreground layers together, premultiplied: what stands in front of the background."""
    names = sorted({name.split(".")[0] for name in written if name.startswith("fg")})
    parts = [colour(written, name) * (written[f"{name}.A"][..., None] if straight else 1) for name in names]
    return np.sum(parts, axis=0)


def _camera_step(truth: Channels) -> np.ndarray:
    """(3, 3) matrix that carries background pixels (x, y, 1) of a frame to the next one; y down.

    The demo's background is flat and its camera pans, rolls and zooms: its flow is linear in x and y, and known
    exactly wherever the background shows.
    """
    rows, columns = np.nonzero(truth["fg1.A"] <= 0)
    place = np.column_stack([columns, rows, np.ones(len(rows))])
    there = place[:, :2] + np.column_stack([truth["forward.u"][rows, columns], -truth["forward.v"][rows, columns]])
    matrix, *_ = np.linalg.lstsq(place, there, rcond=None)
    return np.vstack([matrix.T, [0, 0, 1]])


def _hidden_but_seen(frame: int, cameras: dict[int, np.ndarray], alphas: dict[int, np.ndarray]) -> np.ndarray:
    """Bool (H, W): background that the object covers in ``frame`` and some other frame shows."""
    hidden = alphas[frame] > 0.5
    rows, columns = np.nonzero(hidden)
    here = np.vstack([columns, rows, np.ones(len(rows))])
    seen = np.zeros(len(rows), bool)
    for other, alpha in alphas.items():
        x, y = (_between(frame, other, cameras) @ here)[:2].round().astype(int)
        inside = (x >= 0) & (x < alpha.shape[1]) & (y >= 0) & (y < alpha.shape[0])
        seen[inside] |= alpha[y[inside], x[inside]] < _CLEAR
    hidden[rows, columns] = seen
    return hidden


def _between(frame: int, other: int, cameras: dict[int, np.ndarray]) -> np.ndarray:
    """The camera's (3, 3) matrix from one frame to another."""
    matrix = np.eye(3)
    for step in range(min(frame, other), max(frame, other)):
        matrix = cameras[step] @ matrix
    return matrix if other >= frame else np.asarray(np.linalg.inv(matrix))


def _truth(folder: Path, frame: int) -> Channels:
    return _read(folder / "truth" / f"demo.{frame}.exr", frame)


def _read(path: Path, frame: int) -> Channels:
    with LayerFile(path, frame) as file:
        bands = [channels for _, channels in file.bands()]
        return {name: np.vstack([band[name] for band in bands]) for name in file.names}
