"""Load, faults and an audit: see tests/soak/README.md, and `./dev soak --help`."""

import argparse
import contextlib
import json
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "faults"), str(HERE.parent / "end-to-end")]

# pylint: disable=wrong-import-position
import checker
import faults as fault_kinds
import plan
import state_checker
from load import Load
from proxy import Proxy
from servers import Cluster, Postgres
from small_disk import mount_small_disk, unmount_small_disk
from system import BINARY, System

SETTLE_S = 240
SHADOW_S = 600
VERIFY_S = 300
# What a supervisor restarts: a service failed (docs/troubleshooting.md). Anything else is a finding
# unless the fault under way explains it.
RESTARTED_CODES = (3, 4)
RESTART_PAUSE_S = 1.0


class World:
    """Servers, proxies, instances; the supervisor that restarts what may be restarted."""

    def __init__(self, progress):
        self.progress = progress
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="voketag-soak-"))
        self.cluster = Cluster(self.directory, brokers=1,
                               listeners=[name.upper() for name in plan.INSTANCES])
        self.broker = self.cluster.brokers[0]
        self.bootstrap = self.cluster.bootstrap
        self.postgres = Postgres()
        self.kafka_proxies, self.postgres_proxies = {}, {}
        self.instances = {}
        self.system = None
        self.expected_down = set()  # a fault has ended them and will start them
        self.may_refuse = set()     # a fault that ends them with exit code 1 is under way
        self.died_at = {}
        self.exits = []             # of processes that ended by themselves
        self.findings = []
        self.small_disk_instance = plan.INSTANCES[-1]

    def __enter__(self):
        try:
            self.begin()
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def begin(self):
        for name in plan.INSTANCES:
            listener = name.upper()
            proxy = Proxy(self.broker.listeners[listener])
            self.broker.advertised[listener] = proxy.port
            self.kafka_proxies[name] = proxy
            self.postgres_proxies[name] = Proxy(self.postgres.port)
        self.cluster.start()
        self.postgres.create()
        self.system = System("soak", kafka=self.bootstrap, postgres=self.postgres.url())
        self.system.__enter__()
        for name in plan.INSTANCES:
            state = self.system.directory / f"state-{name}"
            if name == self.small_disk_instance:
                mount_small_disk(state)
            self.instances[name] = self.system.start(
                name, VOKETAG_KAFKA=f"127.0.0.1:{self.kafka_proxies[name].port}",
                VOKETAG_POSTGRES=self.system.postgres_at(self.postgres_proxies[name].port))
        for instance in self.instances.values():
            instance.await_ready(fault_kinds.READY_TIMEOUT_S)

    def __exit__(self, kind, value, traceback):
        for instance in list(self.system.instances if self.system else []):
            instance.kill()
        failed = kind is not None or bool(self.findings)
        if self.system:
            unmount_small_disk(self.system.directory / f"state-{plan.INSTANCES[-1]}")
        self.cluster.kill()
        for proxy in (*self.kafka_proxies.values(), *self.postgres_proxies.values()):
            proxy.close()
        self.postgres.remove()
        if failed:
            self.say(f"logs and state lie in {self.system and self.system.directory}; the broker's "
                     f"in {self.directory}")
        else:
            shutil.rmtree(self.system.directory, ignore_errors=True)
            shutil.rmtree(self.directory, ignore_errors=True)

    def say(self, text):
        self.progress.line(text)

    def find(self, text):
        self.findings.append(text)
        self.say("FOUND " + text)

    def expect(self, what, found, wanted):
        if found != wanted:
            self.find(f"{what}: {found} instead of {wanted}")

    @contextlib.contextmanager
    def whatever_fails(self, what):
        """Is found and said, and the soak goes on: it ends with an audit and with the line that
        reproduces it, whatever happened on the way."""
        try:
            yield
        except Exception as failure:  # pylint: disable=broad-except
            self.find(f"{what}: {type(failure).__name__}: {failure}")
            self.say("".join(traceback.format_tb(failure.__traceback__)))

    def mend(self):
        """What a fault that failed on its way has left broken."""
        for proxy in (*self.kafka_proxies.values(), *self.postgres_proxies.values()):
            proxy.heal()
        for server in (self.broker, self.postgres):
            if not server.running():
                server.start().await_ready()
        for instance in self.instances.values():
            instance.thaw()
            if not instance.running():
                instance.start()
            self.expected_down.discard(instance)
            self.may_refuse.discard(instance)
        for instance in self.instances.values():
            self.await_ready(instance, fault_kinds.READY_TIMEOUT_S)

    # ---- time passes; what ends by itself is started again, as a supervisor would

    def wait(self, seconds):
        deadline = time.monotonic() + seconds
        while True:
            self.supervise()
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return
            time.sleep(min(0.1, left_s))
            self.progress.tick()

    def supervise(self):
        now = time.monotonic()
        for instance in self.instances.values():
            if instance in self.expected_down or instance.running():
                continue
            if instance not in self.died_at:
                self.died_at[instance] = now
                self.note_exit(instance)
            elif now - self.died_at[instance] >= RESTART_PAUSE_S:
                del self.died_at[instance]
                instance.start()

    def note_exit(self, instance):
        code = instance.process.returncode
        said = [line for line in instance.log().splitlines()
                if '"error"' in line or "stopped" in line]
        text = f"{instance.name} ended with {code}: {said[-1][-400:] if said else 'nothing said'}"
        self.exits.append(text)
        if code in RESTARTED_CODES or (code == 1 and instance in self.may_refuse):
            self.say(text)
        else:
            self.find(text)

    def await_ready(self, instance, timeout_s):
        """It may end meanwhile for a reason that passes, and is started again."""
        deadline = time.monotonic() + timeout_s
        while '"message":"ready' not in instance.log() or not instance.running():
            if time.monotonic() > deadline:
                self.find(f"{instance.name} was not ready within {timeout_s} s")
                return
            self.wait(0.1)

    def await_running(self, instance, timeout_s):
        self.wait(2 * RESTART_PAUSE_S + 0.2)
        self.await_ready(instance, timeout_s)


