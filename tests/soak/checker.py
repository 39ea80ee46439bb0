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

from audit import Findings, audit_products, leaf_hash, merkle_root, rows

NAMESPACE = uuid.UUID("8f0b2a5e-6d1c-5f33-9a47-766f6b657461")
PROCESSORS = ("ingress", "batches", "tokens", "merkle", "anchoring")
UUID_TEXT = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


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

    def events(self, topic):
        for record in self.records(topic):
            yield json.loads(record["value"])


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

    def bad(self):
        return [place for place, content in self.places.items() if content is None]

    def letters_expected(self, winners):
        """Dead letters: one per malformed input, one per content that came too late."""
        late = sum(content != winners[batch_id] for batch_id, contents in self.contents.items()
                   for content in contents if batch_id in winners)
        return len(self.bad()) + late


def first_accepted(topics, findings, inputs):
    """The content that each batch was accepted with, and the places of those that conflict with it.

    Also: each valid input was passed on exactly once; its id, derived from its place, tells."""
    derived = {
        str(uuid.uuid5(NAMESPACE, f"batch-requested/{partition}/{offset}"
                                  "/voketag.batch-accepted.v1/0")): (partition, offset)
        for (partition, offset), content in inputs.places.items() if content is not None}
    passed_on = Counter()
    winners, conflicts = {}, []
    for record in topics.records("batch-accepted"):
        cause = derived.get(record["headers"]["ce_id"])
        passed_on[cause or record["headers"]["ce_id"]] += 1
        if cause is None:
            continue
        content = inputs.places[cause]
        winner = winners.setdefault(content["batch_id"], content)
        if content != winner:
            conflicts.append((record["partition"], record["offset"]))
    findings.once("batch-accepted of the input at", passed_on, derived.values())
    return winners, conflicts


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


def audit_tokens(topics, key, winners, findings):
    """The root of each batch, recomputed from its tokens."""
    chunks = defaultdict(dict)
    seen = Counter()
    for event in topics.events("tokens-generated"):
        seen[event["batch_id"], event["chunk_index"]] += 1
        chunks[event["batch_id"]].setdefault(event["chunk_index"], Chunk(event, key, findings))
    for (batch_id, index), times in seen.items():
        if times > 1:
            findings.doubled.append(f"tokens of {batch_id}:{index}: {times} times")
    for batch_id in chunks:
        if batch_id not in winners:
            findings.wrong.append(f"tokens of {batch_id}, which was not asked for")
    roots = {}
    for batch_id, content in winners.items():
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
            roots[batch_id] = merkle_root([part.root for part in parts]).hex()
    return roots


def audit_outputs(topics, winners, roots, findings):
    for topic in ("merkle-root-computed", "batch-completed", "anchor-completed"):
        seen = Counter()
        for event in topics.events(topic):
            batch_id = event["batch_id"]
            seen[batch_id] += 1
            if batch_id in winners:
                findings.equal(f"the root of {batch_id} in {topic}", event["merkle_root"],
                               roots.get(batch_id))
                findings.equal(f"the count of {batch_id} in {topic}", event["product_count"],
                               winners[batch_id]["product_count"])
        findings.once(topic, seen, winners)
    failed = Counter(event["batch_id"] for event in topics.events("batch-failed"))
    findings.once("batch-failed", failed, [])


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


def audit_work(topics, findings):
    """No record of a topic was worked on in two committed transactions of one processor.

    The history names what each transaction did, and numbers the transactions of each partition."""
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
                        continue
                    place = (processor, work["topic"], partition)
                    if work["from_offset"] <= done.get(place, -1):
                        findings.doubled.append(f"work of {processor} on {work['topic']} "
                                                f"[{partition}] {work['from_offset']}")
                    done[place] = max(done.get(place, -1), work["to_offset"])


def audit_views(url, winners, roots, findings):
    batches = Counter()
    for batch_id, status, root, count in rows(
            url, "SELECT batch_id, status, merkle_root, product_count FROM voketag.batches"):
        batches[batch_id] += 1
        if batch_id in winners:
            findings.equal(f"the row of batch {batch_id}", (status, root, int(count)),
                           ("completed", roots.get(batch_id), winners[batch_id]["product_count"]))
    findings.once("row of batch", batches, winners)
    anchors = Counter()
    for batch_id, status, root in rows(
            url, "SELECT batch_id, status, merkle_root FROM voketag.anchors"):
        anchors[batch_id] += 1
        if batch_id in winners:
            findings.equal(f"the row of anchor {batch_id}", (status, root),
                           ("completed", roots.get(batch_id)))
    findings.once("row of anchor", anchors, winners)
    audit_products(url, winners, roots, findings)


def audit(topics, url, key, asked=()):
    """Findings, and figures of what was looked at. `asked`: ids that Kafka has acknowledged."""
    findings = Findings()
    inputs = Inputs(topics)
    for batch_id in asked:
        if batch_id not in inputs.contents:
            findings.lost.append(f"the request of {batch_id}, which Kafka had acknowledged")
    winners, conflicts = first_accepted(topics, findings, inputs)
    for batch_id, contents in inputs.contents.items():
        if batch_id in winners and winners[batch_id] not in contents:
            findings.wrong.append(f"the content of {batch_id}")
    roots = audit_tokens(topics, key, winners, findings)
    audit_outputs(topics, winners, roots, findings)
    audit_dead_letters(topics, inputs, conflicts, findings)
    audit_work(topics, findings)
    audit_views(url, winners, roots, findings)
    figures = {
        "inputs": len(inputs.places),
        "batches": len(winners),
        "products": sum(content["product_count"] for content in winners.values()),
        "bad_inputs": len(inputs.bad()),
        "conflicts": len(conflicts),
        "duplicates": sum(map(len, inputs.contents.values())) - len(inputs.contents) -
        len(conflicts),
    }
    return findings, figures
