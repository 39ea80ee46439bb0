"""Kafka brokers and a PostgreSQL of a test's own, as processes that it may stop, kill and restart.

Unlike a stack of `./dev stack`, a cluster here may have several brokers and several listeners: each
listener is advertised at the port of a proxy (proxy.py), so that the way of one client to the
brokers can be cut or slowed without the others noticing. Everything ends with the process that
started it, even if that one is killed.
"""

import glob
import os
import pathlib
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from system import DIE_WITH_PARENT, ROOT, await_true

JARS = ROOT / ".dev/kafka/libs"
CLASS_ARCHIVE = ROOT / ".dev/kafka/classes.jsa"


def free_port():
    """A port of 127.0.0.1 below those that the kernel draws for outgoing connections."""
    for _ in range(200):
        port = random.SystemRandom().randrange(20000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise AssertionError("no port of 127.0.0.1 is free")


def is_answering(port):
    try:
        with socket.create_connection(("127.0.0.1", port), 0.5):
            return True
    except OSError:
        return False


class Server:
    """A process that listens; subclasses say how it is started and when it answers."""

    def __init__(self, name, log_path):
        self.name = name
        self.log_path = pathlib.Path(log_path)
        self.process = None

    def launch(self, command):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                DIE_WITH_PARENT + command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                cwd="/")

    def running(self):
        return self.process is not None and self.process.poll() is None

    def send(self, number):
        """A signal, by process id."""
        if self.running():
            self.process.send_signal(number)

    def kill(self):
        """kill -9, and returns when it is gone."""
        self.send(signal.SIGKILL)
        if self.process is not None:
            self.process.wait()

    def stop(self, number=signal.SIGTERM, timeout_s=180):
        self.send(number)
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not stop within {timeout_s} s") from None

    def log_tail(self, characters=2000):
        return self.log_path.read_text(errors="replace")[-characters:]


class Broker(Server):
    """One node of a KRaft cluster: broker and controller."""

    def __init__(self, cluster, node_id):
        self.home = cluster.directory / f"broker-{node_id}"
        self.home.mkdir()
        super().__init__(f"broker {node_id}", self.home / "out")
        self.cluster = cluster
        self.node_id = node_id
        self.port = free_port()
        self.controller_port = free_port()
        # By listener: where the broker listens, and where it says that it does.
        self.listeners = {name: free_port() for name in cluster.listener_names}
        self.advertised = dict(self.listeners)

    def java(self, *arguments):
        return ["java", "-cp", f"{JARS}/*",
                f"-Dlog4j2.configurationFile={ROOT}/dev.d/kafka-log4j2.xml",
                f"-Dvoketag.log={self.home}/broker.log", *arguments]

    def properties(self):
        cluster = self.cluster
        listeners = {"PLAINTEXT": self.port, "CONTROLLER": self.controller_port, **self.listeners}
        advertised = {"PLAINTEXT": self.port, **self.advertised}
        replication = min(3, len(cluster.brokers))
        in_sync = min(2, replication)
        values = {
            "process.roles": "broker,controller",
            "node.id": self.node_id,
            "controller.quorum.voters": ",".join(
                f"{b.node_id}@127.0.0.1:{b.controller_port}" for b in cluster.brokers),
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "listeners": ",".join(f"{n}://127.0.0.1:{p}" for n, p in listeners.items()),
            "advertised.listeners": ",".join(f"{n}://127.0.0.1:{p}" for n, p in advertised.items()),
            "listener.security.protocol.map": ",".join(f"{n}:PLAINTEXT" for n in listeners),
            "log.dirs": self.home / "data",
            "default.replication.factor": replication,
            "min.insync.replicas": in_sync,
            "offsets.topic.replication.factor": replication,
            "offsets.topic.num.partitions": 6,
            "transaction.state.log.replication.factor": replication,
            "transaction.state.log.min.isr": in_sync,
            "transaction.state.log.num.partitions": 6,
            "share.coordinator.state.topic.replication.factor": replication,
            "share.coordinator.state.topic.min.isr": in_sync,
            "auto.create.topics.enable": "false",
            "log.retention.ms": -1,
            "message.max.bytes": 9437184,
            "replica.fetch.max.bytes": 9437184,
            "group.initial.rebalance.delay.ms": 0,
            "group.min.session.timeout.ms": 2000,
            "num.network.threads": 2,
            "num.io.threads": 4,
            # A broker that died is noticed soon by the others. One that is alone must not be fenced
            # by itself on a busy machine: it has the default.
            "broker.session.timeout.ms": 4000 if len(cluster.brokers) > 1 else 9000,
            "broker.heartbeat.interval.ms": 1000,
            "controlled.shutdown.enable": "true",
        } | cluster.properties
        return "".join(f"{key}={value}\n" for key, value in values.items())

    def format(self):
        (self.home / "server.properties").write_text(self.properties())
        subprocess.run(
            self.java("-XX:TieredStopAtLevel=1", "kafka.tools.StorageTool", "format", "--config",
                      f"{self.home}/server.properties", "--cluster-id", self.cluster.cluster_id),
            check=True, capture_output=True, timeout=400)

    def lose_disk(self):
        """All that was written; the identity that it is started with is the same."""
        assert not self.running()
        shutil.rmtree(self.home / "data")
        self.format()

    def start(self):
        assert not self.running()
        archive = [f"-XX:SharedArchiveFile={CLASS_ARCHIVE}"] if CLASS_ARCHIVE.exists() else []
        # It lives for minutes: the second compiler would take a core for most of them.
        self.launch(self.java(*archive, "-Xmx1g", "-Xms128m", "-XX:+UseG1GC",
                              "-XX:TieredStopAtLevel=1", "kafka.Kafka",
                              f"{self.home}/server.properties"))
        return self

    def answers(self):
        assert self.running(), f"{self.name} ended:\n{self.log_tail()}"
        if not is_answering(self.port):
            return False
        asked = subprocess.run(["kcat", "-L", "-b", f"127.0.0.1:{self.port}", "-m", "2", "-J"],
                               capture_output=True, timeout=30)
        return asked.returncode == 0

    def await_ready(self, timeout_s=240):
        await_true(f"{self.name} answers", self.answers, timeout_s, 0.1)
        return self


