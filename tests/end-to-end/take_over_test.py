"""Two instances share the work; one dies, the other goes on; a third comes and all is balanced."""

import shutil

from audit import audit_batches
from system import GREAT, GREAT_LASTS, System, await_true, new_batch


def produce(system, requests):
    system.produce("batch-requested",
                   [(r["batch_id"], str(r).replace("'", '"')) for r in requests])


def await_completed(system, count, timeout_s=120):
    await_true(f"{count} batches are completed", lambda: system.count(
        "SELECT count(*) FROM voketag.batches WHERE status = 'completed'") == count, timeout_s, 0.3)


def main():
    with System("takeover", **GREAT_LASTS) as system:
        one = system.start("one").await_ready()
        requests = [new_batch(100) for _ in range(24)]
        produce(system, requests)
        await_completed(system, 24)

        system.start("two").await_ready()
        # Two are so great that every partition works on them, until long after the kill.
        more = [new_batch(GREAT if i % 24 == 0 else 2000) for i in range(48)]
        produce(system, more)
        requests += more
        await_true("work has begun", lambda: system.count(
            "SELECT count(*) FROM voketag.batches") > 30, 60)
        one.kill()
        made = {event["batch_id"] for event in system.events("merkle-root-computed")}
        great = {more[0]["batch_id"], more[24]["batch_id"]}
        assert not great <= made, "no work was left to take over"
        await_completed(system, 72)

        # The dead one's name comes back, without its state.
        shutil.rmtree(one.state)
        one.start()
        one.await_ready()
        last = [new_batch(50) for _ in range(24)]
        produce(system, last)
        requests += last
        await_completed(system, 96)
        products = sum(request["product_count"] for request in requests)
        await_true("every product has its row", lambda: system.count(
            "SELECT count(*) FROM voketag.products") == products, 60)
        for instance in system.instances:
            assert instance.stop() == 0, instance.log()[-2000:]
        audit_batches(system, requests)
        print(f"{len(requests)} batches through a death, a return without state and two rebalances")


if __name__ == "__main__":
    main()
