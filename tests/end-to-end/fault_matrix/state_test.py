"""Cases 4, 17, 18: the state directory is lost, corrupt, from long ago, half written, or full."""

import os
import random
import shutil

from matrix import System, Work, await_true, case

# A small library that stands between the process and the kernel's write(); CMake builds it.
DISK = os.environ.get("VOKETAG_DISK_FAULTS", "")


def copy_state(source, target):
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)


def start_again(instance, work, patient=False):
    """`patient`: damage may show only when it is read; then the process ends with code 3, and the
    next start begins with an empty state."""
    instance.start()
    if patient:
        await_true("it is ready, or has ended", lambda: not instance.running() or
                   '"message":"ready' in instance.log(), 90)
        if not instance.running():
            assert instance.process.returncode == 3, instance.log()[-2000:]
            assert "the state is moved aside then" in instance.log(), instance.log()[-2000:]
            instance.start()
            anew = "the local state was corrupt and has been moved aside"
            await_true(anew, lambda: anew in instance.log(), 60)
    instance.await_ready()
    work.ask(3, 1500)
    work.await_done()


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
        work.ask(*[500] * 6)
        instance.kill()
        copy_state(copy, instance.state)
        start_again(instance, work)


def damage(path, dice):
    with open(path, "r+b") as file:
        file.seek(dice.randrange(max(1, path.stat().st_size - 64)))
        file.write(dice.randbytes(64))


def corrupt(instance, work, dice):
    """A clean stop first: the tables are on disk, and no log hides what is wrong with them."""
    for pattern in ("**/MANIFEST-*", "**/CURRENT", "**/*.sst", "**/*.log"):
        with case(17, f"{pattern} is corrupt"):
            if pattern.endswith(".log"):
                work.ask(*[500] * 4)
                instance.kill()
            else:
                assert instance.stop() == 0, instance.log()[-2000:]
            files = [path for path in sorted(instance.state.glob(pattern))
                     if path.stat().st_size > 0]
            for path in files:
                damage(path, dice)
            assert files, f"there is no {pattern}"
            start_again(instance, work, patient=True)


def torn_write(system, instance, work, dice):
    """kill -9 in the middle of a write to RocksDB's log: half of it is on disk."""
    with case(4, "kill -9 in the middle of writing the state"):
        for _ in range(3):
            instance.kill()
            instance.environment |= {"LD_PRELOAD": DISK, "DISK_FAULTS_TEAR_WRITE":
                                     str(dice.randrange(20, 60))}
            instance.start()
            work.ask(*[200] * 6)
            await_true("it dies in the middle of a write", lambda: not instance.running(), 60)
            assert instance.process.returncode == -9, instance.process.returncode
            del instance.environment["DISK_FAULTS_TEAR_WRITE"]
            start_again(instance, work)


def full(system, instance, work):
    """Nothing that the state lacks is committed wrongly; it stops and says so, and with room it
    goes on where Kafka says it was."""
    flag = system.directory / "disk-is-full"
    for code, name in (("28", "full"), ("5", "failing (EIO)")):
        with case(18, f"the disk of the state is {name}"):
            instance.kill()
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
        assert instance.stop() == 0, instance.log()[-2000:]
        print(work.audit())


if __name__ == "__main__":
    main()
