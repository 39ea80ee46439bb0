"""A replay that cannot be: a clear error and its cure, the live view untouched, nothing emitted."""

import json
import pathlib
import subprocess

from system import KAFKA, System, await_true, new_batch

LIBRARIES = pathlib.Path(__file__).resolve().parents[2] / ".dev" / "kafka" / "libs"
PRODUCTS = 3000


def replay(system, *arguments):
    """Exit code, and what the JSON says."""
    done = system.command("replay", "--json", *arguments, check=False)
    lines = done.stdout.splitlines()
    return done.returncode, json.loads(lines[-1]) if lines else {"message": done.stderr}


def refused(system, what, code, *arguments):
    exit_code, result = replay(system, *arguments)
    message = result.get("message") or result.get("why")
    assert exit_code == code and what in message, (exit_code, result)
    print(f"replay {' '.join(arguments)}: {message}")
    return result


def fingerprint(system):
    """All that a replay must not change when it fails: tables, rows, positions."""
    return [
        system.rows("SELECT relname, oid FROM pg_class WHERE relnamespace = "
                    "'voketag'::regnamespace AND relkind IN ('r', 'i') ORDER BY 1"),
        system.rows("SELECT count(*), sum(hash_record_extended(p, 0)) FROM voketag.products p"),
        system.rows("SELECT projection, generation, topic, partition, next_offset "
                    "FROM voketag.projection_positions ORDER BY 1, 2, 3, 4"),
    ]


def records_in_all_topics(system):
    listed = json.loads(subprocess.run(["kcat", "-L", "-J", "-b", KAFKA], check=True, text=True,
                                       capture_output=True, timeout=60).stdout)
    arguments = [f"{topic['topic']}:{partition['partition']}:-1" for topic in listed["topics"]
                 if topic["topic"].startswith(system.prefix) for partition in topic["partitions"]]
    done = subprocess.run(["kcat", "-Q", "-b", KAFKA] + [a for x in arguments for a in ("-t", x)],
                          check=True, text=True, capture_output=True, timeout=60)
    return sorted(done.stdout.splitlines())


def check_usage(system):
    refused(system, "there is no view 'prodcts'; did you mean products? The views are: batches,", 2,
            "--view", "prodcts")
    refused(system, "which view? --view NAME. The views are:", 2)
    refused(system, "is no place to begin: beginning, available, offset:N or time:RFC3339", 2,
            "--view", "products", "--from", "yesterday")
    refused(system, "no replay of products is unfinished", 1, "--view", "products", "--resume")
    refused(system, "no replay of products is unfinished", 1, "--view", "products", "--pause")


def check_dry_run(system):
    before = fingerprint(system), system.rows("SELECT * FROM voketag.projection_generations")
    code, result = replay(system, "--view", "products", "--dry-run")
    # That one of them is doubled, only the database would find.
    assert code == 0 and result["rows"] == {"products": PRODUCTS + 2}, result
    assert result["estimated_ms"] > 0 and result["live_bytes"] > 0, result
    assert result["reject_count"] == 1 and result["rejects"][0]["reason"] == "invalid", result
    assert (fingerprint(system),
            system.rows("SELECT * FROM voketag.projection_generations")) == before


def check_rejects(system):
    """What the live projector sent to the dead letters, a replay lists and sends nowhere."""
    letters = len(system.consume("dead-letters"))
    before = records_in_all_topics(system)
    code, result = replay(system, "--view", "products")
    assert code == 0 and result["result"] == "swapped", result
    assert result["comparison"][0]["equal"], result
    assert result["reject_count"] == 2, result
    by_place = {"topic" in reject: reject for reject in result["rejects"]}
    assert by_place[True]["topic"] == "tokens-generated", result
    assert "a row with this key came before" in by_place[False]["detail"], result
    assert records_in_all_topics(system) == before, "a replay wrote to a topic"
    assert len(system.consume("dead-letters")) == letters
    print(f"{result['reject_count']} refused, listed, and emitted nowhere")


