"""Sets up the engine's environment where it is missing or stale, then becomes the ``vdp`` command.

    install/vdp ARGS            (Windows: py install\\bootstrap.py ARGS)
    --wheels DIR [ARGS]         install from the wheels in DIR, without network; without ARGS only set up
    --fetch-wheels DIR          download into DIR all wheels that --wheels DIR needs on this kind of machine
    --run-tests [ARGS]          set up the test tools too, then run the checks (install/test)
    nuke --install              put the node into Nuke, which needs no environment (install/nuke.py)
    ofx --build --install       the same for the OFX plug-in and its hosts (install/ofx.py)

The environment lies in ``.venv`` of the checkout, or where ``VDP_ENV`` says. Its folder ``vdp-setup`` holds what
this file knows about it: ``engine.toml`` and ``test.toml`` are copies of the pyproject.toml whose packages are
complete in it, ``checkout`` names the checkout it runs, ``setup.log`` is pip's log, ``lock`` is held while a set-up
runs. Both copies are removed before pip touches anything, so an environment without them is built anew.

Standard library only. Exit codes: 2 wrong usage or a Python too old, 75 no network, 130 and 143 stopped, 1 else.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

OLDEST_PYTHON = (3, 10)
ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = ROOT / "pyproject.toml"
RUNTIME, TESTS = "engine.toml", "test.toml"
HOST_VARIABLES = ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "__PYVENV_LAUNCHER__")

# Run by the environment's Python: only there is a TOML reader certain (pip carries one where the library has none).
LIST_WANTED = """
import json, sys, sysconfig
try:
    import tomllib
except ImportError:
    from pip._vendor import tomli as tomllib
with open(sys.argv[1], "rb") as file:
    project = tomllib.load(file)["project"]
tests = project["optional-dependencies"]["test"] if sys.argv[2] == "test" else []
print(json.dumps([project["dependencies"] + tests, sysconfig.get_path("purelib")]))
"""

NETWORK_TROUBLE = re.compile(
    r"NewConnectionError|ConnectionError|ConnectTimeout|ReadTimeout|ProxyError|SSLError|IncompleteRead|ProtocolError"
    r"|Retrying \(|NameResolutionError|Network is unreachable|Could not fetch URL|HTTP error (?:429|5\d\d)"
)


class SetupError(Exception):
    """The set-up cannot go on; the message says why and what to do."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def say(message: str) -> None:
    """Tell the person at the terminal, on stderr: stdout belongs to the vdp command."""
    print(f"vdp: {message}", file=sys.stderr, flush=True)


class Environment:
    """A virtual environment in a folder, and what was completed in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "vdp-setup"
        self.python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
        self.log = self.state / "setup.log"

    def has(self, stamp: str) -> bool:
        """Whether the packages of ``stamp`` are complete, as pyproject.toml wants them now, for this checkout."""
        try:
            checkout = os.fsdecode((self.state / "checkout").read_bytes()).rstrip("\n")
            current = (self.state / stamp).read_bytes() == PYPROJECT.read_bytes()
            return current and self.python.exists() and os.path.samefile(checkout, ROOT)
        except OSError:
            return False

    def is_whole(self) -> bool:
        """Whether pip can go on from here: the last set-up ran to its end, and the base Python is still there."""
        return (self.state / RUNTIME).is_file() and self.python.exists()

    @contextlib.contextmanager
    def locked(self) -> Iterator[int]:
        """Hold the environment against other set-ups; gives the descriptor that carries the lock.

        Raises:
            SetupError: the folder is of another origin, or cannot be written or locked.
        """
        if self.folder.is_dir() and not self.state.is_dir() and any(self.folder.iterdir()):
            raise SetupError(
                f"{self.folder} was not made by this set-up and is left alone. "
                "Move it away, or set VDP_ENV to another folder"
            )
        try:
            self.state.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.state / "lock", os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise SetupError(f"cannot write {self.state}: {error.strerror}. Set VDP_ENV to another folder") from error
        try:
            waits = False
            while not try_lock(descriptor):
                if not waits:
                    say(f"another set-up is working on {self.folder}; waiting for it")
                waits = True
                time.sleep(0.2)
            yield descriptor
        finally:
            os.close(descriptor)

    def mark_unfinished(self) -> dict[str, bytes]:
        """Make a set-up that gets killed from here on start from nothing the next time; gives the stamps removed."""
        stamps = [self.state / name for name in (TESTS, RUNTIME)]
        before = {stamp.name: stamp.read_bytes() for stamp in stamps if stamp.is_file()}
        for stamp in stamps:
            stamp.unlink(missing_ok=True)
        return before

    def record(self, contents: dict[str, bytes]) -> None:
        """Write files of the state folder in the order given, each in one step."""
        for name, content in contents.items():
            partial = self.state / f"{name}.partial"
            partial.write_bytes(content)
            os.replace(partial, self.state / name)

    def clear(self) -> None:
        """Remove everything but the state folder, which holds the lock."""
        for entry in self.folder.iterdir():
            if entry == self.state:
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()


def try_lock(descriptor: int) -> bool:
    """Take an exclusive lock if it is free. The system frees it with the last process that holds the descriptor."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError as error:
        raise SetupError(f"cannot lock the environment: {error.strerror}. Set VDP_ENV to a local folder") from error
    return True