class Progress:
    """One moving line on a terminal; elsewhere a line per event."""

    def __init__(self, minutes, quiet):
        self.minutes = minutes
        self.on_terminal = sys.stderr.isatty() and not quiet
        self.began = time.monotonic()
        self.text = lambda: ""
        self.shown_at = 0.0

    def clock(self):
        passed_s = int(time.monotonic() - self.began)
        return f"{passed_s // 60}:{passed_s % 60:02d}"

    def line(self, text):
        erase = "\r\033[K" if self.on_terminal else ""
        print(f"{erase}{self.clock():>6}  {text}", file=sys.stderr, flush=True)

    def tick(self):
        now = time.monotonic()
        if self.on_terminal and now - self.shown_at > 0.3:
            self.shown_at = now
            print(f"\r\033[K{self.clock():>6} of {self.minutes:g}:00  {self.text()}", end="",
                  file=sys.stderr, flush=True)


def run_faults(world, planned, load, done, left_out):
    faults = fault_kinds.Faults(world)
    for number, fault in enumerate(planned, 1):
        name = f"fault {number} of {len(planned)}: {fault['kind']} of {fault['target']}"
        found = len(world.findings)
        with world.whatever_fails(name):
            world.progress.text = lambda: (
                f"{load.records} inputs, {load.products:,} products asked; at "
                f"{fault['at_s']:.0f} s {name}")
            world.wait(fault["at_s"] - (time.monotonic() - world.progress.began))
            began = time.monotonic()
            try:
                faults.inject(fault)
                done[fault["kind"]] += 1
                world.say(f"{name}, {time.monotonic() - began:.1f} s")
            except fault_kinds.LeftOut as why:
                left_out[fault["kind"]] += 1
                world.say(f"{name} is left out: {why}")
        if len(world.findings) > found:
            with world.whatever_fails("mending after " + name):
                world.mend()


