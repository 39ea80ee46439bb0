"""Cases 8, 9, 10, 15: zombies, twins and a number of instances that changes, under load."""

import json
from collections import Counter

from matrix import (GREAT, GREAT_LASTS, PARTITIONS, System, Work, await_true, case,
                    freeze_in_transaction, open_transactions, verify_state)

SESSION_TIMEOUT_MS = 3000
TRANSACTION_TIMEOUT_MS = 4000
# What a worker says of a transaction that did not take effect.
ABORTED = ("the transaction came to nothing", "aborts its transaction")


def owned(instance):
    """How many partitions each group has given to this instance's members, as they keep it."""
    partitions = Counter()
    for path in instance.state.rglob("member-*"):
        if path.suffix != ".next":
            group = path.name.rpartition("-")[0]
            partitions[group] += len(json.loads(path.read_text())["partitions"])
    return partitions


def zombie(work, frozen, living):
    """Frozen in the middle of work, until its groups have given its partitions to the other; what
    it then does with what it had begun is seen by nobody."""
    with case(8, "SIGSTOP for longer than the session, and SIGCONT"):
        await_true("each owns something of every group", lambda: all(
            set(owned(instance).values()) == {PARTITIONS // 2} for instance in (frozen, living)),
                   120)
        freeze_in_transaction(frozen, work)
        await_true("every group has given all to the other", lambda: set(
            owned(living).values()) == {PARTITIONS}, 120)
        asked = work.ask(*[100] * 12)
        work.await_roots(asked)
        frozen.thaw()
        work.ask(*[100] * 12)
        work.await_done()
        assert frozen.running() and living.running(), frozen.log()[-2000:]


def aborted_while_frozen(work, frozen):
    """Freezes it in a transaction and waits until none is open; says whether it finds, when it
    wakes, that its own came to nothing. Else its end was on the way after all."""
    freeze_in_transaction(frozen, work)
    await_true("every transaction has ended", lambda: not open_transactions(work.system), 120)
    heard = len(frozen.log())
    frozen.thaw()
    work.await_done()
    return any(words in frozen.log()[heard:] for words in ABORTED)


def stall(work, frozen):
    """Longer than its transactions' timeout: the broker has aborted them when it wakes."""
    with case(10, "a stall of all instances beyond the transaction timeout"):
        await_true("a transaction was aborted", lambda: aborted_while_frozen(work, frozen), 400)
        assert frozen.running(), frozen.log()[-2000:]


def twins(system, work, older):
    """The broker fences the older one at every turn; one of them ends and says why, or both do."""
    with case(9, "two processes with one VOKETAG_INSTANCE"):
        newer = system.start(older.name, VOKETAG_STATE_DIR=system.directory / "state-twin")

        def one_gave_up():
            # Whoever has work to commit fences the other.
            work.ask(*[50] * 6)
            return not (older.running() and newer.running())
        await_true("one of them gives up", one_gave_up, 180, 0.3)
        for gone in (older, newer):
            if gone.running():
                continue
            assert gone.process.returncode == 1, gone.process.returncode
            assert "another process runs with the same VOKETAG_INSTANCE" in gone.log(), (
                gone.log()[-2000:])
        newer.kill()
        if not older.running():
            older.start()
            older.await_ready()
        work.await_done()


def scale(system, work, first):
    with case(15, "one instance, three, and one again, under load"):
        work.await_chunks(work.ask(GREAT, *[2000] * 16))
        more = [system.start(name) for name in ("two", "three")]
        for instance in more:
            instance.await_ready()
        work.await_chunks(work.ask(GREAT, *[2000] * 16))
        for instance in more:
            assert instance.stop() == 0, instance.log()[-2000:]
        work.ask(*[100] * 12)
        work.await_done()
        assert first.running()
        # What was moved to them and away from them, and what came back.
        verify_state(first, *more)


def main():
    with System("members", VOKETAG_KAFKA_SESSION_TIMEOUT_MS=SESSION_TIMEOUT_MS,
                VOKETAG_KAFKA_TRANSACTION_TIMEOUT_MS=TRANSACTION_TIMEOUT_MS,
                **GREAT_LASTS) as system:
        one = system.start("one").await_ready()
        work = Work(system)
        stall(work, one)
        scale(system, work, one)
        two = system.start("four").await_ready()
        zombie(work, one, two)
        assert two.stop() == 0
        verify_state(two)
        twins(system, work, one)
        assert one.stop() == 0, one.log()[-2000:]
        verify_state(one)
        print(work.audit())


if __name__ == "__main__":
    main()
