"""Whether the processors' state is what the events say: the changelogs, folded by
docs/formats/state.md and nothing of the engine.

Of a batch the state is told by what other topics say of it, so a work that took effect twice or not
at all, and left no trace in any output, is seen here.
"""

import hashlib
import json
from collections import Counter, defaultdict

# By processor: what it reads, and its tables by what may stand in them when all work is done.
INPUTS = {
    "ingress": ("batch-requested", "anchor-requested"),
    "batches": ("batch-accepted", "merkle-subtree-computed", "merkle-root-computed",
                "anchor-completed", "anchor-failed"),
    "tokens": ("token-chunk-requested",),
    "merkle": ("merkle-subtree-computed",),
    "anchoring": ("merkle-root-computed", "anchor-accepted", "anchor-queue"),
}
KEPT = {"ingress": (), "batches": ("ended",), "tokens": ("done",), "merkle": ("whole",),
        "anchoring": ("anchor", "lane", "place")}
# These are empty when all work is done; timers, too.
PASSING = {"ingress": (), "batches": ("batch", "window"), "tokens": (), "merkle": ("tree", "part"),
           "anchoring": ("slot",)}
TIMERS = ("timer", "timer-of")


class Fold:
    """The last value of every key of one processor's changelog."""

    def __init__(self, topics, processor):
        self.processor = processor
        self.commits = {}                # by partition
        self.tables = defaultdict(dict)  # table -> key -> partition -> value
        self.writes = Counter()          # by table and key; compaction may have taken earlier ones
        for record in topics.records(processor + "-changelog"):
            key, value, partition = record["key"], record["value"], record["partition"]
            if key == "commit":
                self.commits[partition] = json.loads(value)
                continue
            table, slash, rest = key.partition("/")
            if not slash:  # a claim: it says who works, and nothing of the work
                continue
            if value is None:
                self.tables[table].get(rest, {}).pop(partition, None)
                if not self.tables[table].get(rest, True):
                    del self.tables[table][rest]
            else:
                self.tables[table].setdefault(rest, {})[partition] = value
                self.writes[table, rest] += 1

    def audit(self, table, wanted, findings):
        """`wanted`: of each key the partition it lies in, what its value must say, and how often it
        may have been written. Each is there once, and no other is."""
        rows = self.tables.get(table, {})
        name = f"{self.processor} state {table}/"
        findings.once(name, Counter({key: len(places) for key, places in rows.items()}), wanted)
        for key, (partition, value, writes_max) in wanted.items():
            if len(rows.get(key, ())) != 1:
                continue
            (found_in, found), = rows[key].items()
            findings.equal(f"the partition of {name}{key}", found_in, partition)
            found = json.loads(found)
            findings.equal(name + key, {member: found.get(member) for member in value}, value)
            if self.writes[table, key] > writes_max:
                findings.doubled.append(f"{name}{key}: written {self.writes[table, key]} times, "
                                        f"at most {writes_max} were due")

    def audit_rest(self, findings):
        """Nothing is left of what is on its way, and no table is there that nobody knows."""
        for table, rows in self.tables.items():
            if table in KEPT[self.processor] or not rows:
                continue
            known = table in PASSING[self.processor] + TIMERS
            for key in rows:
                findings.wrong.append(f"{self.processor} state {table}/{key} "
                                      f"{'is left over' if known else 'is of no known table'}")


def content_of(request):
    """What the state keeps of a request, as docs/formats/state.md has it."""
    text, marks = hashlib.sha256(), ""
    for name in ("tenant", "product_count", "first_serial", "sku", "gtin", "lot", "name",
                 "metadata", "callback_url"):
        value = request[name]
        if value is None:
            text.update(b"-:")
            marks += "0000"
            continue
        value = (canonical(value) if name == "metadata" else str(value)).encode()
        text.update(b"%d:" % len(value) + value)
        marks += mark_of(value)
    return {"digest": text.hexdigest(), "field_marks": marks}


def mark_of(value):
    mark = 2166136261
    for byte in value:
        mark = ((mark ^ byte) * 16777619) & 0xffffffff
    return f"{(mark >> 16) ^ (mark & 0xffff):04x}"