class Cluster:
    """As many brokers as wanted; replication 3 and min.insync.replicas 2 where there are three."""

    def __init__(self, directory, brokers=1, listeners=(), **properties):
        self.directory = pathlib.Path(directory)
        self.listener_names = list(listeners)
        self.properties = {name.replace("_", "."): value for name, value in properties.items()}
        self.cluster_id = "MkU3OEVBNTcwNTJENDM2Qg"
        self.brokers = []
        for node_id in range(1, brokers + 1):
            self.brokers.append(Broker(self, node_id))

    @property
    def bootstrap(self):
        return ",".join(f"127.0.0.1:{broker.port}" for broker in self.brokers)

    def start(self):
        """Advertised ports must be set before."""
        for broker in self.brokers:
            broker.format()
        for broker in self.brokers:
            broker.start()
        for broker in self.brokers:
            broker.await_ready()
        return self

    def kill(self):
        for broker in self.brokers:
            broker.kill()

    def tool(self, main_class, *arguments, timeout_s=60):
        """One of Kafka's own command-line tools; its output."""
        done = subprocess.run(
            ["java", "-XX:TieredStopAtLevel=1", "-cp", f"{JARS}/*",
             f"-Dlog4j2.configurationFile={ROOT}/dev.d/kafka-log4j2.xml",
             f"-Dvoketag.log={self.directory}/tool.log", main_class, "--bootstrap-server",
             self.bootstrap, *arguments], capture_output=True, text=True, timeout=timeout_s)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


class Postgres(Server):
    """One PostgreSQL. It refuses to run as root: then it runs as the system's postgres user."""

    def __init__(self):
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="voketag-postgres-", dir="/var/tmp"))
        super().__init__("PostgreSQL", self.home / "log")
        self.binaries = sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1]
        self.data = self.home / "data"
        self.port = free_port()
        self.as_user = []
        if os.geteuid() == 0:
            names = {entry.pw_name for entry in pwd.getpwall()}
            user = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
            self.as_user = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--init-groups"]
            os.chown(self.home, user.pw_uid, user.pw_gid)

    def url(self, database="voketag", port=None):
        return f"postgresql://voketag@127.0.0.1:{port or self.port}/{database}"

    def create(self):
        subprocess.run(
            ["setpriv", *self.as_user, "--no-new-privs", f"{self.binaries}/initdb", "-D",
             str(self.data), "--username=voketag", "--auth=trust", "--encoding=UTF8",
             "--locale=C.UTF-8", "--no-sync"],
            check=True, capture_output=True, cwd="/", timeout=120)
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as settings:
            settings.write("listen_addresses = '127.0.0.1'\nunix_socket_directories = ''\n"
                           "shared_buffers = 128MB\nmax_wal_size = 4GB\nmax_connections = 200\n")
        self.start().await_ready()
        self.execute("CREATE DATABASE voketag", database="postgres")
        return self

    def launch(self, command):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                ["setpriv", *self.as_user, "--pdeathsig", "KILL", *command],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/")

    def start(self):
        assert not self.running()
        # Those that a killed server has left behind hold its shared memory until they notice.
        deadline = time.monotonic() + 30
        while True:
            self.launch([f"{self.binaries}/postgres", "-D", str(self.data), "-p", str(self.port)])
            try:
                self.process.wait(0.5)
            except subprocess.TimeoutExpired:
                return self
            assert time.monotonic() < deadline, f"PostgreSQL does not start:\n{self.log_tail()}"

    def await_ready(self, timeout_s=240):
        def ready():
            return subprocess.run(
                ["psql", self.url("postgres"), "-Xqc", "SELECT 1"],
                capture_output=True, timeout=120).returncode == 0
        await_true("PostgreSQL answers", ready, timeout_s, 0.1)
        return self

    def execute(self, sql, database="voketag"):
        done = subprocess.run(["psql", self.url(database), "-X", "-A", "-t", "-v",
                               "ON_ERROR_STOP=1", "-c", sql],
                              text=True, capture_output=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return [line.split("|") for line in done.stdout.splitlines()]

    def stop(self, number=signal.SIGINT, timeout_s=180):
        """SIGINT is its fast stop: no new work, what is open is rolled back."""
        super().stop(number, timeout_s)

    def remove(self):
        self.kill()
        shutil.rmtree(self.home, ignore_errors=True)
