"""Cases 11, 12, 28: a cluster of three (replication 3, min.insync.replicas 2) loses the leader of a
topic, the coordinator of a group, the coordinator of transactions, and one disk, each at work.
Nobody has to do anything, and after each every input had exactly one effect."""

import json
import pathlib
import shutil
import subprocess
import tempfile

from matrix import GREAT, System, Work, await_true, case

from servers import Cluster, Postgres

PATIENCE_S = 240


def partitions(system, *which):
    """Kafka's metadata: (topic, partition) -> leader and replicas in sync, as broker ids."""
    asked = subprocess.run(["kcat", "-L", "-b", system.kafka, *which, "-J", "-m", "10"], text=True,
                           capture_output=True, timeout=60)
    if asked.returncode != 0:
        return {}
    return {(topic["topic"], partition["partition"]):
            (partition["leader"], {replica["id"] for replica in partition["isrs"]})
            for topic in json.loads(asked.stdout)["topics"] for partition in topic["partitions"]}


def leader(system, topic, partition):
    return partitions(system, "-t", topic)[topic, partition][0]


def coordinator(system, topic, name):
    """Who coordinates a group or a transactional id: the leader of one partition of the cluster's
    own topic, which Java's hash of the name chooses."""
    code = 0
    for character in name:
        code = (31 * code + ord(character)) & 0xFFFFFFFF
    code = abs(code - (1 << 32) if code >> 31 else code)
    count = len(partitions(system, "-t", topic))
    return leader(system, topic, code % count)


def await_refilled(system):
    """Each replica of each partition is in sync."""
    def refilled():
        found = partitions(system)
        return found and all(len(in_sync) == 3 for _, in_sync in found.values())
    await_true("every replica is in sync", refilled, PATIENCE_S, 0.5)


class Cast:
    """A cluster, two instances at work on it, and what they were asked for."""

    def __init__(self, cluster, system):
        self.cluster = cluster
        self.system = system
        self.instances = [system.start(name) for name in ("one", "two")]
        self.work = Work(system)
        for instance in self.instances:
            instance.await_ready(PATIENCE_S)

    def broker(self, node_id):
        return self.cluster.brokers[node_id - 1]

    def ask_for_work(self):
        """Returns when a great batch has been cut and the chunks' workers are at it."""
        self.work.await_chunks(self.work.ask(GREAT, *[1000] * 6))

    def await_done(self):
        """What was asked for meanwhile, too; and nobody had to give up."""
        self.work.ask(*[1000] * 6)
        self.work.await_done(PATIENCE_S)
        for instance in self.instances:
            assert instance.running(), instance.log()[-2000:]

    def audit(self):
        await_refilled(self.system)
        print(self.work.audit())


def leader_dies(cast):
    topic = cast.system.prefix + "tokens-generated"
    broker = cast.broker(leader(cast.system, topic, 0))
    with case(12, f"{broker.name}, which leads, is killed at work"):
        cast.ask_for_work()
        broker.kill()
        cast.await_done()
        broker.start().await_ready()
        cast.audit()


def group_coordinator_dies(cast):
    """An instance dies with it: the other restores, and has to ask the group's new coordinator."""
    broker = cast.broker(coordinator(cast.system, "__consumer_offsets",
                                     cast.system.prefix + "tokens"))
    with case(11, f"{broker.name}, which coordinates a group, and a member of it are killed"):
        cast.ask_for_work()
        broker.kill()
        cast.instances[1].kill()
        await_true("the other has taken over", lambda: cast.work.done(), PATIENCE_S, 0.5)
        cast.instances[1].start()
        cast.instances[1].await_ready(PATIENCE_S)
        cast.await_done()
        broker.start().await_ready()
        cast.audit()


def transaction_coordinator_dies(cast):
    broker = cast.broker(coordinator(cast.system, "__transaction_state",
                                     cast.system.prefix + "tokens.one.0"))
    with case(11, f"{broker.name}, which coordinates transactions, is killed at work"):
        cast.ask_for_work()
        broker.kill()
        cast.await_done()
        broker.start().await_ready()
        cast.audit()


def disk_dies(cast):
    """What was lost is read from the others; then it has to serve what it has read."""
    topic = cast.system.prefix + "tokens-generated"
    broker = cast.broker(leader(cast.system, topic, 0))
    with case(28, f"{broker.name} comes back with an empty disk"):
        cast.ask_for_work()
        broker.stop()
        broker.lose_disk()
        broker.start().await_ready()
        cast.await_done()
        cast.audit()
    other = cast.broker(leader(cast.system, topic, 0))
    assert other is not broker
    with case(28, f"{other.name} is killed, and {broker.name} leads again"):
        cast.ask_for_work()
        other.kill()
        await_true(f"{broker.name} leads", lambda: broker.node_id in {
            found for found, _ in partitions(cast.system, "-t", topic).values()}, PATIENCE_S, 0.5)
        cast.await_done()
        print(cast.work.audit())
        other.start().await_ready()
        await_refilled(cast.system)


def main():
    directory = pathlib.Path(tempfile.mkdtemp(prefix="voketag-three-"))
    cluster = Cluster(directory, brokers=3)
    postgres = Postgres()
    try:
        cluster.start()
        postgres.create()
        with System("three", kafka=cluster.bootstrap, postgres=postgres.url()) as system:
            cast = Cast(cluster, system)
            for ordeal in (leader_dies, group_coordinator_dies, transaction_coordinator_dies,
                           disk_dies):
                ordeal(cast)
            for instance in cast.instances:
                assert instance.stop() == 0, instance.log()[-2000:]
            print(cast.work.audit())
    finally:
        cluster.kill()
        postgres.remove()
    shutil.rmtree(directory)


if __name__ == "__main__":
    main()
