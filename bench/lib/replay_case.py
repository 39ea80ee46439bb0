"""How fast a view is rebuilt, beside psql's \\copy of the same rows into the same table."""

import json
import os
import subprocess
import time

from . import baselines, database, tools
from .process import MeasurementFailed
from .report import CaseResult
from .systems import ALL_ROLES, LOG_FOLDER, VokeTag, binary

ROWS = 1_000_000


def replay_products(context) -> CaseResult:
    """The live projector stands by: what it would do meanwhile is not this measurement's."""
    result = CaseResult(
        "replay-products",
        (
            "Rows a second of `voketag replay --view products` over 1 x 1,000,000: its load and "
            "indexes, and the whole command, from its start to the swapped view, with planner "
            "statistics, the comparison of both generations row by row, and the old one dropped; "
            "beside psql \\copy (text) of the same rows into the same table with its indexes. By "
            "turns on one server; a checkpoint goes before each."
        ),
    )
    ours = VokeTag(context.stack, ALL_ROLES)
    ours.prepare()
    LOG_FOLDER.mkdir(parents=True, exist_ok=True)
    ddl, rows = LOG_FOLDER / "replay-schema.sql", LOG_FOLDER / "replay-rows.txt"
    database.dump_schema(context.stack.postgres, ddl)
    copy_url = database.create_copy(context.stack.postgres, "bench_copy", ddl)
    session = database.Session(context.stack.postgres)
    ours.start()
    try:
        tools.request_batches(context.stack.kafka, ours.request_topic, 1, ROWS)
        database.RowsAwaited(session).await_rows(ROWS, 180)
        for repetition in context.repeat():

            def run_replay():
                session.execute("CHECKPOINT")
                _measure_replay(context, result)

            def run_copy():
                baselines.export_rows(context.stack.postgres, rows)
                copied = baselines.psql_copy(copy_url, ddl, rows)
                result.add("psql \\copy", "rows/s", copied["rows_per_second"])

            sides = (run_replay, run_copy)
            for run in sides if repetition % 2 == 0 else reversed(sides):
                run()
    finally:
        ours.stop()
        session.close()
        rows.unlink(missing_ok=True)
    result.ratio("load and indexes to psql \\copy", "replay, load and indexes", "psql \\copy",
                 at_least=1.0)
    result.ratio("whole command to psql \\copy", "replay, whole command", "psql \\copy")
    return result


def _measure_replay(context, result: CaseResult) -> None:
    began = time.monotonic()
    done = subprocess.run(
        [binary(), "replay", "--view", "products", "--json"],
        env={**os.environ, **context.stack.environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    seconds = time.monotonic() - began
    if done.returncode != 0:
        raise MeasurementFailed(f"voketag replay: {done.stdout}{done.stderr}")
    told = json.loads(done.stdout.splitlines()[-1])
    if told["result"] != "swapped" or told["comparison"][0]["new_rows"] != ROWS:
        raise MeasurementFailed(f"voketag replay: {told}")
    result.add(
        "replay, load and indexes", "rows/s", ROWS / (told["load_ms"] + told["index_ms"]) * 1e3
    )
    result.add("replay, whole command", "rows/s", ROWS / seconds)
    result.add("live projector held up by the swap", "ms", told["swap_ms"])
