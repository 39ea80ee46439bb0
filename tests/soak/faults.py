"""The faults of a soak. Each breaks something, waits for what can be seen of it, and mends it."""

import os
import pathlib
import random
import shutil
import subprocess
import time

from foreign_producer import ForeignProducer
from servers import await_true
from small_disk import fill
from system import BINARY, DIE_WITH_PARENT, Instance

READY_TIMEOUT_S = 240
# Ends the wait for something that need not come: how long a fault stays if nothing shows.
PATIENCE_S = 20
# transaction_timeout_ms in connectors/kafka/options.h.
TRANSACTION_TIMEOUT_S = 15
# How long a replay, resumed after every end that it may come to, may take to its swap.
REPLAY_TIMEOUT_S = 300
VIEWS = ("products", "batches", "anchors", "merkle_subtrees")


class LeftOut(Exception):
    """This fault cannot be had here: it is no fault that the system has survived."""


class Faults:
    """`inject` runs one planned fault to its end; the world is whole again when it returns."""

    def __init__(self, world):
        self.world = world
        self.stale_states = {}  # by instance: where a copy of its state from earlier lies

    def inject(self, fault):
        self.dice = random.Random(fault["dice"])
        self.target = self.world.instances[fault["target"]]
        self.for_s = fault["for_s"]
        getattr(self, fault["kind"])()

    # ---- what faults have in common

    def others(self):
        return [i for i in self.world.instances.values() if i is not self.target]

    def pause(self, seconds=None):
        """How long something stays broken is part of the plan, and no wait for anything."""
        self.world.wait(self.for_s if seconds is None else seconds)

    def start_again(self, instance=None):
        instance = instance or self.target
        instance.start()
        self.world.expected_down.discard(instance)
        self.world.await_ready(instance, READY_TIMEOUT_S)

    def kill_target(self):
        self.world.expected_down.add(self.target)
        self.target.kill()

    def await_other_generation(self, timeout_s):
        """Until the groups have noticed: a living member's generation is another."""
        witness = self.others()[0]
        before = generations(witness)
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline and witness.running():
            now = generations(witness)
            if any(now.get(name) != before[name] for name in before):
                return
            self.world.wait(0.1)

    # ---- processes

    def kill(self):
        self.kill_target()
        self.pause()
        self.start_again()

    def kill_at_start(self):
        self.kill_target()
        self.target.start()
        self.pause(self.dice.uniform(0.05, 1.5))
        self.target.kill()
        self.start_again()

    def freeze(self):
        """A zombie: it stands still until its groups have given its partitions away, and wakes."""
        self.target.freeze()
        self.await_other_generation(PATIENCE_S)
        self.pause()
        self.target.thaw()

    def terminate(self):
        self.world.expected_down.add(self.target)
        self.world.expect("a clean stop under load", self.target.stop(), 0)
        self.pause()
        self.start_again()

    def scale(self):
        """Three, one, three."""
        for instance in self.others():
            self.world.expected_down.add(instance)
            self.world.expect("a clean stop under load", instance.stop(), 0)
        self.pause()
        for instance in self.others():
            self.start_again(instance)

    def same_name(self):
        """A second process with the name of the target; one of them or both may give up."""
        twin = Instance(self.world.system, self.target.name, {
            **self.target.environment,
            "VOKETAG_STATE_DIR": str(self.world.system.directory / "state-twin")})
        self.world.may_refuse.add(self.target)
        deadline = time.monotonic() + PATIENCE_S
        try:
            while time.monotonic() < deadline and twin.running() and self.target.running():
                self.world.wait(0.1)
        finally:
            twin.kill()
            shutil.rmtree(twin.state, ignore_errors=True)
        self.world.await_running(self.target, READY_TIMEOUT_S)
        self.world.may_refuse.discard(self.target)

    # ---- servers

    def broker_stop(self):
        self.world.broker.stop()
        self.pause()
        self.world.broker.start().await_ready()

    def broker_kill(self):
        self.world.broker.kill()
        self.pause()
        self.world.broker.start().await_ready()

    def broker_away(self):
        """For longer than a transaction or a session lasts: when it is back, all are fenced at
        once, with requests on their way."""
        self.world.broker.kill()
        self.pause(self.for_s + TRANSACTION_TIMEOUT_S)
        self.world.broker.start().await_ready()

    def postgres_stop(self):
        self.world.postgres.stop()
        self.pause()
        self.world.postgres.start().await_ready()

    def postgres_kill(self):
        self.world.postgres.kill()
        self.pause()
        self.world.postgres.start().await_ready()

    def postgres_locked(self):
        """Somebody holds one of the tables for longer than a projector waits for it; or the row of
        its position, and then the table: whoever of the two PostgreSQL sacrifices."""
        hold = f"SELECT pg_sleep({self.for_s + 2})"
        table = self.dice.choice([*VIEWS, "anchor_transactions", "projection_positions"])
        statements = [f"LOCK TABLE voketag.{table}", hold]
        if self.dice.random() < 0.5:
            # The projector waits for the row within half a second, if it is at work, and is then
            # the one that PostgreSQL asks whether it waits in vain.
            statements = ["SET LOCAL deadlock_timeout = '300s'",
                          "SELECT 1 FROM voketag.projection_positions WHERE projection = "
                          "'batches' FOR UPDATE", "SELECT pg_sleep(0.5)",
                          "LOCK TABLE voketag.batches", hold]
        words = [word for sql in ("BEGIN", *statements, "COMMIT") for word in ("-c", sql)]
        log = self.world.system.directory / "locker.log"
        with open(log, "w", encoding="utf-8") as output:
            locker = subprocess.Popen(
                [*DIE_WITH_PARENT, "psql", self.world.system.postgres, "-X", "-q", "-v",
                 "ON_ERROR_STOP=1", *words], stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        code = self.await_end(locker, self.for_s + 60)
        said = log.read_text(encoding="utf-8")
        assert code == 0 or "deadlock detected" in said, f"the locker ended with {code}: {said}"

    # ---- replays

    def view_replay(self):
        """A view is built anew under load, killed on its way, and resumed until it is swapped;
        every other time one of the instances that write the live one is killed, too."""
        view = self.dice.choice(VIEWS)
        before = self.live_generation(view)
        said = ""
        code = self.await_end(self.start_replay(view), self.dice.uniform(0.1, 4.0))
        self.world.say(f"the replay of {view} " + ("was killed" if code == -9 else "was faster"))
        if self.dice.random() < 0.5:
            self.kill_target()
        deadline = time.monotonic() + REPLAY_TIMEOUT_S
        while self.live_generation(view) == before:
            # Readers and other faults may be in the way of a swap, but rows may not differ.
            assert time.monotonic() < deadline, f"no replay of {view} was swapped: {said}"
            code = self.await_end(self.start_replay(view, *self.resume_of(view)),
                                  deadline - time.monotonic())
            said = self.replay_log(view).read_text(encoding="utf-8")[-2000:]
            assert code in (0, 1, 3), f"the replay of {view} ended with {code}: {said}"
            assert "generations differ" not in said, f"the replay of {view}: {said}"
            self.world.wait(0.2)
        if not self.target.running():
            self.start_again()

    def live_generation(self, view):
        return self.world.system.count(f"SELECT voketag.live_generation('{view}')")

    def resume_of(self, view):
        """Nothing is to be resumed where it was killed before it had begun."""
        is_unfinished = self.world.system.count(
            "SELECT count(*) FROM voketag.projection_generations WHERE state = 'building' AND "
            f"projection = '{view}'")
        return ["--resume"] if is_unfinished else []

    def replay_log(self, view):
        return self.world.system.directory / f"replay-{view}.log"

    def start_replay(self, view, *arguments):
        with open(self.replay_log(view), "w", encoding="utf-8") as log:
            return subprocess.Popen(
                [*DIE_WITH_PARENT, BINARY, "replay", "--view", view, "--lock-timeout-ms", "2000",
                 "--json", *arguments], env=self.world.system.environment,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def await_end(self, process, timeout_s):
        """Its exit code; it is killed (-9) at the timeout."""
        deadline = time.monotonic() + timeout_s
        while process.poll() is None and time.monotonic() < deadline:
            self.world.wait(0.05)
        if process.poll() is None:
            process.kill()
        return process.wait()

    # ---- state

    def state_lost(self):
        self.kill_target()
        empty(self.target.state)
        self.pause()
        self.start_again()

    def state_corrupt(self):
        """Some bytes of one file of the database are others. Where that is found out only when they
        are read, it ends with code 3 and is whole after the next start."""
        self.kill_target()
        files = sorted(path for path in self.target.state.rglob("*")
                       if path.is_file() and path.stat().st_size > 0 and path.name != "LOCK")
        if not files:  # killed before it had written any
            self.start_again()
            raise LeftOut("there is no state to corrupt")
        path = self.dice.choice(files)
        with open(path, "r+b") as file:
            file.seek(self.dice.randrange(path.stat().st_size))
            file.write(self.dice.randbytes(self.dice.randrange(1, 64)))
        self.world.say(f"corrupted {path.name}")
        self.start_again()

    def state_stale(self):
        """The state is the one of an earlier fault of this kind, or of a little while ago."""
        self.kill_target()
        copy = self.world.system.directory / f"stale-{self.target.name}"
        earlier = self.stale_states.get(self.target)
        if earlier is None:
            copy_state(self.target.state, copy)
            self.start_again()
            self.pause()
            self.kill_target()
        fresh = copy.with_name(copy.name + "-next")
        copy_state(self.target.state, fresh)
        empty(self.target.state)
        copy_state(copy, self.target.state)
        shutil.rmtree(copy)
        fresh.rename(copy)
        self.stale_states[self.target] = copy
        self.start_again()

    def disk_full(self):
        """The state of the one instance whose disk is small: full until it stops or is stopped."""
        self.target = self.world.instances[self.world.small_disk_instance]
        if not os.path.ismount(self.target.state):
            raise LeftOut("no small disk could be mounted")
        filler = self.target.state / "filler"
        self.world.may_refuse.add(self.target)
        try:
            fill(filler)
            deadline = time.monotonic() + PATIENCE_S
            while time.monotonic() < deadline and self.target.running():
                self.world.wait(0.1)
        finally:
            filler.unlink()
        self.world.await_running(self.target, READY_TIMEOUT_S)
        self.world.may_refuse.discard(self.target)

    # ---- the network

    def slow(self, proxy):
        proxy.slow(self.dice.uniform(0.05, 0.6))
        self.pause(self.for_s + 4)
        proxy.heal()

    def lossy(self, proxy):
        proxy.lose(self.dice.uniform(0.05, 0.3), self.dice.randrange(1 << 32))
        self.pause(self.for_s + 4)
        proxy.heal()

    def kafka_slow(self):
        self.slow(self.world.kafka_proxies[self.target.name])

    def kafka_loss(self):
        self.lossy(self.world.kafka_proxies[self.target.name])

    def kafka_cut(self):
        proxy = self.world.kafka_proxies[self.target.name]
        proxy.cut()
        self.pause()
        proxy.heal()

    def kafka_frozen(self):
        """A partition that outlasts the session: the groups give the work to others."""
        proxy = self.world.kafka_proxies[self.target.name]
        proxy.freeze()
        self.await_other_generation(PATIENCE_S)
        self.pause()
        proxy.heal()

    def postgres_slow(self):
        self.slow(self.world.postgres_proxies[self.target.name])

    def postgres_loss(self):
        self.lossy(self.world.postgres_proxies[self.target.name])

    def postgres_frozen(self):
        proxy = self.world.postgres_proxies[self.target.name]
        proxy.freeze()
        self.pause(self.for_s + 4)
        proxy.heal()

    def postgres_cut(self):
        proxy = self.world.postgres_proxies[self.target.name]
        for _ in range(self.dice.randrange(1, 6)):
            proxy.reset()
            self.pause(0.3)
        proxy.cut()
        self.pause()
        proxy.heal()

    def foreign_transaction(self):
        """Somebody's open transaction on an input topic: its partition stands still until it ends.
        What it aborts was never there."""
        producer = ForeignProducer(self.world.bootstrap, f"foreign-{self.dice.randrange(1 << 30)}")
        producer.begin()
        topic = self.world.system.prefix + "batch-requested"
        producer.produce(topic, b"this is aborted, and nobody's input", self.dice.randrange(12))
        self.pause(self.for_s + 2)
        producer.abort()
        producer.close()


def generations(instance):
    return {path: path.read_bytes() for path in pathlib.Path(instance.state).rglob("member-*")
            if path.suffix != ".next"}


def empty(directory):
    """Without the directory itself, which may be a mount."""
    for path in pathlib.Path(directory).iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def copy_state(source, target):
    shutil.copytree(source, target, dirs_exist_ok=True)