def check_dependents(system):
    system.rows("CREATE VIEW public.mine AS SELECT count(*) FROM voketag.products")
    refused(system, "these depend on the view's table and would go on reading the old", 1, "--view",
            "products")
    code, result = replay(system, "--view", "products", "--dry-run")
    assert code == 0 and "rule _RETURN on view mine" in result["obstacle"], result
    system.rows("DROP VIEW public.mine")


def check_rights_and_indexes(system):
    """Rights and indexes that somebody gave the live table are those of the new one."""
    system.rows("DO $$ BEGIN CREATE ROLE replay_reader; EXCEPTION WHEN duplicate_object THEN NULL; "
                "END $$; GRANT SELECT ON voketag.products TO replay_reader; "
                "CREATE INDEX mine ON voketag.products (batch_id, serial DESC)")
    described = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'voketag' ORDER BY 1"
    options = "SELECT relname, relacl, reloptions FROM pg_class WHERE relname = 'products'"
    before = system.rows(described), system.rows(options)
    code, result = replay(system, "--view", "products")
    assert code == 0 and result["result"] == "swapped", result
    assert (system.rows(described), system.rows(options)) == before
    system.rows("DROP INDEX voketag.mine; REVOKE ALL ON voketag.products FROM replay_reader")


def check_differences(system):
    """Somebody wrote into the live view: the swap is refused, until it is said that it is right."""
    system.rows("UPDATE voketag.products SET status = 'recalled' WHERE serial = 7; "
                "DELETE FROM voketag.products WHERE serial = 8")
    result = refused(system, "the generations differ", 1, "--view", "products")
    table = result["comparison"][0]
    assert (table["only_live"], table["only_new"], table["different"]) == (0, 1, 1), table
    assert len(table["examples"]) == 2
    code, result = replay(system, "--view", "products", "--resume", "--accept-differences")
    assert code == 0 and result["result"] == "swapped", result
    assert system.count("SELECT count(*) FROM voketag.products WHERE status = 'active'") == (
        PRODUCTS + 1)


def check_partial(system):
    result = refused(system, "has no rows of records before", 1, "--view", "products", "--from",
                     "offset:1")
    table = result["comparison"][0]
    assert result["partial"] and not table["equal"], result
    assert table["only_live"] > 0 and table["only_new"] == 0 and table["different"] == 0, table
    system.command("replay", "--view", "products", "--abort")
    # A few older records come along: where there are few, all.
    exit_code, result = replay(system, "--view", "products", "--from", "time:2100-01-01T00:00:00Z",
                               "--no-swap")
    assert exit_code == 0 and not result["partial"], result
    system.command("replay", "--view", "products", "--abort")


def check_kept(system):
    """The old generation stays where that is asked for; one that a dead process left goes."""
    def tables():
        return [row[0] for row in system.rows(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname LIKE 'products%' "
            "ORDER BY 1")]
    live = system.count("SELECT voketag.live_generation('products')")
    code, result = replay(system, "--view", "products", "--keep-old")
    assert code == 0 and tables() == ["products", f"products_g{live}"], (result, tables())
    assert system.count(f"SELECT count(*) FROM voketag.products_g{live}") == PRODUCTS + 1
    code, status = replay(system, "--view", "products", "--status")
    assert status["kept"] == [live] and status["live_generation"] > live, status
    system.command("replay", "--view", "products", "--drop-old")
    assert tables() == ["products"]
    # As after kill -9 between the swap and the drop.
    replay(system, "--view", "products", "--keep-old")
    system.rows("UPDATE voketag.projection_generations SET is_kept = false")
    assert len(tables()) == 2
    code, result = replay(system, "--view", "products")
    assert code == 0 and tables() == ["products"], (result, tables())


