"""Cases 4, 17, 18: the state directory is lost, corrupt, from long ago, half written, or full."""

import os
import random
import shutil
import subprocess

from matrix import System, Work, await_true, case, verify_state

from system import BINARY

# A small library that stands between the process and the kernel's write(); CMake builds it.
DISK = os.environ.get("VOKETAG_DISK_FAULTS", "")
MOVED_ASIDE = "the local state was corrupt and has been moved aside"
# Behind checksum, length and type of the first record: with another length it would look like a
# file whose writer was killed, and what follows in it would be ignored.
MANIFEST_DAMAGE_AT = 7


def copy_state(source, target):
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)


def start_again(instance, work):
    instance.start()
    instance.await_ready()
    go_on(instance, work)


def go_on(instance, work):
    """It works; then it is stopped, and its state is what the changelogs say."""
    work.ask(3, 1500)
    await_true("all is done, or damage was read",
               lambda: work.done() or not instance.running(), 180, 0.2)
    if not instance.running():
        start_with_empty_state(instance)
        work.await_done()
    assert instance.stop() == 0, instance.log()[-2000:]
    verify_state(instance)


def start_with_empty_state(instance):
    """Damage that shows only when it is read ends the process with code 3."""
    assert instance.process.returncode == 3, instance.log()[-2000:]
    assert "the state is moved aside then" in instance.log(), instance.log()[-2000:]
    instance.start()
    await_true(MOVED_ASIDE, lambda: MOVED_ASIDE in instance.log(), 60)


def start_damaged(instance, work, found_at_once):
    """Somebody finds the damage: the start, whoever reads it later, or `state verify`."""
    instance.start()
    await_true("it is ready, or has ended", lambda: not instance.running() or
               '"message":"ready' in instance.log(), 90)
    if found_at_once:
        assert MOVED_ASIDE in instance.log(), instance.log()[-2000:]
    elif MOVED_ASIDE not in instance.log():
        if instance.running() and instance.stop() == 0:
            rebuild_if_damaged(instance)
            instance.start()
        else:
            start_with_empty_state(instance)
    instance.await_ready()
    go_on(instance, work)


def rebuild_if_damaged(instance):
    done = subprocess.run([BINARY, "state", "verify"], env=instance.environment, text=True,
                          capture_output=True, timeout=300)
    if done.returncode != 0:
        said = done.stdout + done.stderr
        assert "orrupt" in said and "state rebuild --yes" in said, said[-2000:]
        subprocess.run([BINARY, "state", "rebuild", "--yes"], env=instance.environment, check=True,
                       capture_output=True, timeout=120)


def lost(instance, work):
    with case(17, "the state directory is gone"):
        work.ask(*[500] * 6)
        instance.kill()
        shutil.rmtree(instance.state)
        start_again(instance, work)


def stale(system, instance, work):
    copy = system.directory / "copy"
    with case(17, "the state directory is a copy from earlier"):
        instance.kill()
        copy_state(instance.state, copy)
        start_again(instance, work)
        instance.start()
        instance.await_ready()
        work.ask(*[500] * 6)
        instance.kill()
        copy_state(copy, instance.state)
        start_again(instance, work)


def damage(path, dice):
    at = dice.randrange(max(1, path.stat().st_size - 64))
    with open(path, "r+b") as file:
        file.seek(MANIFEST_DAMAGE_AT if path.name.startswith("MANIFEST-") else at)
        file.write(dice.randbytes(64))


def corrupt(instance, work, dice):
    """After a clean stop the tables are on disk, and no log hides what is wrong with them."""
    for pattern in ("MANIFEST-*", "CURRENT", "*.sst", "*.log"):
        with case(17, f"{pattern} is corrupt"):
            instance.start()
            instance.await_ready()
            work.ask(*[500] * 4)
            if pattern.endswith(".log"):
                instance.kill()
            else:
                assert instance.stop() == 0, instance.log()[-2000:]
            files = [path for path in sorted((instance.state / "rocksdb").glob(pattern))
                     if path.stat().st_size > 0]
            for path in files:
                damage(path, dice)
            assert files, f"there is no {pattern}"
            start_damaged(instance, work, found_at_once=not pattern.endswith((".sst", ".log")))


def torn_write(system, instance, work, dice):
    """kill -9 in the middle of a write to RocksDB's log: half of it is on disk. That is no damage:
    the state rolls forward from what was whole."""
    with case(4, "kill -9 in the middle of writing the state"):
        # Nothing of what earlier cases have broken, or mended, has a part in it.
        shutil.rmtree(instance.state)
        start_again(instance, work)
        for _ in range(3):
            instance.environment |= {"LD_PRELOAD": DISK, "DISK_FAULTS_TEAR_WRITE":
                                     str(dice.randrange(20, 60))}
            instance.start()
            work.ask(*[200] * 6)
            await_true("it dies in the middle of a write", lambda: not instance.running(), 60)
            assert instance.process.returncode == -9, instance.process.returncode
            del instance.environment["DISK_FAULTS_TEAR_WRITE"]
            start_again(instance, work)
            for word in (MOVED_ASIDE, "is rebuilt"):
                assert word not in instance.log(), instance.log()[-2000:]


def full(system, instance, work):
    """Nothing that the state lacks is committed wrongly; it stops and says so, and with room it
    goes on where Kafka says it was."""
    flag = system.directory / "disk-is-full"
    for code, name in (("28", "full"), ("5", "failing (EIO)")):
        with case(18, f"the disk of the state is {name}"):
            instance.environment |= {"LD_PRELOAD": DISK, "DISK_FAULTS_FLAG": str(flag)}
            instance.start()
            instance.await_ready()
            flag.write_text(code)
            work.ask(*[200] * 12)
            await_true("it stops", lambda: not instance.running(), 60)
            assert instance.process.returncode in (1, 3), instance.process.returncode
            said = instance.log().lower()
            wanted = "no space left" if code == "28" else "input/output error"
            assert wanted in said, instance.log()[-2000:]
            flag.unlink()
            start_again(instance, work)


def main():
    seed = int(os.environ.get("VOKETAG_TEST_SEED", random.randrange(1 << 32)))
    print(f"VOKETAG_TEST_SEED={seed}")
    dice = random.Random(seed)
    assert os.path.exists(DISK), "VOKETAG_DISK_FAULTS must name the library disk_faults"
    with System("state") as system:
        instance = system.start("one").await_ready()
        work = Work(system)
        lost(instance, work)
        stale(system, instance, work)
        corrupt(instance, work, dice)
        torn_write(system, instance, work, dice)
        full(system, instance, work)
        print(work.audit())


if __name__ == "__main__":
    main()
