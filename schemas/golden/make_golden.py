#!/usr/bin/env python3
"""Writes the golden records into the directory named (default: beside this file).

It shares no code with the C++: JSON, ids, traces, trees and calldata are made here from
docs/formats/ with Python's standard library alone, so that agreement means something. Product ids,
tokens and leaves of the batch come from tests/vectors/voketag/golden.json, whose own script makes
them from the token key 7 = bytes 00..1f, a key for tests only.
"""

import datetime
import hashlib
import json
import pathlib
import sys
import uuid

HERE = pathlib.Path(__file__).resolve().parent
VECTORS = HERE.parents[1] / "tests/vectors/voketag/golden.json"
NAMESPACE = uuid.UUID("8f0b2a5e-6d1c-5f33-9a47-766f6b657461")

BATCH = json.loads(VECTORS.read_text())["batches"][0]
BATCH_ID = BATCH["batch_id"]
FOREIGN_ID = "5e2f9c1a-7b3d-4e8f-a1c2-d3e4f5a6b7c8"
PRODUCT_COUNT = BATCH["product_count"]
CHUNK_SIZE = BATCH["chunk_leaves"]
CHUNK_COUNT = len(BATCH["chunk_roots"])
CHUNK = 2  # the one whose records are here: the last, shorter than the others
REQUESTED_MS = BATCH["requested_at_ms"]
BLOCK_NUMBER = REQUESTED_MS // 2000 + 1
BLOCK_MS = BLOCK_NUMBER * 2000


def time(ms):
    at = datetime.datetime.fromtimestamp(ms / 1000, datetime.timezone.utc)
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + "%03dZ" % (ms % 1000)


def sha256(data):
    return hashlib.sha256(data).digest()


def derived_uuid(name):
    return str(uuid.uuid5(NAMESPACE, name))


# ---- the aggregate of one transaction: our batch and a stranger's root ---------------------------

FOREIGN_ROOT = sha256(b"a root of someone else's").hex()
FOREIGN_COUNT = 5
ANCHORS = [(BATCH_ID, BATCH["root"], PRODUCT_COUNT), (FOREIGN_ID, FOREIGN_ROOT, FOREIGN_COUNT)]


def anchor_id(batch_id):
    return derived_uuid("anchor:" + batch_id)


def aggregate_leaf(batch_id, root, tree_size):
    data = b"\x01" + uuid.UUID(batch_id).bytes + tree_size.to_bytes(8, "big") + bytes.fromhex(root)
    return sha256(b"\x00" + data)


LEAVES = [aggregate_leaf(*anchor) for anchor in ANCHORS]
AGGREGATE_ROOT = sha256(b"\x01" + LEAVES[0] + LEAVES[1])
CALLDATA = b"VTAG" + b"\x01" + len(LEAVES).to_bytes(8, "big") + AGGREGATE_ROOT
NONCE = 0
TRANSACTION_ID = (
    "0x" + sha256(b"voketag-mock-transaction" + NONCE.to_bytes(8, "big") + CALLDATA).hex()
)
BLOCK_HASH = "0x" + sha256(b"voketag-mock-block" + BLOCK_NUMBER.to_bytes(8, "big")).hex()
GAS_USED = 21000 + sum(40 if byte else 10 for byte in CALLDATA)


# ---- a dead letter that was sent again -----------------------------------------------------------

RETRY_ACTOR = "operator@factory-1"
RETRY_SELECTION = "--reason malformed --since 2h"
RETRY_RUN_ID = derived_uuid(f"dead-letters-retry:{RETRY_ACTOR}:{time(BLOCK_MS)}:{RETRY_SELECTION}")


# ---- values --------------------------------------------------------------------------------------

def chunk_tokens(chunk):
    products = BATCH["products"][chunk * CHUNK_SIZE:(chunk + 1) * CHUNK_SIZE]
    return [product["token"] for product in products]


METADATA = {"line": 4, "note": "Gr\u00fc\u00dfe", "plant": {"country": "AT", "shift": [1, 2]}}

# Members in the order of events/events.h; absent optional members are left out.
REQUESTED = {"batch_id": BATCH_ID, "product_count": PRODUCT_COUNT, "tenant": "acme",
             "sku": "SHOE-42", "gtin": "04006381333931", "lot": "L2026-01", "name": "Winter boots",
             "metadata": METADATA,
             "callback_url": "https://acme.example/batches", "first_serial": 1001}
ACCEPTED = {"batch_id": BATCH_ID, "tenant": "acme", "product_count": PRODUCT_COUNT,
            "first_serial": 1001, "sku": "SHOE-42", "gtin": "04006381333931", "lot": "L2026-01",
            "name": "Winter boots",
             "metadata": METADATA,
            "callback_url": "https://acme.example/batches", "key_id": BATCH["key_id"],
            "chunk_size": CHUNK_SIZE, "requested_at": time(REQUESTED_MS)}
