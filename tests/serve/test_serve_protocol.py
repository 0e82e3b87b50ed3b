"""What `vdp serve` makes of lines that are no good requests, and how it begins and ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vdp_engine
from tests.serve.helper import Helper
from tests.serve.layer_shots import planes, set_up, write_layers

FRAME = {"op": "frame", "shot": "/shot", "frame": 1, "output": "bg"}
PLATE = {
    "op": "plate", "shot": "/shot", "kind": "plate", "frame": 1, "window": [0, 0, 4, 4], "display": [4, 4],
    "pixel_aspect": 1, "frame_rate": 24, "components": 3, "buffer": "/buffer",
}  # fmt: skip
ANALYSE = {
    "op": "analyse", "shot": "/shot", "frames": [[1, 2]], "task": "layers", "layers": 2, "flow": "dis",
    "quality": "draft", "device": "auto", "alpha": "premultiplied", "hint": [],
}  # fmt: skip


@pytest.mark.parametrize(
    "line",
    [
        b"{", b"nonsense", b"[1, 2]", b"7", b"null", b'"hello"', b"\xff\xfe\x00", b'{"id": 1', b"{}", b"[" * 100_000,
        b'{"op": 7}', b'{"id": "one", "op": "hello"}', b'{"id": true, "op": "nothing"}', b"x" * (3 << 20),
    ],
    ids=lambda line: repr(line[:12]),
)  # fmt: skip
def test_lines_that_are_no_requests(helper: Helper, line: bytes) -> None:
    helper.write(line + b"\n\n  \n")
    answer = helper.receive(0)
    assert (answer["ok"], answer["code"]) == (False, "protocol")
    assert 0 < len(answer["message"]) < 400
    assert helper.done("hello", protocol=1)["ok"]


@pytest.mark.parametrize(
    ("request_values", "named"),
    [
        ({"op": "nothing"}, "nothing"),
        ({"op": "__class__"}, "__class__"),
        ({"op": "hello"}, "protocol"),
        ({"op": "hello", "protocol": "1"}, "protocol"),
        ({"op": "hello", "protocol": 1, "folder": "/home/somebody"}, "folder"),
        ({"op": "status"}, "shot"),
        ({"op": "status", "shot": 3}, "shot"),
        ({"op": "status", "shot": ""}, "shot"),
        ({"op": "status", "shot": "relative/shot"}, "shot"),
        ({"op": "status", "shot": "/a\0b"}, "shot"),
        ({"op": "cancel", "shot": None}, "shot"),
        ({"op": "forget"}, "shot"),
        (FRAME | {"frame": "1"}, "frame"),
        (FRAME | {"frame": 1.5}, "frame"),
        (FRAME | {"frame": True}, "frame"),
        (FRAME | {"frame": 10**30}, "frame"),
        (FRAME | {"output": ["bg"]}, "output"),
        (FRAME | {"alpha": "opaque"}, "alpha"),
        (FRAME | {"haze": -0.1}, "haze"),
        (FRAME | {"haze": "1"}, "haze"),
        (FRAME | {"mix": 1.1}, "mix"),
        (FRAME | {"mix": float("nan")}, "mix"),
        (FRAME | {"missing": "plate"}, "missing"),
        (FRAME | {"buffer": 7}, "buffer"),
        (FRAME | {"buffer": "buffer"}, "buffer"),
        (PLATE | {"kind": "layer"}, "kind"),
        (PLATE | {"window": [0, 0, 4]}, "window"),
        (PLATE | {"window": [0, 0, 4.0, 4]}, "window"),
        (PLATE | {"window": [4, 0, 0, 4]}, "window"),
        (PLATE | {"window": [0, 0, 1 << 20, 4]}, "window"),
        (PLATE | {"display": [0, 4]}, "display"),
        (PLATE | {"components": 2}, "components"),
        (PLATE | {"pixel_aspect": 0}, "pixel_aspect"),
        (PLATE | {"frame_rate": "24"}, "frame_rate"),
        (ANALYSE | {"frames": []}, "frames"),
        (ANALYSE | {"frames": [[2, 1]]}, "frames"),
        (ANALYSE | {"frames": [[1]]}, "frames"),
        (ANALYSE | {"frames": "1-2"}, "frames"),
        (ANALYSE | {"hint": True}, "hint"),
        (ANALYSE | {"task": None}, "task"),
        (ANALYSE | {"device": 1.5}, "device"),
    ],
)
def test_values_that_are_not_as_they_should(helper: Helper, request_values: dict[str, Any], named: str) -> None:
    values = dict(request_values)
    code, message = helper.refused(values.pop("op"), **values)
    assert code == "protocol"
    assert named in message
    assert "\n" not in message


def test_settings_that_are_not_allowed_start_nothing(helper: Helper, tmp_path: Path) -> None:
    for values in ({"layers": 7}, {"flow": "--fresh"}, {"task": "nothing"}, {"quality": "best"}):
        code, message = helper.refused(**ANALYSE | {"shot": tmp_path} | values)
        assert code == "usage.settings"
        assert next(iter(values)) in message
    assert helper.status(tmp_path)["state"] == "none"
    assert list(tmp_path.iterdir()) == []


def test_another_version_of_the_protocol(helper: Helper) -> None:
    code, message = helper.refused("hello", protocol=2)
    assert code == "protocol"
    assert "version 2" in message and "vdp ofx --install" in message


def test_buffers_that_cannot_be_used(helper: Helper, tmp_path: Path) -> None:
    shot = set_up(tmp_path, (1,))
    window = (0, 0, 9, 4)
    write_layers(shot.layer_file(1), planes("layers", 5, 10, np.float16, seed=0), window, window)
    for size in (0, 1, 5 * 10 * 16 - 1):
        small = helper.folder / "small"
        small.write_bytes(bytes(size))
        answer = helper.ask("frame", shot=tmp_path, frame=1, output="bg", buffer=small)
        assert (answer["ok"], answer["code"], answer["needed"]) == (False, "buffer", 5 * 10 * 16)
    code, message = helper.refused("frame", shot=tmp_path, frame=1, output="bg", buffer=helper.folder / "gone")
    assert (code, "gone" in message) == ("buffer", True)
    assert helper.refused("frame", shot=tmp_path, frame=1, output="bg", buffer=helper.folder)[0] == "buffer"


def test_buffer_that_is_used_again_and_grows(helper: Helper, tmp_path: Path) -> None:
    shot = set_up(tmp_path, (1, 2))
    buffer = helper.buffer(5 * 10 * 16)
    for frame, height in ((1, 5), (2, 8)):
        channels = planes("layers", height, 10, np.float32, seed=frame)
        write_layers(shot.layer_file(frame), channels, (0, 0, 9, height - 1), (0, 0, 9, 9))
        for layer in ("bg", "fg1"):
            answer = helper.ask("frame", shot=tmp_path, frame=frame, output=layer, buffer=buffer)
            if not answer["ok"]:
                os.truncate(buffer, answer["needed"])
                answer = helper.done("frame", shot=tmp_path, frame=frame, output=layer, buffer=buffer)
            given = np.fromfile(buffer, np.float32).reshape(height, 10, 4)
            assert np.array_equal(given[::-1, :, 1], channels[f"{layer}.G"])


def test_hello(helper: Helper) -> None:
    answer = helper.done("hello", protocol=1)
    assert (answer["version"], answer["protocol"]) == (vdp_engine.__version__, 1)
    assert answer["pid"] == helper.process.pid


def test_end_of_stdin_ends_it_and_removes_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "vdp-ofx-1234"
    folder.mkdir()
    (folder / "buffer").write_bytes(b"x")
    (tmp_path / "kept").touch()
    with Helper(folder) as helper:
        helper.done("hello", protocol=1, folder=folder)
        assert helper.close() == 0
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_a_line_without_end_is_a_request(tmp_path: Path) -> None:
    command = [sys.executable, "-I", "-m", "vdp_engine", "serve"]
    asked = b'{"id": 5, "op": "hello", "protocol": 1}'
    done = subprocess.run(command, input=asked, capture_output=True, timeout=30)
    assert (done.returncode, json.loads(done.stdout)["id"], done.stderr) == (0, 5, b"")


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_signals(tmp_path: Path) -> None:
    with Helper(tmp_path) as helper:
        helper.done("hello", protocol=1)
        helper.process.send_signal(signal.SIGINT)  # a Ctrl-C at the host's terminal is the host's affair
        time.sleep(0.1)
        helper.done("hello", protocol=1)
        helper.process.send_signal(signal.SIGTERM)
        assert helper.process.wait(15) == 143


_LOADED = """
import json, sys
from vdp_engine.cli.commands import vdp
import vdp_engine.serve.shots, vdp_engine.serve.server
print(json.dumps([name for name in ("torch", "torchvision", "cv2", "scipy") if name in sys.modules]))
"""


def test_no_torch() -> None:
    loaded = subprocess.run([sys.executable, "-I", "-c", _LOADED], capture_output=True, timeout=60, check=True)
    assert json.loads(loaded.stdout) == []


def processor_seconds(command: list[str], given: bytes = b"") -> float:
    """What a process and all that it starts work."""
    before = os.times()
    subprocess.run(command, input=given, stdout=subprocess.DEVNULL, check=True, timeout=60)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def test_starts_quickly() -> None:
    """With all libraries loaded it has worked for less than four times what Python and numpy alone take.

    That is a third of a second where those take 0.13; a crowded machine stretches both.
    """
    python, asked = [sys.executable, "-I"], b'{"id": 1, "op": "hello", "protocol": 1}'
    turns = [
        (
            processor_seconds([*python, "-m", "vdp_engine", "serve"], asked),
            processor_seconds([*python, "-c", "import numpy"]),
        )
        for _ in range(3)
    ]
    own, least = (min(column) for column in zip(*turns, strict=True))
    assert own < 4 * least
