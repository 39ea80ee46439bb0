"""kill -9 of an instance that is alone: it comes back with its state and works at once, in the name
of the member that died, long before its groups have noticed the death."""

import json
import time

from audit import audit_batches
from system import System, await_true, new_batch

# So long that no group notices the death by itself while the first half of the test runs.
SESSION_TIMEOUT_MS = 30_000


def produce(system, requests):
    system.produce("batch-requested", [(r["batch_id"], json.dumps(r)) for r in requests])


def await_completed(system, count, timeout_s=120):
    await_true(f"{count} batches are completed", lambda: system.count(
        "SELECT count(*) FROM voketag.batches WHERE status = 'completed'") == count, timeout_s, 0.1)


def members(instance):
    """Whom each group counts in: "<generation> <member id>" by file, as the group last said it."""
    return {path.name: json.loads(path.read_text())["identity"]
            for path in instance.state.rglob("member-*") if path.suffix != ".next"}


def await_roots(system, requests):
    wanted = {request["batch_id"] for request in requests}
    await_true("the waiting batches have their roots", lambda: wanted <= {
        event["batch_id"] for event in system.events("merkle-root-computed")}, 60)


def main():
    with System("restart", VOKETAG_KAFKA_SESSION_TIMEOUT_MS=SESSION_TIMEOUT_MS) as system:
        instance = system.start().await_ready()
        requests = [new_batch(150_000), *(new_batch(2000) for _ in range(23))]
        produce(system, requests)
        await_completed(system, 24)
        dead = members(instance)
        assert any("merkle" in name for name in dead) and any("view" in name for name in dead), dead

        instance.kill()
        # One is so great that it is cut into chunks.
        waiting = [new_batch(150_000), *(new_batch(1500) for _ in range(11))]
        produce(system, waiting)
        began = time.monotonic()
        instance.start()
        instance.await_ready()
        ready_s = time.monotonic() - began
        await_roots(system, waiting)
        roots_s = time.monotonic() - began
        await_completed(system, 36)
        rows_s = time.monotonic() - began
        # A group that has given partitions to the new member has written another generation here.
        assert members(instance) == dead, "the groups have noticed: this shows nothing"
        log = instance.log()
        for processor in ("ingress", "batches", "tokens", "merkle", "anchoring"):
            assert f"{system.prefix}{processor}.one.0 goes on with" in log, log[-3000:]

        # Then the groups notice, and hand the partitions to the living member.
        await_true("every group counts the new member in", lambda: all(
            identity != dead[name] for name, identity in members(instance).items()), 90, 0.1)
        noticed_s = time.monotonic() - began
        more = [new_batch(1000) for _ in range(12)]
        produce(system, more)
        await_completed(system, 48)
        requests += waiting + more
        products = sum(request["product_count"] for request in requests)
        await_true("every product has its row", lambda: system.count(
            "SELECT count(*) FROM voketag.products") == products, 60)
        assert instance.stop() == 0, instance.log()[-2000:]
        audit_batches(system, requests)
        print(f"ready after {ready_s:.1f} s, roots after {roots_s:.1f} s, completed after "
              f"{rows_s:.1f} s, all in the dead member's name; the groups noticed after "
              f"{noticed_s:.1f} s")


if __name__ == "__main__":
    main()