def create(environment: Environment, lock: int | None = None) -> None:
    """Make the bare virtual environment, with pip."""
    if find_spec("ensurepip") is None or find_spec("venv") is None:
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        raise SetupError(
            f"{sys.executable} (Python {version}) cannot make virtual environments: its venv and ensurepip modules are "
            f"missing. On Debian and Ubuntu: sudo apt install python{version}-venv"
        )
    result = call([sys.executable, "-I", "-m", "venv", str(environment.folder)], lock)
    if result:
        raise SetupError(f"could not make a virtual environment in {environment.folder} (venv ended with {result})")


def call(command: list[str], lock: int | None = None) -> int:
    """Run a command, its output to stderr.

    It inherits the lock: should this process be killed alone, the environment stays locked until the child is done.
    """
    inherited = () if lock is None or sys.platform == "win32" else (lock,)
    return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=sys.stderr, pass_fds=inherited).returncode


def list_wanted(python: Path, with_tests: bool) -> tuple[list[str], Path]:
    """The requirements that pyproject.toml lists and the folder they go to, as ``python``, which has pip, sees them."""
    command = [str(python), "-I", "-c", LIST_WANTED, str(PYPROJECT), "test" if with_tests else ""]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    if result.returncode:
        raise SetupError(f"cannot read the requirements in {PYPROJECT}")
    requirements, packages = json.loads(result.stdout)
    return requirements, Path(packages)


def describe(python: Path) -> str:
    """What wheels have to fit, for people: Python 3.11 on Linux x86_64."""
    code = "import platform as p, sys; print('Python %d.%d' % sys.version_info[:2], 'on', p.system(), p.machine())"
    return subprocess.run([str(python), "-I", "-c", code], stdout=subprocess.PIPE, text=True).stdout.strip()


def run_pip(python: Path, arguments: list[str], log: Path, wheels: Path | None = None, lock: int | None = None) -> None:
    """Run pip with its own progress on stderr.

    Raises:
        SetupError: pip failed; with the errors it named and a way out.
    """
    log.unlink(missing_ok=True)
    offline = [] if wheels is None else ["--no-index", "--find-links", str(wheels)]
    # --log appends; pip's own screen output keeps its progress bars, which a pipe would cost it.
    quiet = ["--disable-pip-version-check", "--no-input", "--log", str(log)]
    if not call([str(python), "-I", "-m", "pip", arguments[0], *quiet, *offline, *arguments[1:]], lock):
        return
    story = read_log(log)
    way_out, exit_code = diagnose(story, wheels, describe(python))
    errors = re.findall(r"^\S*\s*((?:ERROR|WARNING): .+)$", story, flags=re.MULTILINE)
    lines = ["pip could not get the packages:", *(f"  {line}" for line in errors[-6:])]
    raise SetupError("\n".join([*lines, f"{way_out}\nThe whole story is in {log}"]), exit_code)


def read_log(log: Path) -> str:
    """pip's log; empty where pip did not come so far as to write one."""
    return log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""


def diagnose(story: str, wheels: Path | None, this_python: str) -> tuple[str, int]:
    """A way out of what pip's log tells, and the exit code for it; ``this_python`` as ``describe`` gives it."""
    if "No space left on device" in story:
        return "The disk is full. The packages need about 7 GB; VDP_ENV can name a folder on another disk", 1
    if wheels is not None:
        return f"{wheels} lacks wheels for {this_python}: install/vdp --fetch-wheels DIR on such a machine gets all", 1
    if NETWORK_TROUBLE.search(story):
        return (
            "The network is in the way. Behind a proxy, set HTTPS_PROXY; with a mirror, set PIP_INDEX_URL; without "
            "network, fill a folder on another machine (install/vdp --fetch-wheels DIR), then install/vdp --wheels DIR"
        ), 75
    if "No matching distribution" in story:
        return f"There may be no packages for {this_python}. Another Python may do: python3.12 install/bootstrap.py", 1
    return "The same command starts the set-up over", 1


def link_checkout(packages: Path) -> None:
    """Put the checkout on the path of the site-packages folder by a .pth file, which needs no build and no time."""
    # Relative where it can be, so that a checkout with its .venv may be moved.
    entry = os.path.relpath(ROOT, packages) if packages.is_relative_to(ROOT) else str(ROOT)
    (packages / "vdp-checkout.pth").write_bytes(os.fsencode(f"{entry}\n"))


