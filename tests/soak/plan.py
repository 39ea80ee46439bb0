"""What a soak will do, drawn from its seed alone: which fault when at whom, and the load."""

import json
import random
import uuid

INSTANCES = ("one", "two", "three")

# Every kind comes once before any comes twice. What each does: faults.py.
KINDS = (
    "kill", "kill_at_start", "freeze", "terminate", "scale", "broker_stop", "broker_kill",
    "broker_away", "postgres_stop", "postgres_kill", "state_lost", "state_corrupt", "state_stale",
    "disk_full", "same_name", "kafka_slow", "kafka_loss", "kafka_cut", "kafka_frozen",
    "postgres_slow", "postgres_loss", "postgres_cut", "postgres_frozen", "postgres_locked",
    "foreign_transaction", "view_replay",
)
FIRST_FAULT_S = 6
LAST_FAULT_BEFORE_END_S = 4

# Smaller batches are made at once where they are accepted; these are cut into chunks, which the
# processors tokens and merkle work on.
GREAT_MIN, GREAT_MAX = 131_073, 300_000
FIRST_GREAT_S = 3


def draw_faults(seed, minutes, interval_s, kinds=KINDS):
    dice = random.Random(f"{seed}/faults")
    faults, deck = [], []
    at_s = FIRST_FAULT_S
    while at_s <= minutes * 60 - LAST_FAULT_BEFORE_END_S:
        if not deck:
            deck = dice.sample(kinds, len(kinds))
        faults.append({
            "at_s": round(at_s, 1),
            "kind": deck.pop(),
            "target": dice.choice(INSTANCES),
            "for_s": round(dice.uniform(0.2, 8.0), 1),  # how long what is broken stays so
            "dice": dice.randrange(1 << 32),            # for what else the fault has to choose
        })
        at_s += interval_s * dice.uniform(0.8, 1.2)
    return faults


def malformed(dice):
    """A value that no reader can take for a request."""
    batch_id = str(uuid.UUID(int=dice.getrandbits(128)))
    return dice.choice([
        "once upon a time",
        "[1, 2, 3]",
        '{"batch_id": "' + batch_id,
        '{"product_count": 10}',
        '{"batch_id": "not-a-uuid", "product_count": 10}',
        json.dumps({"batch_id": batch_id, "product_count": 0}),
        json.dumps({"batch_id": batch_id, "product_count": -7}),
        json.dumps({"batch_id": batch_id, "product_count": 10_000_001}),
        json.dumps({"batch_id": batch_id, "product_count": "ten"}),
        json.dumps({"batch_id": batch_id, "product_count": 10, "tenant": 7}),
        json.dumps({"batch_id": batch_id, "product_count": 10, "metadata": "none"}),
    ])


def draw_great(dice):
    return int(GREAT_MIN * (GREAT_MAX / GREAT_MIN) ** dice.random())


def draw_small(dice):
    """1 to 130,000, about 500 on average."""
    if dice.random() < 0.01:
        return int(2000 * 65 ** dice.random())
    return dice.choice([1, 1024, 1025, int(2000 ** dice.random()), int(2000 ** dice.random())])


def draw_load(seed, minutes, products_per_s, great_every_s):
    """Yields (at_s, key, value, product_count); a key of None lets the record land anywhere.

    Great batches come beside products_per_s, one in about great_every_s. product_count is 0 for
    what adds nothing: duplicates, conflicts, malformed ones."""
    dice = random.Random(f"{seed}/load")
    earlier = []
    at_s, next_great_s = 0.0, FIRST_GREAT_S
    while at_s < minutes * 60:
        chance = dice.random()
        if chance < 0.04:
            yield at_s, dice.choice([None, "any"]), malformed(dice), 0
        elif chance < 0.10 and earlier:
            # The same content in another spelling, keyed otherwise.
            request = dice.choice(earlier[-200:])
            yield at_s, None, json.dumps(request, sort_keys=True, indent=None), 0
        elif chance < 0.13 and earlier:
            request = dict(dice.choice(earlier[-200:]))
            request["product_count"] += dice.choice([1, 17])
            yield at_s, request["batch_id"], json.dumps(request), 0
        else:
            is_great = at_s >= next_great_s
            if is_great:
                next_great_s = at_s + great_every_s * dice.uniform(0.5, 1.5)
            count = draw_great(dice) if is_great else draw_small(dice)
            request = {"batch_id": str(uuid.UUID(int=dice.getrandbits(128), version=4)),
                       "product_count": count}
            if dice.random() < 0.3:
                request |= {"tenant": "acme", "sku": f"sku-{dice.randrange(100)}",
                            "metadata": {"b": 1, "a": [2.5, None, {"c": "d"}]}}
            earlier.append(request)
            yield at_s, request["batch_id"], json.dumps(request), count
            at_s += 0 if is_great else count / products_per_s
        at_s += 0.02
