"""A checker that cannot fail proves nothing: what a small run has left in Kafka and PostgreSQL is
right; then one record, one row or one key of it is made twice, is taken away or says something
else, and the checker of the soak must find each of these."""

import json
import pathlib
import sys
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "soak"))

# pylint: disable=wrong-import-position
import audit
import checker
import state_checker
from system import GREAT, System, await_true, new_batch

OUTPUTS = ("batch-accepted", "token-chunk-requested", "tokens-generated", "merkle-subtree-computed",
           "merkle-root-computed", "anchor-queue", "anchor-submitted", "anchor-completed",
           "batch-completed", "dead-letters")
# What of a row must be right, by the table of the state.
STATE = {("batches", "ended"): {"status": "failed", "duplicates": 7, "content": {}},
         ("tokens", "done"): {},
         ("merkle", "whole"): {"merkle_root": "00", "chunk_count": 7},
         ("anchoring", "anchor"): {"merkle_root": "00", "product_count": 7, "origin": "external",
                                   "attempt": 7},
         ("anchoring", "place"): {"status": "waiting", "merkle_root": "00", "revision": 7},
         ("anchoring", "lane"): {"first_slot": 0, "next_slot": 7, "nonce": 7}}
LEFT_OVER = (("batches", "batch"), ("batches", "window"), ("batches", "timer"), ("merkle", "tree"),
             ("merkle", "part"), ("anchoring", "slot"), ("tokens", "of-nobody"))
# The columns that each view is asked for, in the checker's order; the first ones are the key.
VIEWS = {"batches": 4, "anchors": 5, "merkle_subtrees": 3, "anchor_transactions": 5, "products": 5}


class Recorded(checker.Topics):
    """What the topics held when it was first asked; a test may change it."""

    def __init__(self, bootstrap, prefix):
        super().__init__(bootstrap, prefix)
        self.recorded = {}

    def records(self, topic):
        if topic not in self.recorded:
            self.recorded[topic] = list(super().records(topic))
        yield from self.recorded[topic]

    def append(self, topic, record, **changes):
        last = max(r["offset"] for r in self.recorded[topic]
                   if r["partition"] == record["partition"])
        self.recorded[topic].append({**record, "offset": last + 1, **changes})


class Trial:
    """Audits what was recorded, changed in one place and then as it was again."""

    def __init__(self, system):
        self.system = system
        self.topics = Recorded(system.kafka, system.prefix)
        self.rows = {}
        self.read_rows = checker.rows
        checker.rows = audit.rows = self.recorded_rows  # the rows of products are read there
        self.trials = 0
        # A hundred audits compute the same hashes: what has been found right is not computed again.
        self.chunks = {}
        self.make_chunk = checker.Chunk
        checker.Chunk = self.known_chunk
        self.right_products = None
        self.audit_products = checker.audit_products
        checker.audit_products = self.audit_other_products

    def known_chunk(self, event, key, findings):
        name = (event["batch_id"], event["chunk_index"], event["first_serial"], event["count"],
                tuple(event["tokens"]))
        if name not in self.chunks:
            self.chunks[name] = self.make_chunk(event, key, findings)
        return self.chunks[name]

    def audit_other_products(self, *arguments):
        if self.right_products is None:
            self.audit_products(*arguments)
            self.right_products = list(self.products())
        elif self.products() != self.right_products:
            self.audit_products(*arguments)

    def products(self):
        return next(found for sql, found in self.rows.items() if "voketag.products" in sql)

    def recorded_rows(self, url, sql):
        if sql not in self.rows:
            self.rows[sql] = list(self.read_rows(url, sql))
        yield from self.rows[sql]

    def audit(self):
        findings, _ = checker.audit(self.topics, self.system.postgres, self.system.key,
                                    at_rest=True)
        return list(findings.lines())

    def must_find(self, what, change):
        topics = {topic: list(records) for topic, records in self.topics.recorded.items()}
        rows = {sql: list(found) for sql, found in self.rows.items()}
        change()
        found = self.audit()
        self.topics.recorded, self.rows = topics, rows
        assert found, f"the checker does not find this: {what}"
        self.trials += 1


def plant_in_outputs(trial):
    topics = trial.topics
    for topic in OUTPUTS:
        record = topics.recorded[topic][0]
        another = {**record["headers"], "ce_id": str(uuid.uuid4())}
        trial.must_find(f"{topic}: a record twice", lambda: topics.append(topic, record))
        trial.must_find(f"{topic}: a record twice, as another one",
                        lambda: topics.append(topic, record, headers=another))
        trial.must_find(f"{topic}: a record is missing",
                        lambda: topics.recorded[topic].remove(record))


