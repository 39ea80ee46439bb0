"""The system under test as processes, topics and views."""

import base64
import json
import os
import pathlib
import queue
import secrets
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import urllib.parse
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("VOKETAG_BINARY", str(ROOT / "build/release/voketag"))
KAFKA = os.environ.get("VOKETAG_KAFKA", "")
POSTGRES = os.environ.get("VOKETAG_POSTGRES", "")

# A test that is itself ended leaves no process behind: the kernel ends them with it.
DIE_WITH_PARENT = ["setpriv", "--pdeathsig", "KILL"]

# More than is made at once where it is accepted (docs/decisions/0011-small-batches-at-once.md):
# only such a batch is cut into chunks, which the processors tokens and merkle work on.
GREAT = 131_073
# With this setting they get two chunks of it at a time, so that it keeps every processor at work
# for 65 rounds: whatever a test does when it has seen the first of them, it does to a system at
# work, however long it took to see it.
GREAT_LASTS = {"VOKETAG_PRODUCTS_IN_FLIGHT": "2048"}


def await_true(what, check, timeout_s, interval_s=0.05):
    """Calls check until it returns something true, and returns that."""
    deadline = time.monotonic() + timeout_s
    while True:
        result = check()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come true within {timeout_s} s")
        time.sleep(interval_s)


class System:
    """A token key, a topic prefix, a database, a directory of its own; any number of instances.

    On the Kafka and the PostgreSQL of VOKETAG_KAFKA and VOKETAG_POSTGRES, or on others."""

    def __init__(self, name, kafka=None, postgres=None, **environment):
        suffix = secrets.token_hex(4)
        self.kafka = kafka or KAFKA
        self.postgres_server = postgres or POSTGRES
        self.prefix = f"{name}-{suffix}."
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix=f"voketag-{name}-"))
        self.key = secrets.token_bytes(32)
        self.database = f"{name}_{suffix}".replace("-", "_")
        psql(self.postgres_server, f'CREATE DATABASE "{self.database}"')
        self.postgres = self.postgres_at()
        key_text = base64.urlsafe_b64encode(self.key).rstrip(b"=").decode()
        self.environment = {
            name: value for name, value in os.environ.items()
            if not name.startswith(("VOKETAG_", "BLOCKCHAIN_"))
        } | {
            "VOKETAG_KAFKA": self.kafka,
            "VOKETAG_POSTGRES": self.postgres,
            "VOKETAG_TOPIC_PREFIX": self.prefix,
            "VOKETAG_TOKEN_KEYS": f"1:{key_text}",
            "VOKETAG_MOCK_BLOCK_TIME_MS": "200",
            "VERIFICATION_URL_BASE": "https://verify.example",
        } | {name: str(value) for name, value in environment.items()}
        self.instances = []

    def __enter__(self):
        # A broker on a busy machine may need longer than one command waits (exit code 3).
        for arguments in (("topics", "create"), ("migrate",)):
            await_true(f"voketag {' '.join(arguments)}", lambda a=arguments: self.command(
                *a, check=False).returncode == 0, 120, 0.5)
        return self

    def __exit__(self, *failure):
        for instance in self.instances:
            instance.kill()
        if failure[0] is None:
            shutil.rmtree(self.directory, ignore_errors=True)
            psql(self.postgres_server, f'DROP DATABASE "{self.database}" WITH (FORCE)')
        else:
            print(f"what was left behind lies in {self.directory}")

    def postgres_at(self, port=None):
        """The database's URL, through another port (a proxy's) if one is given."""
        parts = urllib.parse.urlsplit(self.postgres_server)
        if port is not None:
            user = parts.netloc.rpartition("@")[0]
            parts = parts._replace(netloc=f"{user}@127.0.0.1:{port}")
        return urllib.parse.urlunsplit(parts._replace(path="/" + self.database))

    def command(self, *arguments, check=True, stdin=None, timeout_s=120):
        """Runs a command of voketag to its end."""
        done = subprocess.run([BINARY, *arguments], env=self.environment, input=stdin, text=True,
                              capture_output=True, timeout=timeout_s)
        if check and done.returncode != 0:
            raise AssertionError(
                f"voketag {' '.join(arguments)} exited with {done.returncode}:\n{done.stderr}")
        return done

    def start(self, name="one", **environment):
        instance = Instance(self, name, environment)
        self.instances.append(instance)
        return instance

    # ---- what is in Kafka

    def produce(self, topic, records):
        """Produces (key, value) pairs of text by kcat, which knows nothing of us."""
        lines = "".join(f"{key}\t{value}\n" for key, value in records)
        subprocess.run(["kcat", "-P", "-b", self.kafka, "-t", self.prefix + topic, "-K", "\t"],
                       input=lines, text=True, check=True, capture_output=True, timeout=60)

    def consume(self, topic):
        """Every committed record of a topic, as dictionaries with key, value (text) and headers."""
        done = subprocess.run(
            ["kcat", "-C", "-b", self.kafka, "-t", self.prefix + topic, "-e", "-q", "-J", "-o",
             "beginning", "-X", "isolation.level=read_committed", "-X",
             "fetch.message.max.bytes=9000000"],
            text=True, errors="replace", check=True, capture_output=True, timeout=300)
        records = [json.loads(line) for line in done.stdout.splitlines()]
        return [
            {"key": r["key"], "value": r["payload"], "partition": r["partition"],
             "offset": r["offset"],
             "headers": dict(zip(r.get("headers", [])[::2], r.get("headers", [])[1::2]))}
            for r in records
        ]

    def consume_raw(self, topic):
        """As consume, with the bytes of key and value (None where there is none) and the time."""
        done = subprocess.run(
            ["kcat", "-C", "-b", self.kafka, "-t", self.prefix + topic, "-e", "-q", "-o",
             "beginning", "-X", "isolation.level=read_committed", "-X",
             "fetch.message.max.bytes=9000000", "-f", "%p %o %T %K %S\n%k%s"],
            check=True, capture_output=True, timeout=300)
        records = {(record["partition"], record["offset"]): record
                   for record in self.consume(topic)}
        rest = memoryview(done.stdout)

        def take(length):
            nonlocal rest
            if length < 0:
                return None
            taken, rest = bytes(rest[:length]), rest[length:]
            return taken
        while rest:
            line_end = bytes(rest[:100]).index(b"\n")
            partition, offset, time_ms, key_length, length = map(int, take(line_end + 1).split())
            records[partition, offset] |= {"time_ms": time_ms, "key": take(key_length),
                                           "value": take(length)}
        return list(records.values())

    def events(self, topic):
        return [json.loads(record["value"]) for record in self.consume(topic)]

    def follow(self, topic):
        return Follower(self, topic)

    # ---- what is in PostgreSQL

    def rows(self, sql):
        return psql(self.postgres, sql)

    def count(self, sql):
        return int(self.rows(sql)[0][0])


