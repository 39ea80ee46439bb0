"""Cases 11, 12: a cluster of three (replication 3, min.insync.replicas 2) loses a broker that leads
and coordinates, at work, and then another: nobody has to do anything."""

import json
import pathlib
import shutil
import subprocess
import tempfile

from matrix import GREAT, System, Work, await_true, case

from servers import Cluster, Postgres


def in_sync_counts(system):
    """How many replicas of a partition are in sync, of every partition."""
    asked = subprocess.run(["kcat", "-L", "-b", system.kafka, "-J", "-m", "10"], text=True,
                           capture_output=True, timeout=60)
    if asked.returncode != 0:
        return set()
    return {len(partition["isrs"]) for topic in json.loads(asked.stdout)["topics"]
            for partition in topic["partitions"]}


def main():
    directory = pathlib.Path(tempfile.mkdtemp(prefix="voketag-three-"))
    cluster = Cluster(directory, brokers=3)
    postgres = Postgres()
    try:
        cluster.start()
        postgres.create()
        with System("three", kafka=cluster.bootstrap, postgres=postgres.url()) as system:
            instance = system.start("one").await_ready()
            work = Work(system)
            work.ask(*[1000] * 6)
            work.await_done(150)
            # Each leads a third of the partitions and coordinates a third of groups and
            # transactions: with two of them gone and back, most have moved.
            for broker in cluster.brokers[:2]:
                with case("11, 12", f"broker {broker.node_id} of three is killed at work"):
                    asked = work.ask(GREAT, *[1000] * 12)
                    work.await_chunks(asked)
                    broker.kill()
                    work.await_roots(asked, 150)
                    assert instance.running(), instance.log()[-2000:]
                    broker.start().await_ready(150)
                    await_true("every replica is in sync again",
                               lambda: in_sync_counts(system) == {3}, 150, 0.5)
            work.await_done(150)
            assert instance.stop() == 0, instance.log()[-2000:]
            print(work.audit())
    finally:
        cluster.kill()
        postgres.remove()
    shutil.rmtree(directory)


if __name__ == "__main__":
    main()
