"""The bare floors and ceilings: librdkafka and psql doing one thing only. A function each."""

import subprocess
from pathlib import Path

from .machine import ROOT
from .tools import run_json, tool


def transactional_producer(
    kafka: str, products: int, chunk_products: int, producers: int = 1
) -> dict:
    """products_per_second and megabytes_per_second, in records of our chunks' size."""
    return run_json(
        [
            tool("transactional_producer"),
            "--bootstrap",
            kafka,
            "--topic",
            "baseline.tokens-generated",
            "--products",
            str(products),
            "--chunk-products",
            str(chunk_products),
            "--producers",
            str(producers),
        ]
    )


def transactional_hops(kafka: str, messages: int) -> dict:
    """p50_ms, p95_ms, p99_ms of six chained hops with a transaction for each message."""
    return run_json(
        [tool("transactional_hops"), "--bootstrap", kafka, "--messages", str(messages)], 600
    )


def plain_hop(kafka: str, messages: int) -> dict:
    """p50_ms, p95_ms, p99_ms of one produce and consume without a transaction."""
    return run_json([tool("plain_hop"), "--bootstrap", kafka, "--messages", str(messages)], 600)


def psql_copy(database: str, ddl: Path, rows: Path) -> dict:
    """rows and seconds of psql's \\copy (text) of these rows into this schema's empty products."""
    return run_json(
        [str(ROOT / "bench/baselines/psql_copy.sh"), database, str(ddl), str(rows)], 600
    )


def export_rows(database: str, rows: Path) -> None:
    """The products in the order in which they lie in the table, in COPY's text format."""
    subprocess.run(
        ["psql", "-Xq", database, "-c", f"\\copy voketag.products to '{rows}'"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
