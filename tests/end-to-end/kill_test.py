"""200 batches while the process is killed (kill -9) at work: each product exactly once."""

import json
import os
import random
import time

from audit import audit_batches
from system import System, await_true, new_batch

BATCHES = 200
KILLS = 12
KILLS_AT_START = 4  # beside those: of a process that has just been started


class Requests:
    """The batches, asked for a few at a time."""

    def __init__(self, system, dice):
        self.system = system
        self.all = [new_batch(self.size(index, dice)) for index in range(BATCHES)]
        self.asked = 0

    @staticmethod
    def size(index, dice):
        """Small ones are made at once; one in 32 is so great that it is cut into chunks."""
        if index % 32 == 28:
            return dice.randrange(131_073, 150_000)
        return dice.choice([1, 7, 1000, 1024, 1025, dice.randrange(1, 6000)])

    def ask(self, count):
        """The ids of the next batches, which are asked for now."""
        batches = self.all[self.asked:self.asked + count]
        self.asked += len(batches)
        self.system.produce("batch-requested", [(b["batch_id"], json.dumps(b)) for b in batches])
        return [batch["batch_id"] for batch in batches]

    def open(self):
        """How many of those that were asked for have no root that any reader sees."""
        return self.asked - len(self.system.consume("merkle-root-computed"))


def has_root(system, batch_ids):
    ids = ", ".join(f"'{batch_id}'" for batch_id in batch_ids)
    return system.count("SELECT count(merkle_root) FROM voketag.batches "
                        f"WHERE batch_id IN ({ids})") > 0


def kill_at_work(system, instance, requests, dice):
    """Kills the process once it has worked since it was started, soon after it was given more."""
    fresh = requests.ask(8)
    # Nobody else knew of these batches: the process that is killed made the root, and its row.
    await_true("a batch asked for since the last kill has its root",
               lambda: has_root(system, fresh), 120, 0.02)
    # Frozen while they are asked for: how long kcat takes is no head start.
    instance.freeze()
    requests.ask(8)
    instance.thaw()
    time.sleep(dice.uniform(0.0, 0.12))
    instance.kill()
    return requests.open()


def main():
    seed = int(os.environ.get("VOKETAG_TEST_SEED", random.randrange(1 << 32)))
    print(f"VOKETAG_TEST_SEED={seed}")
    dice = random.Random(seed)
    at_start = set(dice.sample(range(1, KILLS + 1), KILLS_AT_START))
    with System("kill") as system:
        requests = Requests(system, dice)
        instance = system.start()
        instance.await_ready()
        hits = 0
        for kill in range(1, KILLS + 1):
            open_batches = kill_at_work(system, instance, requests, dice)
            hits += open_batches > 0
            print(f"kill {kill} of {KILLS}: {open_batches} batches were open")
            instance.start()
            if kill in at_start:
                time.sleep(dice.uniform(0.05, 1.0))
                instance.kill()
                instance.start()
                print("and once more at its start")
        assert hits >= KILLS // 2, f"only {hits} of {KILLS} kills met open work"
        requests.ask(BATCHES)

        def all_done():
            assert instance.running(), instance.log()[-3000:]
            return system.count(
                "SELECT count(*) FROM voketag.batches WHERE status = 'completed'") == BATCHES
        await_true("every batch is completed", all_done, 180, 0.5)
        products = sum(request["product_count"] for request in requests.all)
        await_true("every product has its row",
                   lambda: system.count("SELECT count(*) FROM voketag.products") >= products, 60,
                   0.5)
        assert instance.stop() == 0
        audited = audit_batches(system, requests.all)
        assert audited == products
        print(f"{BATCHES} batches, {audited} products, {KILLS} kills after new output, {hits} of "
              f"them at open work, {KILLS_AT_START} more at the start: each exactly once, roots "
              "right")


if __name__ == "__main__":
    main()
