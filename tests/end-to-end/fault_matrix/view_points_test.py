"""Cases 5, 6, 19: what may befall the projections, around their COMMIT and with PostgreSQL."""

import json
import os
import subprocess
import time

from matrix import Once, System, Work, await_true, case, kill_at

from proxy import CUT, PostgresProxy
from servers import Postgres
from small_disk import fill, mount_small_disk, unmount_small_disk


def commit_asked(kind, _api_key, _piece):
    return kind == "request"


def commit_done(kind, _api_key, _piece):
    return kind == "response"


def kill_around_commit(proxy, instance, work):
    for what, point in (("before PostgreSQL sees it", commit_asked),
                        ("before its answer arrives", commit_done)):
        with case(5, f"kill -9 at COMMIT, {what}"):
            once = Once(proxy, point, kill_at(instance))
            work.ask(1500, 3)
            once.await_met("a COMMIT")
            instance.process.wait()
            instance.start()
            instance.await_ready()
            work.await_done()


def cut_around_commit(proxy, instance, work):
    for what, point in (("before PostgreSQL sees it", commit_asked),
                        ("before its answer arrives", commit_done)):
        with case(6, f"the connection is cut at COMMIT, {what}"):
            for _ in range(2):
                once = Once(proxy, point, lambda _: CUT)
                work.ask(1500, 3)
                once.await_met("a COMMIT")
                work.await_done()
            assert instance.running(), instance.log()[-2000:]


def server_away(postgres, instance, work):
    for what, end in (("stopped", postgres.stop), ("killed", postgres.kill)):
        with case(19, f"PostgreSQL is {what}: processors go on, the views follow later"):
            end()
            asked = work.ask(1500, 1500)
            work.await_roots(asked)
            assert instance.running(), instance.log()[-2000:]
            postgres.start().await_ready()
            work.await_done()


def doctor(system):
    """What it found, by subject; the worst of each."""
    findings = json.loads(system.command("doctor", "--json", check=False).stdout)["findings"]
    order = ("ok", "warn", "fail")
    return {finding["subject"]: finding["state"]
            for finding in sorted(findings, key=lambda f: order.index(f["state"]))}


def server_away_at_start(postgres, system, instance, work):
    """Not even the schema is there: it is made, and all rows with it, when the server is back."""
    with case(19, "starts while PostgreSQL is away: roots come, rows follow when it is back"):
        assert instance.stop() == 0, instance.log()[-2000:]
        system.rows("DROP SCHEMA voketag CASCADE")
        postgres.stop()
        for _ in range(2):  # the second start begins with the state that the first has left
            instance.start()
            work.await_roots(work.ask(1500, 1500))
            await_true("it says what it waits for",
                       lambda: "the views wait for PostgreSQL" in instance.log(), 120)
            assert '"message":"ready' not in instance.log()
            assert doctor(system)["postgres"] == "fail"
            began = time.monotonic()
            assert instance.stop() == 0, instance.log()[-2000:]
            print(f"  it stopped within {time.monotonic() - began:.1f} s")
        instance.start()
        asked = work.ask(1500)
        work.await_roots(asked)
        postgres.start().await_ready()
        instance.await_ready()
        work.await_done()
        assert doctor(system)["views"] == "ok"


class Session:
    """A psql of somebody else, fed one statement after another."""

    def __init__(self, url):
        self.process = subprocess.Popen(["psql", url, "-X", "-q", "-A", "-t"], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT)

    def tell(self, sql):
        self.process.stdin.write(sql + ";\n")
        self.process.stdin.flush()

    def ask(self, sql):
        """Returns when it is done."""
        self.tell(sql)
        self.tell("SELECT 'done'")
        while (line := self.process.stdout.readline().strip()) != "done":
            assert line.isdigit(), line

    def close(self):
        self.process.stdin.close()
        self.process.wait(60)


