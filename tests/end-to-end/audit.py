"""Recomputes what the system claims, from the public formats alone (docs/formats.md)."""

import base64
import binascii
import hashlib
import hmac
import subprocess
from collections import Counter, defaultdict

FINDINGS_SHOWN_MAX = 20


class Findings:
    """What is lost, doubled or wrong, in words."""

    def __init__(self):
        self.lost, self.doubled, self.wrong = [], [], []

    def once(self, what, counts, wanted):
        """Each of `wanted` is counted exactly once, and nothing else is."""
        for name in wanted:
            if counts[name] == 0:
                self.lost.append(f"{what} {name}")
            elif counts[name] > 1:
                self.doubled.append(f"{what} {name}: {counts[name]} times")
        wanted = set(wanted)
        for name in counts:
            if name not in wanted:
                self.wrong.append(f"{what} {name} was not asked for")

    def equal(self, what, found, wanted):
        if found != wanted:
            self.wrong.append(f"{what} is {found} and should be {wanted}")

    def clean(self):
        return not (self.lost or self.doubled or self.wrong)

    def lines(self):
        for word, findings in (("LOST", self.lost), ("DOUBLED", self.doubled),
                               ("WRONG", self.wrong)):
            for finding in findings[:FINDINGS_SHOWN_MAX]:
                yield f"{word} {finding}"
            if len(findings) > FINDINGS_SHOWN_MAX:
                yield f"{word} and {len(findings) - FINDINGS_SHOWN_MAX} more"


def leaf_hash(token):
    return hashlib.sha256(b"\x00" + token.encode()).digest()


def merkle_root(leaves):
    """RFC 6962 section 2.1, as it is written there."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return hashlib.sha256(b"\x01" + merkle_root(leaves[:split]) +
                          merkle_root(leaves[split:])).digest()


def check_token(token, key):
    """The product id of a token whose MAC is right."""
    assert len(token) == 46, token
    raw = base64.urlsafe_b64decode(token + "==")
    assert raw[0] == 1 and raw[1] == 1, token
    mac = hmac.new(key, b"voketag-token-v1" + raw[:18], hashlib.sha256).digest()[:16]
    assert mac == raw[18:], f"the MAC of {token} is wrong"
    return raw[2:18].hex()


def rows(url, sql):
    """The rows of a query as they come, each a list of text."""
    reader = subprocess.Popen(
        ["psql", url, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", f"COPY ({sql}) TO STDOUT"],
        text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for line in reader.stdout:
        yield line.rstrip("\n").split("\t")
    complaint = reader.stderr.read()
    assert reader.wait() == 0, complaint


def id_in(token):
    """The product id that a token names, in hex; empty if it is none."""
    try:
        return base64.urlsafe_b64decode(token + "==")[2:18].hex()
    except (binascii.Error, ValueError):
        return ""


def audit_products(url, batches, roots, findings):
    """Each product's row: its batch, serial, token, product id and status.

    `batches`: batch id -> {"product_count", "first_serial"}. The root over a batch's rows in the
    order of their serials is that over its tokens in the topic, so each token stands where it is
    said to. Streams: memory grows with the largest batch."""
    seen = set()
    batch_id, leaves, serial = None, [], 0

    def close():
        if batch_id is None:
            return
        seen.add(batch_id)
        wanted = batches[batch_id]["product_count"] if batch_id in batches else 0
        if len(leaves) < wanted:
            findings.lost.append(f"rows of products of {batch_id}: {len(leaves)} of {wanted}")
        elif len(leaves) > wanted:
            findings.doubled.append(f"rows of products of {batch_id}: {len(leaves)} of {wanted}")
        elif merkle_root(leaves).hex() != roots.get(batch_id):
            findings.wrong.append(f"rows of products of {batch_id}: not the tokens of the topic")

    for row_batch, row_serial, token, product_id, status in rows(
            url, "SELECT batch_id, serial, token, product_id, status FROM voketag.products "
                 "ORDER BY batch_id, serial"):
        if row_batch != batch_id:
            close()
            batch_id, leaves = row_batch, []
            serial = batches[batch_id]["first_serial"] if batch_id in batches else 0
        findings.equal(f"a serial of {batch_id}", int(row_serial), serial)
        findings.equal(f"the product id of {token}", product_id.replace("-", ""), id_in(token))
        findings.equal(f"the status of {token}", status, "active")
        leaves.append(leaf_hash(token))
        serial += 1
    close()
    for missing in set(batches) - seen:
        findings.lost.append(f"rows of products of {missing}: all")


def audit_batches(system, requests):
    """Each request had exactly one effect, in Kafka and in PostgreSQL, and every root is right."""
    wanted = {request["batch_id"]: request["product_count"] for request in requests}
    chunks = defaultdict(dict)
    for event in system.events("tokens-generated"):
        batch = chunks[event["batch_id"]]
        assert event["chunk_index"] not in batch, f"a chunk of {event['batch_id']} came twice"
        assert len(event["tokens"]) == event["count"]
        batch[event["chunk_index"]] = event
    assert set(chunks) == set(wanted), "tokens of other batches than were asked for"

    roots = system.events("merkle-root-computed")
    once = Counter(event["batch_id"] for event in roots)
    assert set(once) == set(wanted) and set(once.values()) == {1}, "a root is missing or doubled"
    root_of = {event["batch_id"]: event["merkle_root"] for event in roots}

    tokens_in_kafka = 0
    for batch_id, count in wanted.items():
        tokens = []
        for index in sorted(chunks[batch_id]):
            assert chunks[batch_id][index]["first_serial"] == len(tokens) + 1
            tokens += chunks[batch_id][index]["tokens"]
        assert len(tokens) == count, f"{batch_id}: {len(tokens)} tokens of {count}"
        ids = [check_token(token, system.key) for token in tokens]
        assert ids == sorted(ids) and len(set(ids)) == count, "ids must rise with the serial"
        assert merkle_root([leaf_hash(token) for token in tokens]).hex() == root_of[batch_id]
        tokens_in_kafka += count

    for topic in ("batch-completed", "anchor-completed"):
        done = Counter(event["batch_id"] for event in system.events(topic))
        assert done == Counter(dict.fromkeys(wanted, 1)), f"{topic} is missing or doubled"

    findings = Findings()
    audit_products(system.postgres, {
        batch_id: {"product_count": count, "first_serial": 1}
        for batch_id, count in wanted.items()}, root_of, findings)
    assert findings.clean(), "\n".join(findings.lines())
    statuses = system.rows("SELECT status, count(*) FROM voketag.batches GROUP BY 1")
    assert statuses == [["completed", str(len(wanted))]], statuses
    completed = system.rows("SELECT batch_id, merkle_root, product_count FROM voketag.batches")
    assert {(b, r, int(n)) for b, r, n in completed} == {
        (b, root_of[b], n) for b, n in wanted.items()}
    assert system.count("SELECT count(*) FROM voketag.anchors WHERE status = 'completed'") == len(
        wanted)
    return tokens_in_kafka
