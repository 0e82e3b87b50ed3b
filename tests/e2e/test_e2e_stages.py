"""The stages one by one, in chunks and out of order, as a farm runs them."""

from __future__ import annotations

from pathlib import Path

from tests.e2e import command


def test_chunks_in_any_order_give_what_one_run_gives(plate: str, quick: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert command.vdp("init", plate, "--out", out, "--quality", "draft").returncode == 0
    steps: list[list[list[str | Path]]] = [
        [["prep", out, "--frames", "1005-1008"], ["prep", out, "--frames", "1001-1004"]],
        [["fit", out]],
        [["render", out, "--frames", "1008,1002,1001"], ["render", out]],  # two workers on the same frames
        [["check", out]],
    ]
    for commands in steps:
        for done in command.together(*commands):
            assert done.returncode == 0, done.stderr
        assert command.litter(out) == set()
    assert command.same_pixels(out, quick)
    for name in [".vdp/model.safetensors", *(f".vdp/flow/demo.{n}.safetensors" for n in range(1001, 1009))]:
        assert (out / name).read_bytes() == (quick / name).read_bytes(), name


def test_stages_say_what_they_lack(plate: str, quick: Path, tmp_path: Path) -> None:
    no_model, stale, half = (command.copy(quick, tmp_path / name) for name in ("no_model", "stale", "half"))
    for path in (".vdp/model.safetensors", "demo.1003.exr"):
        (no_model / path).unlink()
    for path in (".vdp/model.safetensors", ".vdp/flow/demo.1006.safetensors"):
        (half / path).unlink()
    assert command.vdp("init", plate, "--out", stale, "--quality", "draft", "--seed", "9").returncode == 0
    cases: list[tuple[list[str | Path], int, tuple[str, ...]]] = [
        (["render", no_model, "--frames", "1003"], 2, ("vdp fit",)),
        (["fit", half], 2, ("frame 1006", "vdp prep")),
        (["check", stale], 1, ("demo.1001.exr", "vdp render")),
    ]
    for (_, code, words), done in zip(cases, command.together(*(args for args, _, _ in cases)), strict=True):
        assert done.returncode == code, done.stderr
        assert all(word in done.stderr for word in words) and "Traceback" not in done.stderr, done.stderr
