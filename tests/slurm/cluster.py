"""A real Slurm cluster on one machine: munge, slurmctld, two CPU nodes and one node with a GPU.

The daemons live in a mount and process namespace of their own. Their configuration lies over `/etc/slurm` in there
only, so the machine's own is never touched; and the namespace ends with the process that made it, however that
process ends, taking every daemon and every job along.

By hand, from the root of the repository, as root:

    python tests/slurm/cluster.py squeue          # a cluster for as long as the command runs
    python tests/slurm/cluster.py bash            # a shell in which sbatch, squeue and scancel work
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

CPU_NODES = ("c1", "c2")
GPU_NODE = "g1"
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "unshare", "nsenter")

# Nodes share one address, so each has a port and a spool folder of its own. The ends of the lines that are no
# default: a job step's processes are found without cgroups, the nodes claim more than the machine may have, a job
# cancelled dies within two seconds, and one that has ended stays visible to squeue for an hour. The kernel holds jobs
# to the memory that they asked for where it can, see `limits_memory`.
SLURM_CONF = """\
ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin={task_plugin}
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=500
SlurmdParameters=config_overrides
ReturnToService=1
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0
KillWait=2
OverTimeLimit=0
MinJobAge=3600
GresTypes=gpu
NodeName=c1 NodeHostname=localhost NodeAddr=127.0.0.1 Port={ports[1]} CPUs=16 RealMemory=64000
NodeName=c2 NodeHostname=localhost NodeAddr=127.0.0.1 Port={ports[2]} CPUs=16 RealMemory=64000
NodeName=g1 NodeHostname=localhost NodeAddr=127.0.0.1 Port={ports[3]} CPUs=16 RealMemory=64000 Gres=gpu:1
PartitionName=cpu Nodes=c1,c2 Default=YES MaxTime=2-0 State=UP
PartitionName=gpu Nodes=g1 MaxTime=2-0 State=UP
"""

# Without a file the GPU's node counts as invalid; any device file will do.
GRES_CONF = """\
AutoDetect=off
NodeName=g1 Name=gpu Count=1 File=/dev/null
"""

# Slurm has cgroups of its own, below one that is named for this cluster.
CGROUP_CONF = """\
CgroupPlugin=cgroup/v1
CgroupMountpoint={folder}/cgroup
ConstrainRAMSpace=yes
"""
MEMORY_CGROUPS = Path("/sys/fs/cgroup/memory")

# First process of the namespace. It ends when its standard input does, that is with the process that started it;
# children that lost their parent must not stay behind as zombies, which Slurm would take for running jobs.
FIRST_PROCESS = (
    "mount -t proc proc /proc && mount --bind {folder}/etc /etc/slurm && trap '' CHLD && echo up && exec cat"
)


class ClusterError(Exception):
    """The cluster did not come up; the message holds the end of the daemons' logs."""


def why_not() -> str | None:
    """The reason why no cluster can be started here, or None where one can."""
    if os.geteuid() != 0:
        return "a Slurm cluster for tests needs root"
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = [program for program in PROGRAMS if shutil.which(program, path=path) is None]
    if missing:
        return f"no {', '.join(missing)}: apt-get install slurmctld slurmd slurm-client munge"
    if not Path("/etc/slurm").is_dir():
        return "there is no /etc/slurm to lay the configuration over"
    if find_spec("snakemake_executor_plugin_slurm") is None:
        return "Snakemake's Slurm plugin is not installed: pip install fedmeta[slurm]"
    if subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"], capture_output=True).returncode != 0:
        return "this machine does not allow namespaces (unshare --mount --pid)"
    return None


def limits_memory() -> bool:
    """Tell whether jobs can be held to the memory that they asked for. That takes cgroups of version 1.

    Those of version 2 belong to systemd, from which Slurm would have to be given some.
    """
    return (MEMORY_CGROUPS / "memory.limit_in_bytes").exists() and os.access(MEMORY_CGROUPS, os.W_OK)


