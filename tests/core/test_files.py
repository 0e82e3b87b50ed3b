"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vdp_engine import files
from vdp_engine.errors import EXIT_TRY_AGAIN, TryAgainError

_WRITE_AND_HANG = """
import sys, time
from pathlib import Path
from vdp_engine import files
with files.atomic(Path(sys.argv[1])) as temporary:
    temporary.write_text("half of it")
    print("written", flush=True)
    time.sleep(60)
"""


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_file_appears_only_when_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "shot.1001.exr"
    with files.atomic(path) as temporary:
        temporary.write_text("whole")
        assert temporary.parent == path.parent, "a rename across file systems is no rename"
        assert temporary.suffix == ".exr", "image writers choose the format by the suffix"
        assert not path.exists()
    assert path.read_text() == "whole"
    assert names(path.parent) == ["shot.1001.exr"]


def test_a_failure_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), files.atomic(path) as temporary:
        temporary.write_text("new")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.json"]


def test_an_interrupt_leaves_no_litter(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), files.atomic(tmp_path / "a.exr") as temporary:
        temporary.write_text("new")
        raise KeyboardInterrupt
    assert names(tmp_path) == []


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with files.atomic(path) as one, files.atomic(path) as other:
        assert one != other
        one.write_text("one")
        other.write_text("other")
    assert path.read_text() == "one", "the one that ends last"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO])
def test_a_drive_that_takes_no_more_means_try_again(tmp_path: Path, number: int) -> None:
    path = tmp_path / "shot.1001.exr"
    with pytest.raises(TryAgainError) as caught, files.atomic(path):
        raise OSError(number, os.strerror(number))
    assert caught.value.code == "machine.disk"
    assert caught.value.exit_code == EXIT_TRY_AGAIN
    assert caught.value.path == path
    assert str(path) in str(caught.value) and os.strerror(number) in str(caught.value)


def test_a_really_full_drive(tmp_path: Path) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    with pytest.raises(TryAgainError), files.atomic(tmp_path / "a.txt"), open("/dev/full", "w") as full:
        full.write("x")


def test_other_errors_pass_as_they_are(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), files.atomic(tmp_path / "a.txt"):
        (tmp_path / "not there").read_text()


def test_what_a_killed_process_leaves_is_swept(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _WRITE_AND_HANG, str(tmp_path / "a.exr")], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None and process.stdout.readline() == "written\n"
        assert len(names(tmp_path)) == 1
        assert files.sweep(tmp_path) == 0, "the process still lives: its file is not litter"
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
    assert "a.exr" not in names(tmp_path)
    assert files.sweep(tmp_path) == 1
    assert names(tmp_path) == []


def test_sweeping_takes_only_litter(tmp_path: Path) -> None:
    host, pid = files._HOST, dead_pid()
    kept = [
        "a.exr", ".a.exr", ".nfs0001", "a.tmp", f".a.{host}-{os.getpid()}-0123abcd.tmp.exr",
        f".a.{host}-{pid}-0123abc.tmp.exr", ".a.elsewhere-1-0123abcd.tmp.exr",
    ]  # fmt: skip
    old = ".old.elsewhere-1-0123abcd.tmp.exr"
    for name in (*kept, old, f".a.{host}-{pid}-0123abcd.tmp.exr", f".b.{host}-{pid}-0123abcd.tmp"):
        (tmp_path / name).touch()
    two_days_ago = time.time() - 2 * 24 * 3600
    os.utime(tmp_path / old, (two_days_ago, two_days_ago))
    assert files.sweep(tmp_path) == 3
    assert names(tmp_path) == sorted(kept)


def test_sweeping_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert files.sweep(tmp_path / "nowhere") == 0


def test_json_keeps_order_and_letters(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    files.write_json(path, {"β": 1, "a": [1.5, None]})
    assert path.read_text(encoding="utf-8").startswith('{\n  "β": 1,')
    assert json.loads(path.read_text(encoding="utf-8")) == {"β": 1, "a": [1.5, None]}
