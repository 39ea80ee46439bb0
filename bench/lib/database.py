"""PostgreSQL through psql: schema copies, rows awaited to the moment, without a driver library."""

import subprocess
import time
from pathlib import Path

from .process import MeasurementFailed

_PAGE_BYTES = 8192


class Session:
    """One psql held open, so that a question costs a round trip and not a process."""

    def __init__(self, url: str):
        self.url = url
        self._psql = subprocess.Popen(
            ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def value(self, query: str) -> str:
        """The first line of the answer. The query must return exactly one row."""
        self._psql.stdin.write(query + ";\n")
        line = self._psql.stdout.readline()
        if not line:
            raise MeasurementFailed(f"{query}: {self._psql.stderr.read()}")
        return line.strip()

    def execute(self, *statements: str) -> None:
        self.value("; ".join(statements) + "; SELECT 1")

    def close(self) -> None:
        self._psql.stdin.close()
        self._psql.wait()


def run_sql(url: str, *statements: str) -> None:
    command = ["psql", "-Xq", "-v", "ON_ERROR_STOP=1", url]
    for statement in statements:
        command += ["-c", statement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise MeasurementFailed(f"{statements}: {done.stderr}")


def dump_schema(url: str, ddl: Path) -> None:
    """The schema as it stands, so that every peer fills the very same tables and indexes."""
    done = subprocess.run(
        ["pg_dump", "--schema-only", "--no-owner", "--schema", "voketag", url, "-f", str(ddl)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise MeasurementFailed(f"pg_dump: {done.stderr}")


def create_copy(url: str, name: str, ddl: Path) -> str:
    """Makes, or replaces, a database on the same server with this schema. Returns its URL."""
    run_sql(url, f"DROP DATABASE IF EXISTS {name}", f"CREATE DATABASE {name}")
    copy = url.rpartition("/")[0] + "/" + name
    done = subprocess.run(
        ["psql", "-Xq", "-v", "ON_ERROR_STOP=1", copy, "-f", str(ddl)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise MeasurementFailed(f"{ddl}: {done.stderr}")
    return copy


def empty_products(session: Session) -> None:
    """An empty table, and no checkpoint of earlier work in the time of the next."""
    session.execute("TRUNCATE voketag.products")
    session.execute("CHECKPOINT")


class RowsAwaited:
    """Says when a number of rows became visible in voketag.products, at little cost to the server.

    The table's size is asked often, which costs nothing; rows are counted only once it is nearly
    large enough. The time given is when the last count began: what it saw was visible then.
    """

    def __init__(self, session: Session):
        self._session = session
        self._rows_per_page = 65.0

    def calibrate(self) -> None:
        """Learns how many rows fill a page from the rows that are there now."""
        rows = int(self._session.value("SELECT count(*) FROM voketag.products"))
        pages = self._pages()
        if rows > 0 and pages > 0:
            self._rows_per_page = rows / pages

    def _pages(self) -> int:
        return (
            int(self._session.value("SELECT pg_relation_size('voketag.products')")) // _PAGE_BYTES
        )

    def await_rows(self, rows: int, timeout_s: float) -> int:
        deadline = time.monotonic() + timeout_s
        near = 0.97 * rows / self._rows_per_page
        while time.monotonic() < deadline:
            asked_ns = time.monotonic_ns()
            if self._pages() < near:
                time.sleep(0.02)
                continue
            asked_ns = time.monotonic_ns()
            found = int(self._session.value("SELECT count(*) FROM voketag.products"))
            if found > rows:
                raise MeasurementFailed(f"{found} rows where {rows} were asked for")
            if found == rows:
                return asked_ns
        raise MeasurementFailed(f"fewer than {rows} rows after {timeout_s} s")
