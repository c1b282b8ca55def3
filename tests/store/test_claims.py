"""Claims on pieces of work, among threads and among processes that live and die."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import filelock
import pytest

from das_ag.store import claims as claims_module
from das_ag.store.atomic import StoreError
from das_ag.store.claims import LEASE_S, TRIES_S, Claims

HOLDER = """
import sys
from pathlib import Path
from das_ag.store.claims import Claims

with Claims(Path(sys.argv[1])).claim("work") as is_mine:
    print(is_mine, flush=True)
    sys.stdin.read()
"""
"""A process that tries to claim, says whether it could, and ends when its input is closed."""


@pytest.fixture
def claims(tmp_path):
    return Claims(tmp_path / "claims")


@pytest.fixture
def start_holder(claims):
    """Starts another process that asks for the claim; gives it and whether it got it."""
    started = []

    def start():
        command = [sys.executable, "-c", HOLDER, str(claims.folder)]
        started.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        return started[-1], started[-1].stdout.readline().strip() == "True"

    yield start
    for process in started:
        process.kill()
        process.communicate()


def try_to_claim(claims, name="work"):
    with claims.claim(name) as is_mine:
        return is_mine


def comes_free(claims, name="work"):
    """Whether the claim is had long before its lease ends, in as many tries as a machine that stalls may need."""
    return eventually(lambda: try_to_claim(claims, name))


def eventually(condition):
    ends = time.monotonic() + LEASE_S / 4
    while not (came := condition()) and time.monotonic() < ends:
        time.sleep(0.01)
    return came


def names_in(claims):
    return sorted(path.name for path in claims.folder.iterdir())


def make_older(claims, seconds, name="work"):
    then = time.time() - seconds
    os.utime(claims.folder / f"{name}.claim", (then, then))


def test_one_process_holds_a_claim_until_it_ends_or_dies(claims, start_holder):
    holder, got = start_holder()
    assert got
    assert not try_to_claim(claims)
    assert try_to_claim(claims, "other work")
    assert not start_holder()[1]
    holder.communicate(timeout=60)  # closes its input: it leaves the block
    assert names_in(claims) == []
    with claims.claim("work") as is_mine:
        assert is_mine
        assert not start_holder()[1]
    holder, got = start_holder()
    assert got
    holder.kill()
    holder.wait(timeout=60)
    assert names_in(claims) == ["work.claim"]
    assert comes_free(claims)  # by its death and not by its age
    assert names_in(claims) == []


def test_a_process_may_claim_again_what_it_gave_back(claims):
    assert [try_to_claim(claims) for _ in range(3)] == [True, True, True]


def test_within_a_process_too_only_one_holds_a_claim(claims):
    with claims.claim("work") as is_mine:
        assert is_mine
        assert not try_to_claim(Claims(claims.folder))
        assert names_in(claims) == ["work.claim"]  # the loser leaves the winner's file alone
    assert names_in(claims) == []


def test_a_claim_that_is_not_renewed_is_free_after_its_lease(claims):
    with claims.claim("work"):
        make_older(claims, 0.7 * LEASE_S)
        assert not try_to_claim(claims)
        make_older(claims, 1.1 * LEASE_S)
        assert comes_free(claims)


def test_who_lost_its_claim_does_not_give_back_that_of_another(claims, monkeypatch):
    with claims.claim("work"):
        make_older(claims, 2 * LEASE_S)
        second = claims.claim("work")
        with monkeypatch.context() as patch:
            patch.setattr(claims_module, "TRIES_S", LEASE_S / 4)  # for a machine that stalls
            assert second.__enter__()
        taken = (claims.folder / "work.claim").read_bytes()
    assert (claims.folder / "work.claim").read_bytes() == taken
    assert not try_to_claim(claims)
    second.__exit__(None, None, None)
    assert names_in(claims) == []


def test_a_claim_is_renewed_while_its_owner_works(claims, monkeypatch):
    """Again and again; nobody else asks, who might find so short a lease over where the machine stalls."""
    monkeypatch.setattr(claims_module, "LEASE_S", 0.6)
    with claims.claim("work"):
        for _ in range(2):
            make_older(claims, LEASE_S)
            old = (claims.folder / "work.claim").stat().st_mtime
            assert eventually(lambda old=old: (claims.folder / "work.claim").stat().st_mtime > old + LEASE_S / 2)


def test_what_is_no_claim_but_lies_there_does_not_last(claims):
    """Whoever died between making the file and writing into it has left it empty."""
    claims.folder.mkdir()
    (claims.folder / "work.claim").touch()
    make_older(claims, -LEASE_S)  # new, however long this machine takes to look
    assert not try_to_claim(claims)  # it may just be being written
    make_older(claims, 10)
    assert comes_free(claims)
    assert names_in(claims) == []


def test_waiting_lasts_until_the_claim_is_free(claims):
    order, is_waiting = [], threading.Event()

    def wait():
        is_waiting.set()
        with claims.claim("work", wait=True) as is_mine:
            order.append(("second", is_mine))

    with claims.claim("work", wait=True) as is_mine:
        assert is_mine
        thread = threading.Thread(target=wait, daemon=True)
        thread.start()
        is_waiting.wait()
        time.sleep(3 * TRIES_S)  # longer than a claim that does not wait
        order.append(("first", True))
    thread.join(timeout=60)
    assert order == [("first", True), ("second", True)]
    assert names_in(claims) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_a_claim_is_given_back_whatever_happens(claims, error):
    with pytest.raises(error), claims.claim("work"):
        raise error
    assert names_in(claims) == []
    assert try_to_claim(claims)


def test_a_folder_that_cannot_be_written_to_is_told(claims):
    claims.folder.write_bytes(b"no folder")
    with pytest.raises(StoreError) as told:
        try_to_claim(claims)
    assert str(told.value) == (
        f"{claims.folder}: cannot write here (“File exists”); choose another folder with name=, or fix its "
        "permissions. Finished samples are kept."
    )


def test_a_full_disk_is_told_and_leaves_no_claim(claims, monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(filelock.SoftFileLease, "_write_lock_info", fail)
        with pytest.raises(StoreError, match=r"\(“No space left on device”\); free some space"):
            try_to_claim(claims)
    assert names_in(claims) == []
    assert try_to_claim(claims)


def test_the_claim_of_a_dead_process_is_forgotten_and_that_of_a_living_one_stays(claims, start_holder):
    claims.forget("work")
    assert not claims.folder.exists()  # where nobody ever claimed anything
    holder, _ = start_holder()
    claims.forget("work")
    assert names_in(claims) == ["work.claim"]
    holder.kill()
    holder.wait(timeout=60)
    claims.forget("other work")
    assert names_in(claims) == ["work.claim"]
    assert eventually(lambda: claims.forget("work") or names_in(claims) == [])


def test_of_many_claimers_each_piece_of_work_is_done_by_one(claims, monkeypatch):
    monkeypatch.setattr(claims_module, "TRIES_S", 0.0)  # one look, so that they do meet
    pieces = [f"piece{number}" for number in range(25)]
    inside, done, refused = Counter(), Counter(), Counter()
    all_are_ready, ends = threading.Barrier(4), time.monotonic() + 120

    def work_off(worker):
        waiting = pieces.copy()
        random.Random(worker // 2).shuffle(waiting)  # two and two go the same way
        all_are_ready.wait()
        while waiting:
            assert time.monotonic() < ends
            for name in list(waiting):
                with Claims(claims.folder).claim(name) as is_mine:
                    if not is_mine:
                        refused[name] += 1
                        continue
                    inside[name] += 1
                    if not done[name]:
                        while not refused and time.monotonic() < ends:  # one of the others wants the same
                            time.sleep(0.001)
                        time.sleep(0.001)
                        assert inside[name] == 1
                        done[name] += 1
                    inside[name] -= 1
                    waiting.remove(name)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work_off, range(4)))
    assert done == dict.fromkeys(pieces, 1)
    assert names_in(claims) == []