def settle(world, load, timeout_s):
    """Until everything that was asked for stands in the views and every input has been passed on or
    refused, or nothing more is to be hoped: what is still on its way when the processes are stopped
    would count as lost."""
    while load.is_alive():
        world.wait(0.2)
    if load.failure is not None:
        world.find(f"the load could not be sent: {load.failure}")
    topics = checker.Topics(world.bootstrap, world.system.prefix)
    inputs = checker.Inputs(topics)
    deadline = time.monotonic() + timeout_s

    def state():
        found = world.system.rows(
            "SELECT count(*) FILTER (WHERE status = 'completed'), "
            "coalesce(sum(product_count), 0), (SELECT count(*) FROM voketag.products) "
            "FROM voketag.batches")[0]
        return [int(number) for number in found]

    while time.monotonic() < deadline:
        completed, wanted, products = state()
        world.progress.text = lambda: (f"settling: {completed} of {len(inputs.contents)} batches, "
                                       f"{products:,} of {wanted:,} products")
        if completed >= len(inputs.contents) and products >= wanted:
            break
        world.wait(0.5)
    else:
        world.find(f"not settled within {timeout_s} s: {completed} of {len(inputs.contents)} "
                   f"batches, {products} of {wanted} products")
    # What no view shows. Whoever asks twice, or asks for something else under a known name, may be
    # answered after everybody else; and a processor may yet have to read what it has no use for.
    while missing := inputs.unanswered(topics) or "; ".join(state_checker.unread(topics)):
        if time.monotonic() >= deadline:
            world.find(f"not settled within {timeout_s} s: {missing}")
            break
        world.progress.text = lambda: f"settling: {missing[:100]}"
        world.wait(0.5)


def stop_all(world):
    for instance in world.instances.values():
        world.expected_down.add(instance)
        with world.whatever_fails(f"stopping {instance.name}"):
            if instance.running():
                world.expect(f"the exit code of {instance.name}", instance.stop(), 0)


def verify_states(world):
    """The engine's own word on each instance's local state, beside the audit of the changelogs."""
    for instance in world.instances.values():
        with world.whatever_fails(f"the state of {instance.name}"):
            done = subprocess.run([BINARY, "state", "verify", "--json"], env=instance.environment,
                                  text=True, capture_output=True, timeout=VERIFY_S)
            if done.returncode != 0:
                world.find(f"the state of {instance.name} was verified with {done.returncode}: "
                           f"{(done.stdout + done.stderr)[-3000:]}")


def replay_in_shadows(world):
    """Each processor, run again over all that it met, must emit the same bytes and nothing else."""
    for processor in checker.PROCESSORS:
        world.progress.line(f"shadow of {processor}")
        with world.whatever_fails(f"the shadow of {processor}"):
            done = world.system.command("replay", "--processor", processor, check=False,
                                        timeout_s=SHADOW_S)
            # A short soak may have no great batch, which tokens and merkle alone work on.
            if done.returncode != 0 and "nothing to compare" not in done.stderr:
                world.find(f"the shadow of {processor} ended with {done.returncode}: "
                           f"{(done.stdout + done.stderr)[-3000:]}")


def soak(options):
    planned = plan.draw_faults(options.seed, options.minutes, options.interval_s,
                               options.kinds)
    if options.plan:
        options.plan.write_text(json.dumps(
            {"seed": options.seed, "minutes": options.minutes, "interval_s": options.interval_s,
             "products_per_s": options.products_per_s,
             "great_every_s": options.great_every_s, "faults": planned}, indent=1))
    progress = Progress(options.minutes, options.json)
    progress.line(f"soak of {options.minutes:g} min, seed {options.seed}, {len(planned)} faults")
    progress.line("again: " + again(options))
    done, left_out = Counter(), Counter()
    findings, figures = checker.Findings(), {}
    with World(progress) as world:
        progress.began = time.monotonic()
        load = Load(world.bootstrap, world.system.prefix + "batch-requested",
                    plan.draw_load(options.seed, options.minutes, options.products_per_s,
                                   options.great_every_s))
        load.start()
        run_faults(world, planned, load, done, left_out)
        with world.whatever_fails("settling"):
            settle(world, load, options.settle_s)
        stop_all(world)
        progress.line("audit: reading every topic and every row")
        with world.whatever_fails("the audit"):
            findings, figures = checker.audit(
                checker.Topics(world.bootstrap, world.system.prefix), world.system.postgres,
                world.system.key, load.asked, at_rest=True)
        world.findings += list(findings.lines())
        verify_states(world)
        replay_in_shadows(world)
        return report(options, figures, done, left_out, findings, world)


