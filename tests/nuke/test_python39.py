"""What runs inside Nuke 14 runs under Python 3.9, with the standard library and Nuke's own modules only."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "nuke_vdp"
STANDIN = ROOT / "tests" / "nuke" / "standin"
FILES = sorted(PACKAGE.rglob("*.py"))
OF_NUKE = {"nuke", "nukescripts", "PySide2", "PySide6", "shiboken2", "shiboken6"}
# They are used by tools outside of Nuke too.
WITHOUT_NUKE = ("errors", "engine", "finished", "states", "runs", "runs.run")

VERMIN = "import vermin; vermin.main()"
IMPORT_ALL = """
import importlib, pathlib, sys, types
sys.path[:0] = [sys.argv[1], sys.argv[2]]

class Qt(types.ModuleType):  # a Python 3.9 with Qt is rare; names are all that is needed to import
    __path__ = []
    def __getattr__(self, name):
        return type(name, (), {})

for name in ("PySide2", "PySide2.QtCore", "PySide2.QtGui", "PySide2.QtWidgets"):
    sys.modules[name] = Qt(name)
for file in sorted(pathlib.Path(sys.argv[2], "nuke_vdp").rglob("*.py")):
    compile(file.read_bytes(), str(file), "exec")
    importlib.import_module(".".join(file.relative_to(sys.argv[2]).with_suffix("").parts).replace(".__init__", ""))
print("all of", sys.version_info[:2])
"""


def vermin(*places: Path) -> subprocess.CompletedProcess[str]:
    pytest.importorskip("vermin")
    command = [sys.executable, "-c", VERMIN, "-t=3.9-", "--no-tips", "--violations", *map(str, places)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def python39() -> str:
    """A Python 3.9 that starts; skips where there is none."""
    versions = Path.home() / ".pyenv" / "versions"
    named = [os.environ.get("VDP_TEST_PYTHON39"), shutil.which("python3.9")]
    for candidate in [*named, *map(str, versions.glob("3.9*/bin/python"))]:
        if candidate is None:
            continue
        probe = [candidate, "-I", "-c", "import sys; print(*sys.version_info[:2])"]
        if subprocess.run(probe, capture_output=True, text=True).stdout.split() == ["3", "9"]:
            return candidate
    pytest.skip("no Python 3.9 here: set VDP_TEST_PYTHON39 to one")


def imported(file: Path) -> set[str]:
    """The first name of everything that a file imports, in functions too; its own package without ``nuke_vdp``."""
    names = set()
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module is not None, f"{file}: import by the full name"
            names.add(node.module.partition(".")[0])
    return names


def test_library_and_syntax() -> None:
    installers = [ROOT / "install" / f"{host}.py" for host in ("nuke", "ofx")]
    result = vermin(PACKAGE, *installers, ROOT / "tests" / "nuke" / "acceptance.py")
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_tool_would_tell(tmp_path: Path) -> None:
    (tmp_path / "newer.py").write_text("match 1:\n    case 1:\n        pass\n", encoding="utf-8")
    result = vermin(tmp_path / "newer.py")
    assert result.returncode != 0
    assert "3.10" in result.stdout


def test_a_real_python39_imports_all(tmp_path: Path) -> None:
    command = [python39(), "-B", "-c", IMPORT_ALL, str(STANDIN), str(ROOT)]
    env = {**os.environ, "HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    env.pop("PYTHONPATH", None)
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path, env=env)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split()[-2:] == ["(3,", "9)"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_imports_what_nuke_has(file: Path) -> None:
    assert imported(file) <= sys.stdlib_module_names | OF_NUKE | {"nuke_vdp"}


@pytest.mark.parametrize("name", WITHOUT_NUKE)
def test_stands_without_nuke(name: str) -> None:
    place = PACKAGE.joinpath(*name.split("."))
    files = sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
    assert files and all(imported(file).isdisjoint(OF_NUKE) for file in files)
    code = f"import sys; sys.path.insert(0, sys.argv[1]); sys.modules['nuke'] = None; import nuke_vdp.{name}"
    result = subprocess.run([sys.executable, "-B", "-c", code, str(ROOT)], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr


def test_the_package_starts_without_nuke_and_cheaply() -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); sys.modules['nuke'] = None; import nuke_vdp;"
        "print(*[name for name in ('subprocess', 'ctypes', 'hashlib') if name in sys.modules])"
    )
    command = [sys.executable, "-I", "-S", "-B", "-c", code, str(ROOT)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stdout.split()) == (0, []), result.stderr