def locked_table(system, instance, work):
    """Longer than the projector's own lock timeout of three seconds."""
    with case(19, "somebody else holds a table"):
        session = Session(system.postgres)
        session.ask("BEGIN; LOCK TABLE voketag.batches")
        asked = work.ask(1500)
        await_true("the projection gives up waiting and says so",
                   lambda: "lock timeout" in instance.log(), 120)
        work.await_roots(asked)
        session.tell("COMMIT")
        session.close()
        work.await_done()


def deadlock(system, instance, work):
    """The other session takes what the projector needs in the opposite order, and is patient: the
    projector's transaction is the one that PostgreSQL sacrifices."""
    with case(19, "a deadlock"):
        session = Session(system.postgres)
        session.ask("SET deadlock_timeout = '300s'; BEGIN; SELECT 1 FROM "
                    "voketag.projection_positions WHERE projection = 'batches' FOR UPDATE")
        work.ask(5)

        def projector_waits():
            return system.count(
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND "
                "application_name LIKE 'voketag.%'") > 0
        await_true("the projector waits for a row of positions", projector_waits, 120)
        session.tell("LOCK TABLE voketag.batches IN ACCESS EXCLUSIVE MODE")
        await_true("the projector was sacrificed",
                   lambda: "deadlock detected" in instance.log(), 120)
        session.tell("COMMIT")
        session.close()
        work.await_done()
        assert instance.running(), instance.log()[-2000:]


def ended_sessions(system, instance, work):
    with case(19, "an administrator ends the projector's sessions"):
        work.ask(1500, 1500, 1500)
        for _ in range(5):
            system.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                        "WHERE application_name LIKE 'voketag.%'")
            time.sleep(0.2)  # how often they are ended
        work.await_done()
        assert instance.running(), instance.log()[-2000:]


def full_disk(postgres, system, instance, work):
    """The rows of products lie on a small disk, which is full: their projection waits, the others
    go on, and so do the processors; with room it follows."""
    disk = postgres.home / "small-disk"
    assert mount_small_disk(disk), "no small tmpfs could be mounted: README.md says what it needs"
    try:
        with case(19, "PostgreSQL's disk is full"):
            tables = [name for (name,) in system.rows(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'voketag' AND "
                "tablename LIKE 'products%'")]
            space, server = disk / "tablespace", postgres.home.stat()
            space.mkdir()
            os.chown(space, server.st_uid, server.st_gid)
            system.rows(f"CREATE TABLESPACE small LOCATION '{space}'")
            move(system, tables, "small")
            filler = disk / "filler"
            fill(filler)
            work.await_roots(work.ask(*[1500] * 4))
            await_true("the projection says so",
                       lambda: "No space left on device" in instance.log(), 120)
            await_true("the other views go on",
                       lambda: work.completed() == len(work.asked), 120, 0.2)
            assert not work.done() and instance.running(), instance.log()[-2000:]
            filler.unlink()
            work.await_done()
            move(system, tables, "pg_default")
            system.rows("DROP TABLESPACE small")
    finally:
        unmount_small_disk(disk)


def move(system, tables, tablespace):
    for table in tables:
        system.rows(f"ALTER TABLE voketag.{table} SET TABLESPACE {tablespace}")


def main():
    postgres = Postgres()
    proxy = PostgresProxy(postgres.port)
    try:
        postgres.create()
        with System("views", postgres=postgres.url()) as system:
            instance = system.start("one", VOKETAG_POSTGRES=system.postgres_at(proxy.port))
            instance.await_ready()
            work = Work(system)
            kill_around_commit(proxy, instance, work)
            cut_around_commit(proxy, instance, work)
            server_away(postgres, instance, work)
            server_away_at_start(postgres, system, instance, work)
            locked_table(system, instance, work)
            deadlock(system, instance, work)
            ended_sessions(system, instance, work)
            full_disk(postgres, system, instance, work)
            assert instance.stop() == 0, instance.log()[-2000:]
            print(work.audit())
    finally:
        proxy.close()
        postgres.remove()


if __name__ == "__main__":
    main()