VALUES = {
    "batch-requested": REQUESTED,
    "batch-accepted": ACCEPTED,
    "token-chunk-requested": {
        "batch_id": BATCH_ID, "chunk_index": CHUNK, "chunk_count": CHUNK_COUNT,
        "chunk_size": CHUNK_SIZE, "product_count": PRODUCT_COUNT, "first_serial": 1001,
        "key_id": BATCH["key_id"], "requested_at": time(REQUESTED_MS)},
    "tokens-generated": {
        "batch_id": BATCH_ID, "chunk_index": CHUNK, "first_serial": 1001 + CHUNK * CHUNK_SIZE,
        "count": len(chunk_tokens(CHUNK)), "tokens": chunk_tokens(CHUNK)},
    "merkle-subtree-computed": {
        "batch_id": BATCH_ID, "chunk_index": CHUNK, "chunk_count": CHUNK_COUNT,
        "product_count": PRODUCT_COUNT, "root": BATCH["chunk_roots"][CHUNK]},
    "merkle-root-computed": {
        "batch_id": BATCH_ID, "merkle_root": BATCH["root"], "product_count": PRODUCT_COUNT},
    "anchor-requested": {
        "batch_id": FOREIGN_ID, "merkle_root": FOREIGN_ROOT, "product_count": FOREIGN_COUNT},
    "anchor-accepted": {
        "batch_id": FOREIGN_ID, "merkle_root": FOREIGN_ROOT, "product_count": FOREIGN_COUNT,
        "origin": "external", "requested_at": time(REQUESTED_MS)},
    "anchor-queue": {
        "anchor_id": anchor_id(BATCH_ID), "batch_id": BATCH_ID, "merkle_root": BATCH["root"],
        "product_count": PRODUCT_COUNT, "origin": "own", "attempt": 1},
    "anchor-submitted": {
        "network": "mock", "chain_id": 0, "nonce": NONCE, "transaction_id": TRANSACTION_ID,
        "raw_transaction": "0x" + CALLDATA.hex(), "aggregate_root": AGGREGATE_ROOT.hex(),
        "tree_size": len(LEAVES),
        "leaves": [{"anchor_id": anchor_id(batch), "batch_id": batch, "leaf_index": i}
                   for i, (batch, _, _) in enumerate(ANCHORS)],
        "submitted_at": time(BLOCK_MS)},
    "anchor-completed": {
        "anchor_id": anchor_id(BATCH_ID), "batch_id": BATCH_ID, "merkle_root": BATCH["root"],
        "product_count": PRODUCT_COUNT, "network": "mock", "chain_id": 0,
        "transaction_id": TRANSACTION_ID, "block_number": BLOCK_NUMBER, "block_hash": BLOCK_HASH,
        "gas_used": GAS_USED, "gas_price_gwei": "0", "anchored_at": time(BLOCK_MS), "revision": 1,
        "aggregate": {"root": AGGREGATE_ROOT.hex(), "leaf_index": 0, "tree_size": len(LEAVES),
                      "path": [LEAVES[1].hex()]}},
    "anchor-failed": {
        "anchor_id": anchor_id(FOREIGN_ID), "batch_id": FOREIGN_ID, "reason": "mock_refused",
        "detail": "the simulated chain is configured to refuse the first 1 attempts of each batch",
        "retry_count": 0, "next_retry_at": time(BLOCK_MS + 900000), "origin": "external"},
    "batch-completed": {
        "batch_id": BATCH_ID, "tenant": "acme", "product_count": PRODUCT_COUNT,
        "merkle_root": BATCH["root"], "anchor_id": anchor_id(BATCH_ID), "network": "mock",
        "transaction_id": TRANSACTION_ID, "requested_at": time(REQUESTED_MS),
        "completed_at": time(BLOCK_MS)},
    "batch-failed": {
        "batch_id": FOREIGN_ID, "tenant": "acme", "reason": "key_unknown",
        "detail": "token key 7 is not configured; add it to VOKETAG_TOKEN_KEYS",
        "failed_at": time(BLOCK_MS)},
    "audit-recorded": {
        "action": "dead-letters-retry", "run_id": RETRY_RUN_ID, "phase": "ended",
        "actor": RETRY_ACTOR, "reason": "the shop counts its products now",
        "selection": RETRY_SELECTION, "at": time(BLOCK_MS), "sent": 1, "skipped": 0},
}


