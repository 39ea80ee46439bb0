"""Whether each input had exactly one effect: told from Kafka and PostgreSQL alone.

Knows nothing of the engine but what docs/formats.md promises to everyone, and shares no code with
it. What was asked for is read from the topic `batch-requested`, not from whoever asked. A record is
only believed if a read_committed consumer sees it.

Streams: memory grows with the number of batches and chunks, not with that of products.
"""

import base64
import binascii
import hashlib
import hmac
import json
import re
import subprocess
import uuid
from collections import Counter, defaultdict

import state_checker
from audit import Findings, audit_products, leaf_hash, merkle_root, rows

NAMESPACE = uuid.UUID("8f0b2a5e-6d1c-5f33-9a47-766f6b657461")
PROCESSORS = ("ingress", "batches", "tokens", "merkle", "anchoring")
UUID_TEXT = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
FIGURES = ("inputs", "batches", "products", "bad_inputs", "conflicts", "duplicates")


class Topics:
    """What a read_committed consumer that knows nothing of us finds."""

    def __init__(self, bootstrap, prefix):
        self.bootstrap = bootstrap
        self.prefix = prefix

    def records(self, topic):
        """Every committed record: key, value (text), partition, offset, headers."""
        reader = subprocess.Popen(
            ["kcat", "-C", "-b", self.bootstrap, "-t", self.prefix + topic, "-e", "-q", "-J",
             "-o", "beginning", "-X", "isolation.level=read_committed", "-X",
             "fetch.message.max.bytes=9000000", "-X", "check.crcs=true"],
            text=True, errors="replace", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for line in reader.stdout:
            record = json.loads(line)
            headers = record.get("headers", [])
            yield {"key": record["key"], "value": record["payload"],
                   "partition": record["partition"], "offset": record["offset"],
                   "headers": dict(zip(headers[::2], headers[1::2]))}
        complaint = reader.stderr.read()
        assert reader.wait() == 0, f"kcat could not read {topic}: {complaint}"

    def outputs(self, topic, findings):
        """Records that processors have emitted: (record, event). An output's id follows from what
        caused it, so that an id that is there twice is an output that was emitted twice."""
        seen = Counter()
        for record in self.records(topic):
            seen[record["headers"]["ce_id"]] += 1
            yield record, json.loads(record["value"])
        for name, times in seen.items():
            if times > 1:
                findings.doubled.append(f"{topic} ce_id {name}: {times} times")


class Flow:
    """What the topics say of each batch, from its request to its anchor; the state and the views
    must say the same."""

    def __init__(self, winners):
        self.winners = winners        # batch id -> the content that counts
        self.accepted_in = {}         # batch id -> partition, as the following *_in
        self.duplicates = Counter()   # how often the same content was asked for again
        self.reminders = Counter()    # how often a timer asked again for what had not come
        self.requested_in = {}        # (batch id, chunk) -> partition
        self.subtrees = {}            # (batch id, chunk) -> root
        self.joined_in = {}           # of the subtrees
        self.rooted_in = {}
        self.queued_in = {}
        self.attempts = Counter()     # how often a root was queued
        self.waited = Counter()       # how often it waited in the queue: once, if no chain failed
        self.leaves = {}              # batch id -> (transaction id, leaf index, aggregate root)
        self.transactions = Counter()  # by queue key
        self.roots = {}               # batch id -> root, recomputed from tokens

    def chunk_counts(self):
        """Of batches that are cut into chunks; smaller ones are made where they are accepted."""
        return Counter(batch_id for batch_id, _ in self.requested_in)


def parse_request(value):
    """The content of a valid request after defaults; None if it is not one."""
    try:
        event = json.loads(value)
    except (json.JSONDecodeError, TypeError, RecursionError):
        return None
    if not isinstance(event, dict) or "\ufffd" in value:
        return None
    batch_id, count = event.get("batch_id"), event.get("product_count")
    if not isinstance(batch_id, str) or not UUID_TEXT.fullmatch(batch_id):
        return None
    if type(count) is not int or not 1 <= count <= 10_000_000:
        return None
    for name, longest in (("tenant", 128), ("sku", 128), ("lot", 20), ("name", 256)):
        text = event.get(name)
        if text is not None and not (isinstance(text, str) and
                                     1 <= len(text.encode()) <= longest):
            return None
    if not isinstance(event.get("metadata"), (dict, type(None))):
        return None
    known = {name: event.get(name) for name in
             ("tenant", "sku", "gtin", "lot", "name", "metadata", "callback_url", "first_serial")}
    known |= {"batch_id": batch_id.lower(), "product_count": count}
    known["tenant"] = known["tenant"] or "default"
    known["first_serial"] = 1 if known["first_serial"] is None else known["first_serial"]
    return known


class Inputs:
    """What was asked for, and what must come of it."""

    def __init__(self, topics):
        self.places = {}                    # (partition, offset) -> content or None, of every input
        self.contents = defaultdict(list)   # batch id -> the contents asked for, as they lie there
        for record in topics.records("batch-requested"):
            content = parse_request(record["value"])
            self.places[record["partition"], record["offset"]] = content
            if content is not None:
                self.contents[content["batch_id"]].append(content)

    def valid(self):
        return sum(map(len, self.contents.values()))

    def bad(self):
        return [place for place, content in self.places.items() if content is None]

    def letters_expected(self, winners):
        """Dead letters: one per malformed input, one per content that came too late."""
        late = sum(content != winners[batch_id] for batch_id, contents in self.contents.items()
                   for content in contents if batch_id in winners)
        return len(self.bad()) + late

    def unanswered(self, topics):
        """What is still to come of the inputs, in words; empty if nothing is."""
        so_far = Findings()
        flow, _ = first_accepted(topics, so_far, self)
        accepted = self.valid() - len(so_far.lost)
        letters = sum(1 for _ in topics.records("dead-letters"))
        expected = self.letters_expected(flow.winners)
        if accepted == self.valid() and letters >= expected:
            return ""
        return (f"{accepted} of {self.valid()} valid inputs passed on, {letters} of {expected} "
                "dead letters")


def first_accepted(topics, findings, inputs):
    """The content that each batch was accepted with, and the places of those that conflict with it.

    Also: each valid input was passed on exactly once; its id, derived from its place, tells."""
    derived = {
        str(uuid.uuid5(NAMESPACE, f"batch-requested/{partition}/{offset}"
                                  "/voketag.batch-accepted.v1/0")): (partition, offset)
        for (partition, offset), content in inputs.places.items() if content is not None}
    passed_on = Counter()
    flow, conflicts = Flow({}), []
    for record in topics.records("batch-accepted"):
        cause = derived.get(record["headers"]["ce_id"])
        passed_on[cause or record["headers"]["ce_id"]] += 1
        if cause is None:
            continue
        content = inputs.places[cause]
        batch_id = content["batch_id"]
        if batch_id not in flow.winners:
            flow.winners[batch_id] = content
            flow.accepted_in[batch_id] = record["partition"]
        elif content == flow.winners[batch_id]:
            flow.duplicates[batch_id] += 1
        else:
            conflicts.append((record["partition"], record["offset"]))
    findings.once("batch-accepted of the input at", passed_on, derived.values())
    return flow, conflicts


class Chunk:
    """One chunk of a batch, as its tokens say."""

    def __init__(self, event, key, findings):
        tokens = event["tokens"]
        self.first_serial = event["first_serial"]
        self.count = len(tokens)
        findings.equal(f"the count of {event['batch_id']}:{event['chunk_index']}", event["count"],
                       self.count)
        self.root = merkle_root([leaf_hash(token) for token in tokens])
        ids = [product_id_of(token, key, findings) for token in tokens]
        self.first_id, self.last_id = ids[0], ids[-1]
        if any(a >= b for a, b in zip(ids, ids[1:])):
            findings.wrong.append(f"product ids of {event['batch_id']}:{event['chunk_index']} "
                                  "do not rise")


def product_id_of(token, key, findings):
    try:
        raw = base64.urlsafe_b64decode(token + "==")
    except (binascii.Error, ValueError):
        raw = b""
    mac = hmac.digest(key, b"voketag-token-v1" + raw[:18], "sha256")[:16]
    if len(token) != 46 or raw[:1] != b"\x01" or raw[18:] != mac:
        findings.wrong.append(f"token {token}")
    return raw[2:18]


def audit_tokens(topics, key, flow, findings):
    """The root of each batch, recomputed from its tokens; and of each chunk, which is returned."""
    chunks = defaultdict(dict)
    seen = Counter()
    for _, event in topics.outputs("tokens-generated", findings):
        seen[event["batch_id"], event["chunk_index"]] += 1
        chunks[event["batch_id"]].setdefault(event["chunk_index"], Chunk(event, key, findings))
    for (batch_id, index), times in seen.items():
        if times > 1:
            findings.doubled.append(f"tokens of {batch_id}:{index}: {times} times")
    for batch_id in chunks:
        if batch_id not in flow.winners:
            findings.wrong.append(f"tokens of {batch_id}, which was not asked for")
    for batch_id, content in flow.winners.items():
        parts = [chunks[batch_id][index] for index in sorted(chunks[batch_id])]
        serial = content["first_serial"]
        for part in parts:
            if part.first_serial != serial:
                findings.lost.append(f"tokens of {batch_id} before serial {part.first_serial}")
            serial = part.first_serial + part.count
        count = sum(part.count for part in parts)
        if count < content["product_count"]:
            findings.lost.append(f"tokens of {batch_id}: {count} of {content['product_count']}")
        elif count > content["product_count"]:
            findings.doubled.append(f"tokens of {batch_id}: {count} of {content['product_count']}")
        if any(a.last_id >= b.first_id for a, b in zip(parts, parts[1:])):
            findings.wrong.append(f"product ids of {batch_id} do not rise")
        if parts:
            flow.roots[batch_id] = merkle_root([part.root for part in parts]).hex()
    return {(batch_id, index): chunk.root.hex()
            for batch_id, parts in chunks.items() for index, chunk in parts.items()}


def audit_chunks(topics, flow, chunk_roots, findings):
    """Of a batch that is cut, each chunk is asked for once, and comes back once with its root. A
    timer may ask again for what has not come; who makes it does so once all the same."""
    requested = Counter()
    for record, event in topics.outputs("token-chunk-requested", findings):
        chunk = (event["batch_id"], event["chunk_index"])
        requested[chunk] += 1
        flow.requested_in[chunk] = record["partition"]
    for (batch_id, index), times in requested.items():
        if times > 1 + flow.reminders[batch_id]:
            findings.doubled.append(f"token-chunk-requested {batch_id}:{index}: {times} times, "
                                    f"with {flow.reminders[batch_id]} reminders")
    cut = flow.chunk_counts()
    wanted = [chunk for chunk in chunk_roots if chunk[0] in cut]
    findings.once("token-chunk-requested", Counter(set(requested)), wanted)
    seen = Counter()
    for record, event in topics.outputs("merkle-subtree-computed", findings):
        chunk = (event["batch_id"], event["chunk_index"])
        seen[chunk] += 1
        flow.subtrees[chunk] = event["root"]
        flow.joined_in[event["batch_id"]] = record["partition"]
        findings.equal(f"the root of chunk {chunk}", event["root"], chunk_roots.get(chunk))
        findings.equal(f"the number of chunks of {chunk}", event["chunk_count"], cut[chunk[0]])
    findings.once("merkle-subtree-computed", seen, wanted)


def audit_anchoring(topics, flow, findings):
    """Each root is queued once, and once more for each time that a timer asked for it; and is a
    leaf of one transaction, whose numbers have neither a gap nor a repetition."""
    queued = Counter()
    for record, event in topics.outputs("anchor-queue", findings):
        batch_id = event["batch_id"]
        queued[batch_id, event["attempt"]] += 1
        flow.queued_in[batch_id] = record["partition"]
        flow.attempts[batch_id] += 1
        if batch_id in flow.winners:
            findings.equal(f"the queued root of {batch_id}", event["merkle_root"],
                           flow.roots.get(batch_id))
    findings.once("anchor-queue", queued, [
        (batch_id, attempt) for batch_id in flow.winners
        for attempt in range(1, max(flow.attempts[batch_id], 1) + 1)])
    for batch_id, attempts in flow.attempts.items():
        if attempts > 1 + flow.reminders[batch_id]:
            findings.doubled.append(f"anchor-queue {batch_id}: {attempts} times, with "
                                    f"{flow.reminders[batch_id]} reminders")
    audit_transactions(topics, flow, findings)
    failed = Counter(event["batch_id"] for _, event in topics.outputs("anchor-failed", findings))
    flow.waited = Counter(dict.fromkeys(flow.leaves, 1)) + failed


def audit_transactions(topics, flow, findings):
    leaves, numbers = Counter(), defaultdict(Counter)
    for record, event in topics.outputs("anchor-submitted", findings):
        numbers[record["key"]][event["nonce"]] += 1
        data = []
        for index, leaf in enumerate(event["leaves"]):
            batch_id = leaf["batch_id"]
            leaves[batch_id] += 1
            flow.leaves[batch_id] = (event["transaction_id"], index, event["aggregate_root"])
            findings.equal(f"the leaf of {batch_id}", leaf["leaf_index"], index)
            data.append(aggregate_leaf(batch_id, flow))
        root, name = event["aggregate_root"], f"transaction {event['transaction_id']}"
        findings.equal(f"the number of leaves of {name}", event["tree_size"], len(data))
        findings.equal(f"the root of {name}", root, merkle_root(data).hex())
        # Of the simulated chain the signed bytes are the calldata.
        if event["chain_id"] == 0:
            findings.equal(f"the bytes of {name}", event["raw_transaction"],
                           f"0x{b'VTAG'.hex()}01{len(data):016x}{root}")
    findings.once("leaf of batch", leaves, flow.winners)
    for lane, nonces in numbers.items():
        findings.once(f"transaction number of {lane}", nonces, range(len(nonces)))
        flow.transactions[lane] = len(nonces)


def aggregate_leaf(batch_id, flow):
    """docs/formats.md, Aggregate leaf and calldata. Zeros for what nobody asked for."""
    content = flow.winners.get(batch_id, {"product_count": 0})
    return hashlib.sha256(
        b"\x00\x01" + uuid.UUID(batch_id).bytes + content["product_count"].to_bytes(8, "big") +
        bytes.fromhex(flow.roots.get(batch_id, "00" * 32))).digest()


def audit_outputs(topics, flow, findings):
    for topic in ("merkle-root-computed", "batch-completed", "anchor-completed"):
        seen = Counter()
        for record, event in topics.outputs(topic, findings):
            batch_id = event["batch_id"]
            seen[batch_id] += 1
            if topic == "merkle-root-computed":
                flow.rooted_in[batch_id] = record["partition"]
            if batch_id in flow.winners:
                findings.equal(f"the root of {batch_id} in {topic}", event["merkle_root"],
                               flow.roots.get(batch_id))
                findings.equal(f"the count of {batch_id} in {topic}", event["product_count"],
                               flow.winners[batch_id]["product_count"])
        findings.once(topic, seen, flow.winners)
    failed = Counter(event["batch_id"] for _, event in topics.outputs("batch-failed", findings))
    findings.once("batch-failed", failed, [])


def audit_completed(topics, flow, findings):
    """An anchor says in which transaction its root is which leaf."""
    for event in (json.loads(record["value"]) for record in topics.records("anchor-completed")):
        aggregate = event["aggregate"]
        findings.equal(f"the leaf that anchors {event['batch_id']}",
                       (event["transaction_id"], aggregate["leaf_index"], aggregate["root"]),
                       flow.leaves.get(event["batch_id"]))


def audit_dead_letters(topics, inputs, conflicts, findings):
    """One for each bad input and each conflict, none besides."""
    wanted = [("batch-requested", *place) for place in inputs.bad()]
    wanted += [("batch-accepted", *place) for place in conflicts]
    seen = Counter()
    for record in topics.records("dead-letters"):
        headers = record["headers"]
        place = (headers["dead_letter_topic"], int(headers["dead_letter_partition"]),
                 int(headers["dead_letter_offset"]))
        seen[place] += 1
        if place not in wanted:
            findings.wrong.append(f"dead letter {headers['dead_letter_reason']}: "
                                  f"{headers['dead_letter_detail'][:200]}")
    findings.once("dead letter of", seen, wanted)


def audit_work(topics, flow, findings):
    """No record of a topic was worked on in two committed transactions of one processor.

    The history names what each transaction did, and numbers the transactions of each partition: the
    last number of each is returned, by processor and partition. It names timers, too: a batch's
    timers ask again for what has not come."""
    sequences = {}
    for processor in PROCESSORS:
        done, last = {}, {}
        for record in topics.records(processor + "-commits"):
            for task in json.loads(record["value"])["tasks"]:
                partition, sequence = task["partition"], task["sequence"]
                findings.equal(f"the number of a transaction of {processor} partition {partition}",
                               sequence, last.get(partition, 1) + bool(task["work"]))
                last[partition] = sequence
                for work in task["work"]:
                    if "topic" not in work:
                        flow.reminders[work["timer"].partition(":")[2]] += processor == "batches"
                        continue
                    place = (processor, work["topic"], partition)
                    if work["from_offset"] <= done.get(place, -1):
                        findings.doubled.append(f"work of {processor} on {work['topic']} "
                                                f"[{partition}] {work['from_offset']}")
                    done[place] = max(done.get(place, -1), work["to_offset"])
        sequences[processor] = last
    return sequences


def audit_rows(what, found, wanted, findings):
    """A row for each event and no other, with the same values. `found`: pairs of name and
    values."""
    seen = Counter()
    for name, values in found:
        seen[name] += 1
        if name in wanted:
            findings.equal(f"{what} {name}", values, wanted[name])
    findings.once(what, seen, wanted)


def audit_views(url, topics, flow, findings):
    audit_rows("row of batch", (
        (batch_id, (status, root, int(count))) for batch_id, status, root, count in rows(
            url, "SELECT batch_id, status, merkle_root, product_count FROM voketag.batches")),
               {batch_id: ("completed", flow.roots.get(batch_id), content["product_count"])
                for batch_id, content in flow.winners.items()}, findings)
    audit_rows("row of anchor", (
        (batch_id, (status, root, transaction_id, int(leaf_index)))
        for batch_id, status, root, transaction_id, leaf_index in rows(
            url, "SELECT batch_id, status, merkle_root, transaction_id, coalesce(leaf_index, -1) "
                 "FROM voketag.anchors")),
               {batch_id: ("completed", flow.roots.get(batch_id),
                           *flow.leaves.get(batch_id, (None, None))[:2])
                for batch_id in flow.winners}, findings)
    audit_rows("row of subtree", (
        ((batch_id, int(index)), root) for batch_id, index, root in rows(
            url, "SELECT batch_id, chunk_index, root FROM voketag.merkle_subtrees")),
               flow.subtrees, findings)
    audit_rows("row of transaction", (
        (transaction_id, (int(nonce), raw, root, int(size)))
        for transaction_id, nonce, raw, root, size in rows(
            url, "SELECT transaction_id, coalesce(nonce, -1), raw_transaction, aggregate_root, "
                 "coalesce(tree_size, -1) FROM voketag.anchor_transactions")),
               {event["transaction_id"]: (event["nonce"], event["raw_transaction"],
                                          event["aggregate_root"], event["tree_size"])
                for event in (json.loads(record["value"])
                              for record in topics.records("anchor-submitted"))}, findings)
    audit_products(url, flow.winners, flow.roots, findings)


def audit(topics, url, key, asked=(), at_rest=False):
    """Findings, and figures of what was looked at. `asked`: ids that Kafka has acknowledged.
    `at_rest`: nobody is at work, and whoever was had been given the time to read every input."""
    findings = Findings()
    inputs = Inputs(topics)
    for batch_id in asked:
        if batch_id not in inputs.contents:
            findings.lost.append(f"the request of {batch_id}, which Kafka had acknowledged")
    flow, conflicts = first_accepted(topics, findings, inputs)
    for batch_id, contents in inputs.contents.items():
        if batch_id in flow.winners and flow.winners[batch_id] not in contents:
            findings.wrong.append(f"the content of {batch_id}")
    sequences = audit_work(topics, flow, findings)
    chunk_roots = audit_tokens(topics, key, flow, findings)
    audit_chunks(topics, flow, chunk_roots, findings)
    audit_outputs(topics, flow, findings)
    audit_anchoring(topics, flow, findings)
    audit_completed(topics, flow, findings)
    audit_dead_letters(topics, inputs, conflicts, findings)
    folds = state_checker.audit_state(topics, flow, findings)
    if at_rest:
        state_checker.audit_positions(topics, folds, sequences, findings)
    audit_views(url, topics, flow, findings)
    figures = (len(inputs.places), len(flow.winners),
               sum(content["product_count"] for content in flow.winners.values()),
               len(inputs.bad()), len(conflicts), sum(flow.duplicates.values()))
    return findings, dict(zip(FIGURES, figures))