def again(options):
    """The command that draws the same plan again: all that it depends on."""
    words = (f"./dev soak --minutes {options.minutes:g} --seed {options.seed} "
             f"--interval-s {options.interval_s:g} --products-per-s {options.products_per_s:g} "
             f"--great-every-s {options.great_every_s:g}")
    if tuple(options.kinds) != plan.KINDS:
        words += " --kinds " + ",".join(options.kinds)
    return words


def report(options, figures, done, left_out, findings, world):
    """`figures` is empty where the audit itself has failed: then nobody knows what was lost."""
    passed = bool(figures) and findings.clean() and not world.findings
    found = {"lost": len(findings.lost), "doubled": len(findings.doubled),
             "wrong": len(findings.wrong)}
    if not figures:
        figures, found = dict.fromkeys(checker.FIGURES), dict.fromkeys(found)
    if options.json:
        print(json.dumps({
            "seed": options.seed, "minutes": options.minutes, "interval_s": options.interval_s,
            "again": again(options), **figures, "faults": sum(done.values()),
            "faults_by_kind": dict(sorted(done.items())),
            "left_out_by_kind": dict(sorted(left_out.items())), **found,
            "ended_by_themselves": world.exits, "findings": world.findings, "passed": passed},
            indent=1))
        return passed
    for finding in world.findings:
        print(finding)
    if found["lost"] is None:
        print("the audit came to no end")
    else:
        print(f"seed {options.seed}: {figures['inputs']} inputs ({figures['duplicates']} "
              f"duplicates, {figures['conflicts']} conflicts, {figures['bad_inputs']} malformed), "
              f"{figures['batches']} batches, {figures['products']:,} products")
    print(f"{sum(done.values())} faults: {by_kind(done)}"
          + (f"; left out: {by_kind(left_out)}" if left_out else ""))
    print(", ".join(f"{name} {number}" for name, number in found.items())
          + ("" if passed else "; FAILED, reproduce with " + again(options)))
    return passed


def by_kind(counts):
    return ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))


def main():
    parser = argparse.ArgumentParser(
        prog="./dev soak", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Runs three instances under load while things break, then audits that each "
                    "input had exactly one effect.",
        epilog="exit codes: 0 nothing lost, doubled or wrong; 1 something was; 2 usage")
    parser.add_argument("--minutes", type=float, default=10, help="how long the load runs")
    parser.add_argument("--seed", type=int, help="which plan; default: drawn, and printed")
    parser.add_argument("--interval-s", type=float, default=20, help="between two faults")
    parser.add_argument("--products-per-s", type=float, default=1000, help="the load")
    parser.add_argument("--great-every-s", type=float, default=60,
                        help="beside it: between two batches of 131,073 to 300,000 products")
    parser.add_argument("--settle-s", type=float, default=SETTLE_S,
                        help="how long to wait at the end until all is done")
    parser.add_argument("--plan", type=pathlib.Path, help="write the plan to this file")
    parser.add_argument("--kinds", type=lambda text: text.split(","), default=plan.KINDS,
                        help="only these kinds of faults: " + ", ".join(plan.KINDS))
    parser.add_argument("--json", action="store_true", help="the report as JSON")
    options = parser.parse_args()
    if min(options.minutes, options.interval_s, options.products_per_s,
           options.great_every_s) <= 0:
        parser.error("--minutes, --interval-s, --products-per-s and --great-every-s must be "
                     "greater than 0")
    unknown = [kind for kind in options.kinds if kind not in plan.KINDS]
    if unknown:
        parser.error(f"there is no kind of fault {unknown[0]!r}")
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(1 << 32)
    return 0 if soak(options) else 1


if __name__ == "__main__":
    sys.exit(main())