def plain_json(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


# ---- envelopes -----------------------------------------------------------------------------------

def span(event_id):
    return derived_uuid("span:" + event_id).replace("-", "")[:16]


def envelope(event_id, source, topic, ms, traceparent):
    return [("ce_specversion", "1.0"), ("ce_id", event_id), ("ce_source", source),
            ("ce_type", "voketag." + topic + ".v1"), ("ce_time", time(ms)),
            ("content-type", "application/json"), ("traceparent", traceparent)]


def derive(cause, source, topic, ordinal, ms):
    """Headers of the ordinal-th event that `source` derives from an event with these headers."""
    headers = dict(cause)
    event_id = derived_uuid(f"{headers['ce_id']}/voketag.{topic}.v1/{ordinal}")
    trace = headers["traceparent"]
    return envelope(event_id, source, topic, ms, trace[:36] + span(event_id) + trace[52:])


def begin(event_id, source, topic, ms):
    """Headers of what no record has caused: a trace begins with it."""
    trace = derived_uuid("trace:" + event_id).replace("-", "")
    return envelope(event_id, source, topic, ms, f"00-{trace}-{span(event_id)}-01")


def bare(topic, partition, offset, ms):
    """The headers that a record without any is read as having."""
    return begin(f"{topic}/{partition}/{offset}", "/external", topic, ms)


def all_headers():
    headers = {}

    def add(topic, cause, processor, ordinal, ms):
        headers[topic] = derive(headers[cause], "/voketag/" + processor, topic, ordinal, ms)

    headers["batch-requested"] = envelope(
        "order-4711", "/acme/erp", "batch-requested", REQUESTED_MS,
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    headers["anchor-requested"] = envelope(
        "root-1", "/stranger", "anchor-requested", REQUESTED_MS,
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00")
    add("batch-accepted", "batch-requested", "ingress", 0, REQUESTED_MS)
    add("token-chunk-requested", "batch-accepted", "batches", CHUNK, REQUESTED_MS)
    add("tokens-generated", "token-chunk-requested", "tokens", 0, REQUESTED_MS)
    add("merkle-subtree-computed", "token-chunk-requested", "tokens", 1, REQUESTED_MS)
    add("merkle-root-computed", "merkle-subtree-computed", "merkle", 0, REQUESTED_MS)
    add("anchor-accepted", "anchor-requested", "ingress", 0, REQUESTED_MS)
    add("anchor-queue", "merkle-root-computed", "anchoring", 0, REQUESTED_MS)
    add("anchor-submitted", "anchor-queue", "anchoring", 0, BLOCK_MS)
    add("anchor-completed", "anchor-queue", "anchoring", 1, BLOCK_MS)
    add("anchor-failed", "anchor-accepted", "anchoring", 0, BLOCK_MS)
    add("batch-completed", "anchor-completed", "batches", 0, BLOCK_MS)
    add("batch-failed", "anchor-requested", "batches", 0, BLOCK_MS)
    run = begin(RETRY_RUN_ID, "/voketag/command-line", "audit-recorded", BLOCK_MS)
    headers["audit-recorded"] = derive(run, "/voketag/command-line", "audit-recorded", 1, BLOCK_MS)
    return headers


KEYS = {topic: VALUES[topic].get("batch_id") for topic in VALUES}
KEYS["token-chunk-requested"] = KEYS["tokens-generated"] = f"{BATCH_ID}:{CHUNK}"
KEYS["anchor-queue"] = KEYS["anchor-submitted"] = "0:mock"
KEYS["audit-recorded"] = "operations"

# ---- the dead letter of a record that came without CloudEvents headers ---------------------------

BAD_KEY = "shop-1"
BAD_VALUE = plain_json({"batch_id": BATCH_ID, "product_count": 0})
BAD_TOPIC, BAD_PARTITION, BAD_OFFSET = "batch-requested", 3, 17


def dead_letter_headers():
    cause = bare(BAD_TOPIC, BAD_PARTITION, BAD_OFFSET, REQUESTED_MS)
    headers = dict(derive(cause, "/voketag/ingress", "dead-letters", 0, REQUESTED_MS))
    headers["ce_id"] = derived_uuid(
        f"dead-letter:{BAD_TOPIC}/{BAD_PARTITION}/{BAD_OFFSET}:ingress")
    headers["content-type"] = "application/octet-stream"
    return list(headers.items()) + [
        ("dead_letter_reason", "malformed"),
        ("dead_letter_detail", "product_count must be between 1 and 10000000, not 0"),
        ("dead_letter_processor", "ingress"), ("dead_letter_topic", BAD_TOPIC),
        ("dead_letter_partition", str(BAD_PARTITION)), ("dead_letter_offset", str(BAD_OFFSET)),
        ("dead_letter_timestamp", time(REQUESTED_MS)), ("original_x-shop", "17")]


def write(directory, name, data):
    (directory / name).write_bytes(data)


def header_lines(key, headers):
    return "".join(f"{name}: {value}\n" for name, value in [("key", key)] + headers).encode()


def main(directory):
    headers = all_headers()
    for topic, value in VALUES.items():
        write(directory, topic + ".json", plain_json(value))
        write(directory, topic + ".headers", header_lines(KEYS[topic], headers[topic]))
    write(directory, "dead-letters.value", BAD_VALUE)
    write(directory, "dead-letters.headers", header_lines(BAD_KEY, dead_letter_headers()))
    product = BATCH["products"][0]
    write(directory, "token.txt", product["token"].encode())
    write(directory, "leaf.hex", product["leaf"].encode())
    write(directory, "calldata.hex", CALLDATA.hex().encode())


main(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