def check_full_disk(system):
    """The server says what it says on a full disk, at the first index that is made."""
    system.rows("CREATE FUNCTION public.full_disk() RETURNS event_trigger LANGUAGE plpgsql AS $$ "
                "BEGIN IF current_query() LIKE '%ADD CONSTRAINT%' THEN RAISE EXCEPTION 'could not "
                "extend file \"base/1/2\": No space left on device' USING ERRCODE = '53100'; "
                "END IF; END $$; CREATE EVENT TRIGGER full_disk ON "
                "ddl_command_start WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION public.full_disk()")
    before = fingerprint(system)
    refused(system, "The disk of PostgreSQL is full: the new generation is dropped", 1, "--view",
            "products")
    system.rows("DROP EVENT TRIGGER full_disk")
    assert fingerprint(system) == before


def check_retention(system):
    """The first records of a topic are deleted: there is no rebuilding from them."""
    topic = system.prefix + "tokens-generated"
    lost = next(r for r in system.consume("tokens-generated")
                if r["offset"] == 0 and '"tokens"' in r["value"])
    partition = lost["partition"]
    request = system.directory / "delete.json"
    request.write_text(json.dumps({"version": 1, "partitions": [
        {"topic": topic, "partition": partition, "offset": 1}]}))
    subprocess.run(["java", "-cp", f"{LIBRARIES}/*", "org.apache.kafka.tools.DeleteRecordsCommand",
                    "--bootstrap-server", KAFKA, "--offset-json-file", str(request)],
                   check=True, capture_output=True, timeout=120)
    before = fingerprint(system)
    result = refused(system, "begins at offset 1: earlier records were deleted", 1, "--view",
                     "products")
    assert "--from available" in result["message"], result
    refused(system, "begins at offset 1: earlier records were deleted", 1, "--view", "products",
            "--from", "time:2020-01-01T00:00:00Z")
    assert fingerprint(system) == before
    # Of the other partitions all is left, so no rows are missing but those of one record (a later
    # one may have brought the first of them again).
    count = json.loads(lost["value"])["count"]
    table = refused(system, "has no rows of records before", 1, "--view", "products", "--from",
                    "available")["comparison"][0]
    assert table["only_live"] in (count, count - 1), table
    assert table["only_new"] == table["different"] == 0, table
    system.command("replay", "--view", "products", "--abort")
    exit_code, result = replay(system, "--view", "products", "--from", "offset:1", "--no-swap")
    assert exit_code == 1 and result["partial"], result
    system.command("replay", "--view", "products", "--abort")


def prepare(system):
    """Products; one record that is none; and a second record with a product that is there."""
    batch = new_batch(PRODUCTS)
    system.produce("batch-requested", [(batch["batch_id"], json.dumps(batch))])
    await_true("all have their rows", lambda: system.count(
        "SELECT count(*) FROM voketag.products") == PRODUCTS, 60)
    chunk = json.loads(system.consume("tokens-generated")[0]["value"])
    doubled = chunk | {"chunk_index": 77, "count": 1, "tokens": chunk["tokens"][:1]}
    system.produce("tokens-generated", [("foreign", "{}"), ("foreign", json.dumps(doubled))])
    await_true("both are refused", lambda: len(system.consume("dead-letters")) == 2, 30)
    one_more = new_batch(1)
    system.produce("batch-requested", [(one_more["batch_id"], json.dumps(one_more))])
    await_true("the last has its row", lambda: system.count(
        "SELECT count(*) FROM voketag.products") == PRODUCTS + 1, 60)


def main():
    with System("replay-bad") as system:
        instance = system.start()
        instance.await_ready()
        prepare(system)
        # Positions of partitions where nothing comes are written now and then: not meanwhile.
        assert instance.stop() == 0
        check_usage(system)
        check_dry_run(system)
        check_rejects(system)
        check_dependents(system)
        check_rights_and_indexes(system)
        check_differences(system)
        check_partial(system)
        check_kept(system)
        check_full_disk(system)
        check_retention(system)
        print("every refusal was clear, and left the live view as it was")


if __name__ == "__main__":
    main()
