"""Sends the planned requests at their time, by kcat, which knows nothing of us."""

import json
import subprocess
import threading
import time

TICK_S = 0.5


class Load(threading.Thread):
    """Behind schedule (the broker was away) it catches up: each record is sent, however late."""

    def __init__(self, bootstrap, topic, planned):
        super().__init__(daemon=True)
        self.bootstrap = bootstrap
        self.topic = topic
        self.planned = planned
        self.asked = set()        # ids whose request Kafka has acknowledged
        self.records = 0
        self.products = 0
        self.failure = None

    def run(self):
        began = time.monotonic()
        waiting = []
        try:
            for at_s, key, value, count in self.planned:
                if waiting and at_s > waiting[-1][0] and at_s > time.monotonic() - began:
                    self.send(waiting)
                    waiting = []
                    time.sleep(max(0.0, at_s - (time.monotonic() - began), TICK_S))
                waiting.append((at_s, key, value, count))
            self.send(waiting)
        except (AssertionError, OSError, subprocess.SubprocessError) as failure:
            self.failure = failure

    def send(self, records):
        for keyed in (True, False):
            lines = [(f"{key}\t" if keyed else "") + value
                     for _, key, value, _ in records if (key is not None) == keyed]
            if lines:
                self.produce(lines, keyed)
        for _, _, value, count in records:
            self.records += 1
            self.products += count
            if count:
                self.asked.add(json.loads(value)["batch_id"])

    def produce(self, lines, keyed):
        """Idempotent and patient: when kcat returns, every line is in the log, and once."""
        sent = subprocess.run(
            ["kcat", "-P", "-b", self.bootstrap, "-t", self.topic, *(["-K", "\t"] if keyed else []),
             "-X", "enable.idempotence=true", "-X", "message.timeout.ms=300000", "-X",
             "socket.timeout.ms=5000", "-X", "retry.backoff.ms=200", "-m", "120", "-E"],
            input="\n".join(lines) + "\n", text=True, capture_output=True, timeout=400)
        assert sent.returncode == 0, f"kcat could not produce: {sent.stderr}"
