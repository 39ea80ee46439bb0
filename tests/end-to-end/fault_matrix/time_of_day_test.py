"""The time of day of a process is set hours back and forward while it works."""

import json
import os
import struct
from datetime import datetime, timezone

from matrix import GREAT, GREAT_LASTS, System, Work, await_true, case

# A small library that stands between the process and its clock; CMake builds it.
TIME_OF_DAY = os.environ.get("VOKETAG_TIME_OF_DAY", "")
THREE_HOURS_S = 3 * 3600
# What stalls for hours, or fires hours early, is found; a busy machine is not.
BOUND_S = 60


class Clock:
    """Of the processes that are started with its environment."""

    def __init__(self, system):
        self.path = system.directory / "time-of-day"
        self.path.write_bytes(struct.pack("q", 0))
        self.environment = {"LD_PRELOAD": TIME_OF_DAY, "TIME_OF_DAY_FILE": self.path}

    def set_ahead(self, seconds):
        with open(self.path, "r+b") as file:
            file.write(struct.pack("q", seconds))


def hours_ahead(instance):
    """By its last line of the log."""
    said = datetime.fromisoformat(
        json.loads(instance.log().splitlines()[-1])["time"].replace("Z", "+00:00"))
    return round((said - datetime.now(timezone.utc)).total_seconds() / 3600)


def set_under_load(system, clock, work, what, ahead_s):
    with case(29, f"the time of day is set {what} under load"):
        # A great batch is on its way through every processor, its stall timer standing; the small
        # ones wait for timers of the simulated chain.
        work.await_chunks(work.ask(GREAT, *[300] * 8))
        clock.set_ahead(ahead_s)
        work.ask(*[300] * 8)
        work.await_done(BOUND_S)
        failed = system.events("batch-failed")
        assert not failed, failed


def start_wrong(system, clock, work, instance, what, ahead_s):
    with case(29, f"it starts {what}"):
        work.await_chunks(work.ask(GREAT, *[300] * 8))
        instance.kill()
        clock.set_ahead(ahead_s)
        instance.start()
        instance.await_ready(BOUND_S)
        assert hours_ahead(instance) == ahead_s / 3600, instance.log()[-2000:]
        work.await_done(BOUND_S)


def main():
    assert os.path.exists(TIME_OF_DAY), "VOKETAG_TIME_OF_DAY must name the library time_of_day"
    with System("time-of-day", **GREAT_LASTS) as system:
        clock = Clock(system)
        instance = system.start("one", **clock.environment).await_ready()
        work = Work(system)
        set_under_load(system, clock, work, "three hours back", -THREE_HOURS_S)
        set_under_load(system, clock, work, "six hours forward", THREE_HOURS_S)
        set_under_load(system, clock, work, "right again", 0)
        start_wrong(system, clock, work, instance, "three hours behind", -THREE_HOURS_S)
        assert instance.stop() == 0, instance.log()[-2000:]
        print(work.audit())


if __name__ == "__main__":
    main()
