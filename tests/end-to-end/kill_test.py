"""200 batches while the process is killed (kill -9) at random moments: each product exactly once."""

import os
import random
import sys
import threading
import time

from audit import audit_batches
from system import System, await_true, new_batch

BATCHES = 200
KILLS = 12


def main():
    seed = int(os.environ.get("VOKETAG_TEST_SEED", random.randrange(1 << 32)))
    print(f"VOKETAG_TEST_SEED={seed}")
    dice = random.Random(seed)
    requests = [new_batch(dice.choice([1, 7, 1000, 1024, 1025, dice.randrange(1, 6000)]))
                for _ in range(BATCHES)]
    with System("kill") as system:
        instance = system.start()
        instance.await_ready()
        done = threading.Event()

        def ask():
            for index in range(0, BATCHES, 5):
                if done.is_set():
                    return
                system.produce("batch-requested",
                               [(r["batch_id"], str(r).replace("'", '"'))
                                for r in requests[index:index + 5]])
                time.sleep(0.15)
        asking = threading.Thread(target=ask)
        asking.start()
        try:
            for kill in range(1, KILLS + 1):
                # Some kills hit the work, some the restore, some the start itself.
                time.sleep(dice.choice([dice.uniform(0.05, 1.0), dice.uniform(1.0, 4.0)]))
                instance.kill()
                instance.start()
                print(f"kill {kill} of {KILLS}")
        finally:
            done.set() if sys.exc_info()[0] else None
            asking.join()

        def all_done():
            assert instance.running(), instance.log()[-3000:]
            return system.count(
                "SELECT count(*) FROM voketag.batches WHERE status = 'completed'") == BATCHES
        await_true("every batch is completed", all_done, 180, 0.5)
        products = sum(request["product_count"] for request in requests)
        await_true("every product has its row",
                   lambda: system.count("SELECT count(*) FROM voketag.products") >= products, 60, 0.5)
        assert instance.stop() == 0
        audited = audit_batches(system, requests)
        assert audited == products
        print(f"{BATCHES} batches, {audited} products, {KILLS} kills: each exactly once, roots right")


if __name__ == "__main__":
    main()
