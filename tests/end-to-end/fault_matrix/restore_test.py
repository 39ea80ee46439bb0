"""Case 16: a restore that lasts longer than a member may go without a poll."""

import json
import re
import shutil
import time

from matrix import System, Work, await_true, case

from foreign_producer import ForeignProducer

SESSION_TIMEOUT_MS = 3000
POLL_INTERVAL_MS = 3000
# Somebody's open transaction keeps this partition of the changelog from being read to its end.
HELD = 3


def membership(instance):
    """The member that works on batches, and its group's generation; none before it has any."""
    path = next(iter(instance.state.rglob("member-batches-*")), None)
    return None if path is None else json.loads(path.read_text())


def long_restore(system, instance, work):
    with case(16, "a restore lasts three times as long as max.poll.interval"):
        work.ask(*[20] * 48)
        work.await_done()
        assert instance.stop() == 0
        shutil.rmtree(instance.state)
        stranger = ForeignProducer(system.kafka, f"{system.prefix}stranger", timeout_ms=120_000)
        stranger.begin()
        stranger.produce(f"{system.prefix}batches-changelog", b"nobody reads this", HELD, b"nobody")
        instance.start()
        await_true("it is a member", lambda: membership(instance), 60)
        began, member = time.monotonic(), membership(instance)
        assert len(member["partitions"]) == 12, member
        before = work.completed()
        work.ask(*[20] * 48)
        time.sleep(3 * POLL_INTERVAL_MS / 1000)
        # The other partitions are at work; that one is being restored all the while.
        await_true("others go on", lambda: work.completed() > before + 24, 60)
        assert '"message":"ready' not in instance.log(), instance.log()[-2000:]
        assert membership(instance) == member, (membership(instance), member)
        stranger.abort()
        stranger.close()
        instance.await_ready(60)
        held_ms = (time.monotonic() - began) * 1000
        took_ms = max(int(ms) for ms in re.findall(
            r"batches\.one\.0 restored \d+ partitions, .*? in (\d+) ms", instance.log()))
        assert took_ms > 2 * POLL_INTERVAL_MS, (took_ms, held_ms)
        assert membership(instance) == member, (membership(instance), member)
        assert " lost " not in instance.log(), instance.log()[-2000:]
        work.await_done()


def main():
    with System("restore", VOKETAG_WORKERS=1, VOKETAG_KAFKA_SESSION_TIMEOUT_MS=SESSION_TIMEOUT_MS,
                VOKETAG_KAFKA_MAX_POLL_INTERVAL_MS=POLL_INTERVAL_MS) as system:
        instance = system.start("one").await_ready()
        work = Work(system)
        long_restore(system, instance, work)
        assert instance.stop() == 0, instance.log()[-2000:]
        print(work.audit())


if __name__ == "__main__":
    main()
