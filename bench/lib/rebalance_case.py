"""How long batches wait while instances come and go under load."""

import itertools
import statistics
import time
from collections import defaultdict
from dataclasses import dataclass

from . import tools
from .report import CaseResult, percentile
from .systems import ROLES_TO_ROOT, VokeTag

# Five a second for each of the twelve partitions: a pause is seen to 0.2 s.
BATCHES_PER_S = 60
STEADY_S = 5
# After the newcomers say that they are ready, or those that leave have ended: the rest of the group
# has yet to share out what they took or left.
AFTERMATH_S = 4


@dataclass
class Change:
    what: str
    began_ns: int
    ended_ns: int


def rebalance_pause(context) -> CaseResult:
    """Those that leave do so in order (SIGTERM): a kill -9 is the case `takeover`."""
    result = CaseResult(
        "rebalance-pause",
        (
            "One instance, three, and one again, under a steady stream of batches of 10 products, "
            f"{BATCHES_PER_S} a second. The pause of a partition is the longest time from request "
            "to root among its batches that were on their way during the change, less the median "
            "of times without one; p95 and most over partitions and changes."
        ),
    )
    one = VokeTag(context.stack, ROLES_TO_ROOT)
    one.prepare()
    one.start()
    numbers = itertools.count(2)
    try:
        for _ in context.repeat():
            newcomers = [
                VokeTag(context.stack, ROLES_TO_ROOT, f"bench-{next(numbers)}") for _ in range(2)
            ]
            stream = tools.BatchStream(
                context.stack.kafka, one.request_topic, one.root_topic, BATCHES_PER_S
            )
            try:
                changes = [_join(newcomers), _leave(newcomers)]
            finally:
                for newcomer in newcomers:
                    newcomer.stop()
            time.sleep(STEADY_S)
            _evaluate(changes, stream.end(), result)
    finally:
        one.stop()
    result.within("pause, p95", at_most=2)
    return result


def _join(newcomers: list[VokeTag]) -> Change:
    time.sleep(STEADY_S)
    began_ns = time.monotonic_ns()
    for newcomer in newcomers:
        newcomer.start(await_ready=False)
    for newcomer in newcomers:
        newcomer.await_ready()
    time.sleep(AFTERMATH_S)
    return Change("1 to 3", began_ns, time.monotonic_ns())


def _leave(newcomers: list[VokeTag]) -> Change:
    time.sleep(STEADY_S)
    began_ns = time.monotonic_ns()
    for newcomer in newcomers:
        newcomer.process.ask_to_stop()
    for newcomer in newcomers:
        newcomer.process.await_stopped()
    time.sleep(AFTERMATH_S)
    return Change("3 to 1", began_ns, time.monotonic_ns())


def _evaluate(changes: list[Change], batches: list[tools.Streamed], result: CaseResult) -> None:
    steady = [
        batch.took_s
        for batch in batches
        if not any(_meets(batch, change) for change in changes)
    ]
    steady_s = statistics.median(steady)
    pauses = []
    for change in changes:
        longest = defaultdict(float)
        for batch in batches:
            if _meets(batch, change):
                longest[batch.partition] = max(longest[batch.partition], batch.took_s - steady_s)
        pauses += longest.values()
        result.add(f"pause, {change.what}, p50", "s", percentile(list(longest.values()), 0.5))
        result.add(f"pause, {change.what}, most", "s", max(longest.values()))
    result.add("pause, p95", "s", percentile(pauses, 0.95))
    result.add("request to root without a change, p50", "s", steady_s)
    result.add("request to root without a change, p95", "s", percentile(steady, 0.95))


def _meets(batch: tools.Streamed, change: Change) -> bool:
    return batch.requested_ns <= change.ended_ns and batch.root_ns >= change.began_ns