class Cluster:
    """A running cluster, as a context manager.

    `start` runs a command inside, `query` returns what a Slurm command prints. Raises ClusterError when a daemon does
    not come up within half a minute.
    """

    def __enter__(self) -> "Cluster":
        self.folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
        self.daemons: list[subprocess.Popen] = []
        try:
            self._configure()
            self._open_namespace()
            self._start_daemons()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception) -> None:
        namespace = getattr(self, "namespace", None)
        if namespace is not None:
            namespace.stdin.close()
            # The kernel ends all other processes of the namespace before its first one is gone.
            namespace.wait(timeout=30)
            namespace.stdout.close()
        for daemon in self.daemons:
            daemon.wait(timeout=30)
        for cgroup, _, _ in os.walk(self._memory_cgroup(), topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(cgroup)
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, *command: str, cwd: str | os.PathLike = ".", **options) -> subprocess.Popen:
        """Start `command` inside the namespace, in the folder `cwd`; `options` are those of subprocess.Popen.

        The process returned is a parent of the command's own: see `signal` for reaching that.
        """
        # A shell lets what it starts in the background ignore Ctrl-C.
        env = ["env", "--default-signal=INT", f"--chdir={Path(cwd).resolve()}"]
        return subprocess.Popen([*self.enter, *env, *command], **options)

    def query(self, *command: str) -> str:
        """What a short command prints. Raises subprocess.CalledProcessError when it fails."""
        result = subprocess.run(
            [*self.enter, *command], check=True, text=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=60
        )
        return result.stdout

    def signal(self, process: subprocess.Popen, number: int) -> None:
        """Send a signal to the command itself that `start` started, and to nothing else."""
        os.kill(only_child(process.pid), number)

    def jobs(self) -> dict[str, dict[str, str]]:
        """Every job since the start, ended ones too, by number; `start` and `end` are local times in ISO format."""
        keys = ("id", "name", "state", "partition", "nodes", "start", "end", "comment")
        lines = self.query("squeue", "--noheader", "--states=all", "--format=%i|%j|%T|%P|%N|%S|%e|%k").splitlines()
        rows = (dict(zip(keys, line.strip().split("|", len(keys) - 1), strict=True)) for line in lines)
        return {row["id"]: row for row in rows}

    def set_node(self, name: str, state: str) -> None:
        """Set a node's state as an administrator does: `down` kills its jobs, `resume` brings it back."""
        self.query("scontrol", "update", f"NodeName={name}", f"State={state}", "Reason=test")

    def _configure(self) -> None:
        self.folder.chmod(0o755)
        for name in ("etc", "munge", "state", "log", *(f"spool-{node}" for node in (*CPU_NODES, GPU_NODE))):
            (self.folder / name).mkdir(mode=0o755)
        (self.folder / "munge" / "key").write_bytes(os.urandom(128))
        (self.folder / "munge" / "key").chmod(0o600)
        ports = free_ports(2 + len(CPU_NODES))
        task_plugin = "task/cgroup" if limits_memory() else "task/none"
        conf = SLURM_CONF.format(folder=self.folder, ports=ports, task_plugin=task_plugin)
        (self.folder / "etc" / "slurm.conf").write_text(conf)
        (self.folder / "etc" / "gres.conf").write_text(GRES_CONF)
        if limits_memory():
            (self.folder / "etc" / "cgroup.conf").write_text(CGROUP_CONF.format(folder=self.folder))
            (self.folder / "cgroup" / "memory").mkdir(parents=True)
            self._memory_cgroup().mkdir()

    def _memory_cgroup(self) -> Path:
        return MEMORY_CGROUPS / self.folder.name

    def _open_namespace(self) -> None:
        script = FIRST_PROCESS.format(folder=self.folder)
        if limits_memory():
            script = f"mount --bind {self._memory_cgroup()} {self.folder}/cgroup/memory && {script}"
        self.namespace = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        if self.namespace.stdout.readline() != "up\n":
            raise ClusterError("the namespace for the cluster could not be set up")
        self.enter = ["nsenter", f"--target={only_child(self.namespace.pid)}", "--mount", "--pid", "--"]

    def _start_daemons(self) -> None:
        munge = self.folder / "munge"
        self._start_daemon(
            "munged", "--foreground", "--force", f"--socket={munge}/socket", f"--key-file={munge}/key",
            f"--pid-file={munge}/pid", f"--seed-file={munge}/seed",
        )  # fmt: skip
        self._wait_until("munge answers", (munge / "socket").exists)
        self._start_daemon("slurmctld", "-D")
        for node in (*CPU_NODES, GPU_NODE):
            self._start_daemon("slurmd", "-D", "-N", node)
        self._wait_until("all nodes are idle", lambda: all(map(self._idle, (*CPU_NODES, GPU_NODE))))

    def _start_daemon(self, *command: str) -> None:
        path = os.environ["PATH"] + ":/usr/sbin:/sbin"
        with open(self.folder / "log" / f"{command[0]}.out", "a") as output:
            daemon = self.start(
                *command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env={**os.environ, "PATH": path}
            )
        self.daemons.append(daemon)

    def _idle(self, node: str) -> bool:
        try:
            return self.query("sinfo", "--noheader", f"--nodes={node}", "--format=%T").split()[:1] == ["idle"]
        except subprocess.CalledProcessError:
            return False

    def _wait_until(self, what: str, condition) -> None:
        if not wait_until(condition, seconds=30):
            logs = sorted((self.folder / "log").iterdir())
            ends = "\n".join(f"{log.name}: {log.read_text()[-1500:]}" for log in logs)
            raise ClusterError(f"waited in vain until {what}\n{ends}")


def wait_until(condition, seconds: float, every: float = 0.2) -> bool:
    """True as soon as `condition()` holds, False if it does not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(every)
    return True


def only_child(pid: int) -> int:
    """Number of the only child of a process; nsenter and unshare stay as the parent of what they run."""
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(child)


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nothing listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def main() -> int:
    reason = why_not()
    if reason is not None or len(sys.argv) < 2:
        print(reason or __doc__, file=sys.stderr)
        return 1
    with Cluster() as cluster:
        process = cluster.start(*sys.argv[1:])
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        return process.wait()


if __name__ == "__main__":
    sys.exit(main())
