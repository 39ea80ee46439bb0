"""Cases 8, 9, 10, 15: zombies, twins and a number of instances that changes, under load."""

import json
import time

from matrix import GREAT, System, Work, await_true, case, open_transactions

SESSION_TIMEOUT_MS = 3000
TRANSACTION_TIMEOUT_MS = 4000


def generations(instance):
    return {path.name: json.loads(path.read_text())["identity"]
            for path in instance.state.rglob("member-*") if path.suffix != ".next"}


def zombie(work, frozen, living):
    """Frozen in the middle of work, until its groups have given its partitions to the other; what
    it then does with what it had begun is seen by nobody."""
    with case(8, "SIGSTOP for longer than the session, and SIGCONT"):
        work.await_chunks(work.ask(GREAT, *[3000] * 12))
        before = generations(living)
        frozen.freeze()
        await_true("every group has noticed", lambda: all(
            generations(living).get(name) != before[name] for name in before), 60, 0.1)
        asked = work.ask(*[100] * 12)
        work.await_roots(asked)
        frozen.thaw()
        work.ask(*[100] * 12)
        work.await_done()
        assert frozen.running() and living.running(), frozen.log()[-2000:]


def aborted_while_frozen(work, frozen):
    """Freezes it at work and waits until no transaction is open; says whether that took so long
    that the broker must have aborted one. Else it had ended them all, or was about to."""
    work.await_chunks(work.ask(GREAT, *[3000] * 12))
    frozen.freeze()
    began = time.monotonic()
    await_true("every transaction has ended", lambda: not open_transactions(work.system), 60)
    took_s = time.monotonic() - began
    frozen.thaw()
    return took_s > TRANSACTION_TIMEOUT_MS / 1000 / 2


def stall(work, frozen):
    """Longer than its transactions' timeout: the broker has aborted them when it wakes."""
    with case(10, "a stall of all instances beyond the transaction timeout"):
        await_true("a transaction was aborted", lambda: aborted_while_frozen(work, frozen), 90)
        work.await_done()
        assert frozen.running(), frozen.log()[-2000:]


def twins(system, work, older):
    """The broker fences the older one at every turn; one of them ends and says why, or both do."""
    with case(9, "two processes with one VOKETAG_INSTANCE"):
        newer = system.start(older.name, VOKETAG_STATE_DIR=system.directory / "state-twin")
        work.ask(GREAT)

        def one_gave_up():
            # Whoever has work to commit fences the other.
            work.ask(*[50] * 6)
            return not (older.running() and newer.running())
        await_true("one of them gives up", one_gave_up, 120, 0.3)
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
        work.ask(GREAT, *[2000] * 16)
        more = [system.start(name) for name in ("two", "three")]
        for instance in more:
            instance.await_ready()
        work.await_chunks(work.ask(GREAT, *[2000] * 16))
        for instance in more:
            assert instance.stop() == 0, instance.log()[-2000:]
        work.ask(*[100] * 12)
        work.await_done()
        assert first.running()


def main():
    with System("members", VOKETAG_KAFKA_SESSION_TIMEOUT_MS=SESSION_TIMEOUT_MS,
                VOKETAG_KAFKA_TRANSACTION_TIMEOUT_MS=TRANSACTION_TIMEOUT_MS) as system:
        one = system.start("one").await_ready()
        work = Work(system)
        stall(work, one)
        scale(system, work, one)
        two = system.start("four").await_ready()
        zombie(work, one, two)
        assert two.stop() == 0
        twins(system, work, one)
        assert one.stop() == 0, one.log()[-2000:]
        print(work.audit())


if __name__ == "__main__":
    main()