def canonical(value):
    """RFC 8785, of numbers as a soak has them: neither huge nor tiny."""
    def plain(part):
        if isinstance(part, float) and part.is_integer():
            return int(part)
        if isinstance(part, dict):
            return {name: plain(member) for name, member in part.items()}
        return [plain(member) for member in part] if isinstance(part, list) else part
    return json.dumps(plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def audit_state(topics, flow, findings):
    """`flow`: what the topics say of the batches (checker.py)."""
    folds = {processor: Fold(topics, processor) for processor in INPUTS}
    for fold in folds.values():
        fold.audit_rest(findings)
    folds["batches"].audit("ended", {
        batch_id: (flow.accepted_in[batch_id],
                   {"status": "completed", "duplicates": flow.duplicates[batch_id],
                    "content": content_of(content)},
                   1 + flow.duplicates[batch_id])
        for batch_id, content in flow.winners.items()}, findings)
    folds["tokens"].audit("done", {
        f"{batch_id}:{index}": (partition, {}, 1)
        for (batch_id, index), partition in flow.requested_in.items()}, findings)
    folds["merkle"].audit("whole", {
        batch_id: (flow.joined_in.get(batch_id), {"merkle_root": flow.roots.get(batch_id),
                                                  "chunk_count": count}, 1)
        for batch_id, count in flow.chunk_counts().items()}, findings)
    audit_anchoring(folds["anchoring"], flow, findings)
    return folds


def audit_anchoring(fold, flow, findings):
    fold.audit("anchor", {
        batch_id: (flow.rooted_in.get(batch_id),
                   {"merkle_root": flow.roots.get(batch_id), "origin": "own",
                    "product_count": content["product_count"],
                    "attempt": flow.attempts[batch_id]}, flow.attempts[batch_id])
        for batch_id, content in flow.winners.items()}, findings)
    # In the queue and out of it: two writes for each time that it waited.
    fold.audit("place", {
        batch_id: (flow.queued_in.get(batch_id),
                   {"status": "completed", "merkle_root": flow.roots.get(batch_id), "revision": 1},
                   2 * flow.attempts[batch_id])
        for batch_id in flow.winners}, findings)
    # Slots are numbered on: each root that ever waited had one.
    waited = sum(flow.waited.values())
    for lane, places in fold.tables["lane"].items():
        for value in map(json.loads, places.values()):
            found = (value["first_slot"], value["next_slot"], value["nonce"], value.get("seal_at"))
            findings.equal(f"first slot, next slot, nonce and timer of the anchoring state lane/"
                           f"{lane}", found, (waited, waited, flow.transactions[lane], None))
    findings.once("anchoring state lane/", Counter(
        {lane: len(places) for lane, places in fold.tables["lane"].items()}), flow.transactions)


def audit_positions(topics, folds, sequences, findings):
    """When all is at rest, each processor stands behind the last record of all its inputs, and its
    history and its state have counted as many transactions. `sequences`: by processor, then
    partition, the last one in its history."""
    for what in unread(topics, folds):
        findings.lost.append(what)
    for processor, fold in folds.items():
        findings.equal(f"the number of the last transaction of {processor} by partition",
                       {partition: commit["sequence"] for partition, commit in
                        sorted(fold.commits.items()) if "sequence" in commit},
                       dict(sorted(sequences.get(processor, {}).items())))


def unread(topics, folds=None):
    """Inputs that a processor has not come to, in words."""
    folds = folds or {processor: Fold(topics, processor) for processor in INPUTS}
    ends = {topic: {} for inputs in INPUTS.values() for topic in inputs}
    for topic, last in ends.items():
        for record in topics.records(topic):
            last[record["partition"]] = record["offset"]
    for processor, inputs in INPUTS.items():
        for topic in inputs:
            for partition, last in sorted(ends[topic].items()):
                commit = folds[processor].commits.get(partition, {"positions": []})
                next_offset = max((place["next_offset"] for place in commit["positions"]
                                   if place["topic"] == topic), default=0)
                if next_offset <= last:
                    yield (f"{processor} has not come to {topic} partition {partition} offset "
                           f"{last}: it stands at {next_offset}")