class Follower:
    """A reader of a topic's committed events that stays, and so sees each as soon as it is there:
    a look by System.events takes as long as kcat does to start. Use it by `with`."""

    def __init__(self, system, topic):
        self.topic = topic
        self.events = queue.Queue()
        # kcat ends with the thread that starts it: that must be the caller's.
        self.process = subprocess.Popen(
            [*DIE_WITH_PARENT, "kcat", "-C", "-b", system.kafka, "-t", system.prefix + topic, "-u",
             "-q", "-J", "-o", "beginning", "-X", "isolation.level=read_committed"],
            text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.events.put(json.loads(json.loads(line)["payload"]))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.reader.join()
        self.process.stdout.close()

    def await_event(self, what, wanted, timeout_s=120):
        """The next event for which wanted(event) is true."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                event = self.events.get(timeout=max(deadline - time.monotonic(), 0))
            except queue.Empty:
                raise AssertionError(
                    f"{what}: not seen in {self.topic} within {timeout_s} s") from None
            if wanted(event):
                return event


class Instance:
    """One `voketag run`. Its state directory outlives it."""

    def __init__(self, system, name, environment):
        self.system = system
        self.name = name
        self.state = pathlib.Path(
            environment.pop("VOKETAG_STATE_DIR", system.directory / f"state-{name}"))
        self.log_path = system.directory / f"{name}.log"
        self.environment = system.environment | {
            "VOKETAG_INSTANCE": name,
            "VOKETAG_STATE_DIR": str(self.state),
        } | {key: str(value) for key, value in environment.items()}
        self.process = None
        self.start()

    def start(self):
        assert self.process is None or self.process.poll() is not None
        with open(self.log_path, "ab") as log:
            self.log_from = log.tell()
            self.process = subprocess.Popen([*DIE_WITH_PARENT, BINARY, "run"],
                                            env=self.environment, stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)

    def log(self):
        with open(self.log_path, "rb") as log:
            log.seek(self.log_from)
            return log.read().decode(errors="replace")

    def await_ready(self, timeout_s=180):
        def ready():
            assert self.process.poll() is None, f"{self.name} ended early:\n{self.log()[-3000:]}"
            return '"message":"ready' in self.log()
        await_true(f"{self.name} is ready", ready, timeout_s, 0.02)
        return self

    def kill(self):
        """kill -9, by its process id."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def freeze(self):
        """SIGSTOP: it is there, and does nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        if self.running():
            self.process.send_signal(signal.SIGCONT)

    def stop(self, timeout_s=120):
        """SIGTERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)

    def running(self):
        return self.process.poll() is None


def psql(url, sql):
    """The rows of a query, as lists of text."""
    done = subprocess.run(["psql", url, "-X", "-A", "-t", "-F", "\x1f", "-v", "ON_ERROR_STOP=1",
                           "-c", sql], text=True, capture_output=True, timeout=300)
    if done.returncode != 0:
        raise AssertionError(f"psql: {done.stderr}")
    return [line.split("\x1f") for line in done.stdout.splitlines()]


def new_batch(count, **fields):
    return {"batch_id": str(uuid.uuid4()), "product_count": count} | fields
