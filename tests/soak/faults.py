"""The faults of a soak. Each breaks something, waits for what can be seen of it, and mends it."""

import os
import pathlib
import random
import shutil
import time

from foreign_producer import ForeignProducer
from servers import await_true
from small_disk import fill
from system import Instance

READY_TIMEOUT_S = 240
# Ends the wait for something that need not come: how long a fault stays if nothing shows.
PATIENCE_S = 20
# transaction_timeout_ms in connectors/kafka/options.h.
TRANSACTION_TIMEOUT_S = 15


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