def plant_in_state(trial):
    topics = trial.topics
    for (processor, table), members in STATE.items():
        topic = processor + "-changelog"
        record = next(r for r in reversed(topics.recorded[topic])
                      if r["key"].startswith(table + "/") and r["value"] is not None)
        what = f"{processor} {table}"
        row = json.loads(record["value"])
        for member, value in members.items():
            trial.must_find(f"{what}: {member} is {value}", lambda: topics.append(
                topic, record, value=json.dumps(row | {member: value})))
        trial.must_find(f"{what}: a row is missing", lambda: topics.append(
            topic, record, value=None))
        trial.must_find(f"{what}: a row lies in two partitions", lambda: topics.append(
            topic, {**record, "partition": (record["partition"] + 1) % 12}))
        if table in ("ended", "done", "whole", "anchor"):
            trial.must_find(f"{what}: a row was written twice",
                            lambda: topics.append(topic, record))
    for processor, table in LEFT_OVER:
        topic = processor + "-changelog"
        trial.must_find(f"{processor} {table}: something is left over", lambda: topics.append(
            topic, topics.recorded[topic][0], key=table + "/x", value="{}"))


def plant_in_positions(trial):
    topics = trial.topics
    for processor in checker.PROCESSORS:
        topic = processor + "-changelog"
        record, commit = next(
            (r, c) for r, c in ((r, json.loads(r["value"])) for r in
                                reversed(topics.recorded[topic]) if r["key"] == "commit")
            if any(place["next_offset"] for place in c["positions"]))
        behind = [{**place, "next_offset": 0} for place in commit["positions"]]
        trial.must_find(f"{processor}: an input was not read", lambda: topics.append(
            topic, record, value=json.dumps(commit | {"positions": behind})))
        trial.must_find(f"{processor}: a transaction more than its history has",
                        lambda: topics.append(topic, record, value=json.dumps(
                            commit | {"sequence": commit["sequence"] + 1})))
        history = processor + "-commits"
        worked = [r for r in topics.recorded[history]
                  if any(task["work"] for task in json.loads(r["value"])["tasks"])]
        trial.must_find(f"{processor}: work is done twice",
                        lambda: topics.append(history, worked[-1]))
        trial.must_find(f"{processor}: work is missing in the history",
                        lambda: topics.recorded[history].remove(worked[-1]))


def plant_in_views(trial):
    for view, columns in VIEWS.items():
        sql = next(sql for sql in trial.rows if f"FROM voketag.{view}" in sql)
        row = trial.rows[sql][0]
        trial.must_find(f"{view}: a row twice", lambda: trial.rows[sql].insert(0, row))
        trial.must_find(f"{view}: a row is missing", lambda: trial.rows[sql].pop(0))
        assert len(row) == columns, (view, row)
        for column, value in enumerate(row):
            other = "7" if value != "7" and value.isdigit() else value[:-1] + (
                "0" if value[-1] != "0" else "1")
            trial.must_find(f"{view}: {value} is {other}", lambda: trial.rows[sql].__setitem__(
                0, row[:column] + [other] + row[column + 1:]))


def run_batches(system):
    instance = system.start().await_ready()
    first = new_batch(5, metadata={"b": 1, "a": [2.5, None]})
    requests = [first, *(new_batch(n) for n in (1, 1024, 2500, 3, 3, 3, GREAT)), first,
                first | {"product_count": 6}]
    system.produce("batch-requested", [(r["batch_id"], json.dumps(r)) for r in requests] +
                   [("any", "once upon a time")])
    topics = checker.Topics(system.kafka, system.prefix)
    wanted = GREAT + sum(request["product_count"] for request in requests[:7])

    def done():
        return (system.count("SELECT count(*) FROM voketag.products") == wanted and
                system.count("SELECT count(*) FROM voketag.batches "
                             "WHERE status = 'completed'") == 8 and
                not checker.Inputs(topics).unanswered(topics) and
                not list(state_checker.unread(topics)))
    await_true("all is done", done, 180, 0.5)
    assert instance.stop() == 0, instance.log()[-2000:]


def main():
    with System("checker") as system:
        run_batches(system)
        trial = Trial(system)
        found = trial.audit()
        assert not found, "\n".join(found)
        for plant in (plant_in_outputs, plant_in_state, plant_in_positions, plant_in_views):
            plant(trial)
        print(f"a run without a fault is clean, and the checker finds each of {trial.trials} that "
              "were planted")


if __name__ == "__main__":
    main()