def set_up(environment: Environment, with_tests: bool, wheels: Path | None) -> None:
    """Complete the environment: what the engine needs, and the test tools if asked for."""
    wanted = [RUNTIME, TESTS] if with_tests else [RUNTIME]
    with environment.locked() as lock:
        if all(environment.has(stamp) for stamp in wanted):
            return
        started = time.monotonic()
        pyproject = PYPROJECT.read_bytes()
        fresh = not environment.is_whole()
        steps = 2 if fresh else 1
        before = environment.mark_unfinished()
        say(f"setting up in {environment.folder}" + (", once: a few minutes, up to 7 GB" if fresh else ""))
        if fresh:
            say(f"step 1 of {steps}: virtual environment, Python {platform.python_version()}")
            environment.clear()
            create(environment, lock)
        requirements, packages = list_wanted(environment.python, with_tests)
        names = [re.split(r"[^\w.-]", requirement, maxsplit=1)[0] for requirement in requirements]
        say(f"step {steps} of {steps}: packages from {wheels or 'PyPI'}: {' '.join(names)}")
        try:
            run_pip(environment.python, ["install", *requirements], environment.log, wheels, lock)
        except SetupError:
            # Without network pip fails before it changes anything: what worked before goes on working.
            if "Installing collected packages" not in read_log(environment.log):
                environment.record(before)
            raise
        link_checkout(packages)
        # The stamp that install/vdp looks at comes last.
        environment.record({"checkout": os.fsencode(ROOT) + b"\n"} | dict.fromkeys(reversed(wanted), pyproject))
        minutes, seconds = divmod(round(time.monotonic() - started), 60)
        say(f"set up in {minutes} min {seconds} s")


def fetch_wheels(folder: Path) -> None:
    """Download every wheel of the engine and its test tools into a folder, for machines without network."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="vdp-") as scratch:
        environment = Environment(Path(scratch))
        create(environment)
        requirements, _ = list_wanted(environment.python, with_tests=True)
        download = ["download", "--only-binary", ":all:", "--dest", str(folder), *requirements]
        run_pip(environment.python, download, folder / "fetch.log")
        fits = describe(environment.python)
    say(f"{folder} now holds the wheels for {fits}; there, install/vdp --wheels {folder} sets up without network")


def become(command: list[str]) -> NoReturn:
    """Go on as another program, in an environment without the host's Python."""
    if sys.platform == "win32":  # exec there returns to the shell at once
        sys.exit(subprocess.run(command).returncode)
    os.execv(command[0], command)


def split_options(arguments: list[str]) -> tuple[dict[str, str], list[str]]:
    """The leading options of the set-up, and the rest, which is not for us.

    >>> split_options(["--wheels=w", "demo", "--wheels", "x"])
    ({'--wheels': 'w'}, ['demo', '--wheels', 'x'])
    """
    options: dict[str, str] = {}
    rest = list(arguments)
    while rest:
        name, equals, value = rest[0].partition("=")
        if rest[0] == "--run-tests":
            options["--run-tests"] = ""
        elif name in ("--wheels", "--fetch-wheels"):
            if not equals:
                value = rest.pop(1) if len(rest) > 1 else ""
            if not value:
                raise SetupError(f"{name} needs a folder: {name} DIR", 2)
            options[name] = value
        else:
            break
        rest.pop(0)
    return options, rest


def run(arguments: list[str]) -> None:
    """Do what the arguments ask for, and become the command they name."""
    options, rest = split_options(arguments)
    if "--fetch-wheels" in options:
        fetch_wheels(Path(options["--fetch-wheels"]).absolute())
        return
    wheels = Path(options["--wheels"]).absolute() if "--wheels" in options else None
    if wheels is not None and not wheels.is_dir():
        raise SetupError(f"--wheels {wheels} is not a folder", 2)
    with_tests = "--run-tests" in options
    environment = Environment(Path(os.environ.get("VDP_ENV") or ROOT / ".venv").absolute())
    if not all(environment.has(stamp) for stamp in ([RUNTIME, TESTS] if with_tests else [RUNTIME])):
        set_up(environment, with_tests, wheels)
    if with_tests:
        become([str(environment.python), "-I", str(ROOT / "install" / "run_tests.py"), *rest])
    if rest or wheels is None:
        become([str(environment.python), "-I", "-m", "vdp_engine", *rest])


def stop(number: int, frame: object) -> NoReturn:
    """End on a signal as an exception does, so that subprocess.run takes pip along."""
    sys.exit(128 + number)


def main(arguments: list[str]) -> int:
    """The exit code, where the process does not become another one."""
    for name in HOST_VARIABLES:
        os.environ.pop(name, None)
    if arguments[:1] in (["nuke"], ["ofx"]):
        become([sys.executable, "-I", str(ROOT / "install" / f"{arguments[0]}.py"), *arguments[1:]])
    signal.signal(signal.SIGTERM, stop)
    try:
        if sys.version_info < OLDEST_PYTHON:
            raise SetupError(f"needs Python 3.10 or newer; {sys.executable} is {platform.python_version()}", 2)
        run(arguments)
    except SetupError as error:
        say(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        say("stopped; the same command goes on with the set-up")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
