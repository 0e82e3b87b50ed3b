"""A Slurm of one machine for tests: Debian's packages, unpacked and never installed, run as whoever runs the tests.

The packages are kept in ``$VDP_TEST_SLURM``, else in ``~/.cache/vdp-tests/slurm``.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

_PACKAGES = ("slurmctld", "slurmd", "slurm-client", "slurm-wlm-basic-plugins")
_HOST = socket.gethostname().split(".")[0]

# auth/none and cred/none: no munge daemon. cred_expire is what a restarted job waits before it may start again, so that
# no word of its first life reaches the second; by default two minutes.
_CONF = """\
ClusterName=vdp
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/none
AuthInfo=cred_expire=5
CredType=cred/none
PluginDir={plugins}
StateSaveLocation={run}/state
SlurmdSpoolDir={run}/spool
SlurmctldPidFile={run}/slurmctld.pid
SlurmdPidFile={run}/slurmd.pid
SlurmctldLogFile={run}/slurmctld.log
SlurmdLogFile={run}/slurmd.log
MailProg=/bin/true
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,sched_min_interval=0,bf_interval=1,batch_sched_delay=0
SlurmdParameters=config_overrides
ReturnToService=2
JobRequeue=1
KillWait=10
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=65536
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


class NoSlurm(Exception):
    """The packages cannot be had here; says why."""


@dataclass(frozen=True)
class Job:
    """A task as Slurm tells of it."""

    number: str
    state: str
    reason: str
    restarts: int

    @property
    def ended(self) -> bool:
        """Whether it will not run any more."""
        return self.state not in ("PENDING", "RUNNING", "COMPLETING", "CONFIGURING", "REQUEUED", "SUSPENDED")


class Cluster:
    """A controller and one node; ``environment`` is what its commands (``sbatch`` and the like) need."""

    def __init__(self, root: Path, run: Path) -> None:
        libraries = root / "usr" / "lib" / f"{os.uname().machine}-linux-gnu"
        plugins = libraries / "slurm-wlm"
        if not all((plugins / name).is_file() for name in ("auth_none.so", "cred_none.so")):
            raise NoSlurm(f"the packages in {root} are of a Slurm that needs munge")
        self._programs = root / "usr" / "sbin"
        self._run = run
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        paths = f"{root / 'usr' / 'bin'}:{os.environ['PATH']}"
        self.environment = {
            "PATH": paths, "SLURM_CONF": str(run / "slurm.conf"), "LD_LIBRARY_PATH": f"{libraries}:{plugins}"
        }  # fmt: skip
        (run / "state").mkdir()
        # A copy of its own, by which its processes are known.
        self._stepd = shutil.copy2(next(self._programs.glob("slurmstepd*")), run / "slurmstepd")
        controller_port, node_port = _free_ports()
        facts = {"host": _HOST, "user": getpass.getuser(), "run": run, "plugins": plugins}
        conf = _CONF.format(**facts, controller_port=controller_port, node_port=node_port)
        (run / "slurm.conf").write_text(conf)

    def start(self) -> None:
        """Start controller and node; returns when jobs can run."""
        self._start("slurmctld")
        self.start_node()

    def start_node(self) -> None:
        """Start the node as a machine that has just booted; returns when jobs can run on it."""
        spool = self._run / "spool"
        shutil.rmtree(spool, ignore_errors=True)
        spool.mkdir()
        self._start("slurmd", "-d", str(self._stepd))
        until(lambda: self._tells("sinfo", "-h", "-o", "%t") == "idle", 20, self._logs)

    def lose_node(self) -> None:
        """Switch the node off: it and all that runs on it dies with SIGKILL, and the controller notices."""
        node = self._daemons.pop("slurmd")
        node.kill()
        node.wait()
        self._kill_all(but=self._daemons["slurmctld"].pid)
        # What the controller comes to by itself after SlurmdTimeout.
        self.call("scontrol", "update", f"NodeName={_HOST}", "State=DOWN", "Reason=lost")

    def stop(self) -> None:
        """End everything that was started, jobs included."""
        for daemon in self._daemons.values():
            daemon.kill()
            daemon.wait()
        self._kill_all()

    def call(self, *command: str) -> str:
        """Run one of Slurm's commands; returns what it said, without the white space around."""
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=os.environ | self.environment)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout.strip()

    def jobs(self, *numbers: str) -> list[Job]:
        """All tasks of some jobs, in order."""
        # Not scontrol: it shows a folder's name as it is, with all the lines it may have.
        fields = "JobArrayID:40,State:40,RestartCnt:40,Reason:40"
        told = self.call("squeue", "-h", "-r", "-t", "all", "-j", ",".join(numbers), "-O", fields)
        jobs = []
        for line in told.splitlines():
            number, state, restarts, reason = (line[at : at + 40].strip() for at in range(0, 160, 40))
            jobs.append(Job(number, state, reason, int(restarts)))
        return sorted(jobs, key=lambda job: [int(part) for part in job.number.split("_")])

    def wait(self, *numbers: str, seconds: float) -> list[Job]:
        """Wait until the jobs have ended, one way or the other."""
        until(lambda: all(job.ended for job in self.jobs(*numbers)), seconds, lambda: f"{self.jobs(*numbers)}")
        return self.jobs(*numbers)

    def _start(self, name: str, *options: str) -> None:
        program = str(next(self._programs.glob(f"{name}*")))
        # Should the tests be killed, the daemon dies too.
        tied = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        with (self._run / f"{name}.out").open("ab") as out:
            self._daemons[name] = subprocess.Popen(
                [*tied, program, "-D", *options], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                start_new_session=True, env=os.environ | self.environment,
            )  # fmt: skip

    def _tells(self, *command: str) -> str:
        try:
            return self.call(*command)
        except AssertionError:  # the controller is not up yet
            return ""

    def _logs(self) -> str:
        return "\n".join(path.read_text(errors="replace")[-2000:] for path in sorted(self._run.glob("*.log")))

    def _kill_all(self, but: int = 0) -> None:
        """End all processes but those of one group; what dies may start something meanwhile."""
        def others() -> list[int]:
            return [pid for pid in self._processes() if not but or _group(pid) != but]

        while pids := others():
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)

    def _processes(self) -> list[int]:
        """The daemons and all that they started: what knows the cluster's configuration, or runs its ``slurmstepd``."""
        ours = f"SLURM_CONF={self.environment['SLURM_CONF']}".encode()
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                # slurmstepd writes its title over its environment.
                is_step = os.readlink(folder / "exe") == str(self._stepd)
                if is_step or ours in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
        return [pid for pid in found if pid != os.getpid()]


@contextlib.contextmanager
def cluster() -> Iterator[Cluster]:
    """A cluster while the block runs.

    Raises:
        NoSlurm: there can be none here, and why.
    """
    root = packages()
    # In a short path: those of its sockets may have 108 bytes.
    with tempfile.TemporaryDirectory(prefix="vdp-slurm-", ignore_cleanup_errors=True) as run:
        one = Cluster(root, Path(run).resolve())
        try:
            one.start()
            yield one
        finally:
            one.stop()


def packages() -> Path:
    """The folder that the packages are unpacked in; fetched where it is not there.

    Raises:
        NoSlurm: they cannot be fetched, and why.
    """
    if sys.platform != "linux" or not all(map(shutil.which, ("apt-get", "dpkg"))):
        raise NoSlurm("Slurm for tests comes from Debian's packages: no apt-get or dpkg here")
    kept = Path(os.environ.get("VDP_TEST_SLURM") or Path.home() / ".cache" / "vdp-tests" / "slurm")
    root = kept / "root"
    if not root.is_dir():
        kept.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept, prefix="fetch-") as folder:
            _fetch(Path(folder))
            with contextlib.suppress(OSError):  # another run was faster
                os.rename(Path(folder) / "root", root)
    return root


def _fetch(folder: Path) -> None:
    """Fetch the packages, and what they need that is not on this machine, into ``folder/root``."""
    options: list[str] = []
    done = _apt(folder, "-s", "--no-install-recommends", "install", *_PACKAGES)
    if done.returncode:
        # The machine's own lists of packages are missing or without these.
        (folder / "lists" / "partial").mkdir(parents=True)
        options = ["-o", f"Dir::State::lists={folder / 'lists'}", "-o", f"Dir::Cache={folder}"]
        _apt(folder, *options, "update")
        done = _apt(folder, *options, "-s", "--no-install-recommends", "install", *_PACKAGES)
    missing = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("Inst ")]
    fetched = _apt(folder, *options, "download", *{*_PACKAGES, *missing})
    if done.returncode or fetched.returncode:
        said = (done.stderr + fetched.stderr).strip().splitlines() or ["?"]
        raise NoSlurm(f"the packages of Slurm cannot be fetched: {said[-1]}")
    for package in folder.glob("*.deb"):
        subprocess.run(["dpkg", "-x", str(package), str(folder / "root")], check=True)


def _apt(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["apt-get", "-q", "-o", "APT::Sandbox::User=root", *arguments]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=180, env=os.environ | {"LC_ALL": "C"}
    )


def until(true: Callable[[], bool], seconds: float, told: Callable[[], str]) -> None:
    """Wait for something; fails with what ``told`` says where it takes too long."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, told()
        time.sleep(0.1)


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


def _group(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0
