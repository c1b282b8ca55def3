import gc
import hashlib
import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from weights_server import WAIT_S, serve

from das_ag.errors import UserError
from das_ag.models import download as module
from das_ag.models.download import DownloadStopped, download

CONTENT = random.Random(0).randbytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serve(CONTENT) as server:
        yield server


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cache" / "models" / "weights.pt"


def part_of(path):
    return path.with_name("weights.pt.part")


def get(server, path, sha256=SHA256):
    download(server.url, path, sha256=sha256, what="Some weights", remedy="point SOME_PATH to a copy")


def assert_no_connection_is_open():
    gc.collect()  # pytest makes an error of the warning that a forgotten one gives


def message_of(server, path, **options):
    """The error's message, which must be one line."""
    with pytest.raises(UserError) as caught:
        get(server, path, **options)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def test_the_whole_file_arrives(server, path):
    get(server, path)
    assert path.read_bytes() == CONTENT
    assert not part_of(path).exists()
    assert server.ranges == [None]


@pytest.mark.parametrize("size", [0, 1, 100_000, 100_001])
def test_every_size_arrives_whatever_the_chunks(server, path, monkeypatch, size):
    monkeypatch.setattr(module, "CHUNK_BYTES", 10_000)
    server.content = CONTENT[:size]
    get(server, path, sha256=hashlib.sha256(CONTENT[:size]).hexdigest())
    assert path.read_bytes() == CONTENT[:size]


def test_without_a_checksum_any_content_will_do(server, path):
    server.content = b"anything"
    get(server, path, sha256=None)
    assert path.read_bytes() == b"anything"


def test_a_file_that_is_there_is_not_asked_for(server, path):
    path.parent.mkdir(parents=True)
    path.write_bytes(b"here already")
    get(server, path)
    assert path.read_bytes() == b"here already"
    assert server.ranges == []


def test_a_download_goes_on_where_it_broke_off(server, path):
    server.breaks = [100_000, 50_000]
    for have in (100_000, 150_000):
        assert f"(“ConnectionError: received only {have} of 300000 bytes”); connect to" in message_of(server, path)
        assert part_of(path).read_bytes() == CONTENT[:have]
        assert not path.exists()
    get(server, path)
    assert path.read_bytes() == CONTENT
    assert not part_of(path).exists()
    assert server.ranges == [None, "bytes=100000-", "bytes=150000-"]
    assert server.sent == len(CONTENT)


def test_progress_is_reported_and_a_stop_keeps_what_has_arrived(server, path):
    reports = []

    def stop(received, total):
        reports.append((received, total))
        raise DownloadStopped

    options = {"sha256": SHA256, "what": "Some weights", "remedy": "point SOME_PATH to a copy"}
    with pytest.raises(DownloadStopped):
        download(server.url, path, report=stop, **options)
    ((have, total),) = reports
    assert total == len(CONTENT)
    assert part_of(path).read_bytes() == CONTENT[:have]
    assert not path.exists()
    download(server.url, path, report=lambda *report: reports.append(report), **options)
    assert reports[-1] == (len(CONTENT), len(CONTENT))
    assert server.ranges == [None, f"bytes={have}-"]
    assert path.read_bytes() == CONTENT


def test_offline_nothing_is_asked_for(server, path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert message_of(server, path) == (
        f"Some weights: cannot download {server.url}, since HF_HUB_OFFLINE is set; unset it, or point SOME_PATH to a "
        "copy."
    )
    assert server.ranges == []


def test_a_break_before_the_first_byte(server, path):
    server.breaks = [0]
    assert "received only 0 of 300000 bytes" in message_of(server, path)
    get(server, path)
    assert path.read_bytes() == CONTENT


def test_a_server_that_cannot_resume_sends_everything_again(server, path):
    server.breaks, server.resumes = [100_000], False
    message_of(server, path)
    get(server, path)
    assert path.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=100000-"]
    assert server.sent == 100_000 + len(CONTENT)


def test_a_break_after_starting_over_keeps_only_the_new_bytes(server, path):
    server.breaks, server.resumes = [100_000, 20_000], False
    message_of(server, path)
    assert "received only 20000 of 300000 bytes" in message_of(server, path)
    assert part_of(path).read_bytes() == CONTENT[:20_000]


def test_a_redirection_is_followed_when_resuming_too(server, path):
    server.url, server.breaks = server.url.replace("/file", "/elsewhere"), [100_000]
    message_of(server, path)
    get(server, path)
    assert path.read_bytes() == CONTENT
    assert server.ranges == [None, None, "bytes=100000-", "bytes=100000-"]
    assert server.sent == len(CONTENT)


def test_a_complete_part_becomes_the_file(server, path):
    """As a process leaves it that was killed before it could rename the file; the server answers 416."""
    path.parent.mkdir(parents=True)
    part_of(path).write_bytes(CONTENT)
    get(server, path)
    assert path.read_bytes() == CONTENT
    assert not part_of(path).exists()
    assert server.ranges == ["bytes=300000-"]
    assert server.sent == 0
    assert_no_connection_is_open()


@pytest.mark.parametrize("size", [100_000, 300_000, 400_000], ids=["shorter", "as long", "longer"])
def test_the_part_of_another_file_is_thrown_away(server, path, size):
    path.parent.mkdir(parents=True)
    part_of(path).write_bytes(bytes(size))
    assert f"expected SHA-256 {SHA256[:16]}…" in message_of(server, path)
    assert not part_of(path).exists()
    get(server, path)
    assert path.read_bytes() == CONTENT


def test_another_file_than_expected(server, path):
    server.content = b"an error page"
    got = hashlib.sha256(b"an error page").hexdigest()
    assert message_of(server, path) == (
        f"Some weights: expected SHA-256 {SHA256[:16]}… from {server.url}, got {got[:16]}…; try again, or point "
        "SOME_PATH to a copy."
    )
    assert not path.exists()
    assert not part_of(path).exists()


@pytest.mark.parametrize(("status", "reason"), [(404, "Not Found"), (500, "Internal Server Error")])
def test_a_refusal(server, path, status, reason):
    server.status = status
    assert message_of(server, path) == (
        f"Some weights: cannot download {server.url} to {path} (“{status} {reason}”); try later, or point "
        "SOME_PATH to a copy."
    )
    assert not path.exists()
    assert_no_connection_is_open()


def test_a_refusal_leaves_the_part(server, path):
    server.breaks = [100_000]
    message_of(server, path)
    server.status = 500
    message_of(server, path)
    server.status = 200
    get(server, path)
    assert path.read_bytes() == CONTENT
    assert server.sent == len(CONTENT)


def test_no_connection(server, path):
    server.shutdown()
    server.server_close()
    message = message_of(server, path)
    assert message.startswith(f"Some weights: cannot download {server.url} to {path} (“")
    assert "refused" in message
    assert message.endswith("”); connect to the network, or point SOME_PATH to a copy.")
    assert not path.exists()


def test_a_server_that_falls_silent(server, path, monkeypatch):
    monkeypatch.setattr(module, "TIMEOUT_S", 0.2)
    server.go_on.clear()
    assert "timed out" in message_of(server, path)
    assert not path.exists()


@pytest.mark.parametrize("occupied", ["cache", "cache/models"])
def test_a_file_where_the_folder_should_be(server, path, tmp_path, occupied):
    (tmp_path / occupied).parent.mkdir(exist_ok=True)
    (tmp_path / occupied).write_bytes(b"mine")
    message = message_of(server, path)
    assert message.startswith(f"Some weights: cannot write {path} (“")
    assert "or point SOME_PATH to a copy." in message
    assert (tmp_path / occupied).read_bytes() == b"mine"
    assert server.ranges == []


def test_nothing_is_at_the_final_path_before_all_is_there(server, path, monkeypatch):
    monkeypatch.setattr(module, "CHUNK_BYTES", 10_000)
    server.go_on.clear()
    with ThreadPoolExecutor() as pool:
        downloading = pool.submit(get, server, path)
        try:
            assert server.half_sent.wait(WAIT_S)
            until = time.monotonic() + WAIT_S
            while not (part_of(path).is_file() and part_of(path).stat().st_size) and time.monotonic() < until:
                time.sleep(0.01)
            assert part_of(path).stat().st_size > 0
            assert not path.exists()
        finally:
            server.go_on.set()
        downloading.result(WAIT_S)
    assert path.read_bytes() == CONTENT
    assert not part_of(path).exists()


def test_of_several_at_once_one_downloads(server, path):
    server.go_on.clear()
    with ThreadPoolExecutor(3) as pool:
        downloading = [pool.submit(get, server, path) for _ in range(3)]
        assert server.half_sent.wait(WAIT_S)
        time.sleep(0.2)  # time for the others to ask, if they did
        server.go_on.set()
        for one in downloading:
            one.result(WAIT_S)
    assert path.read_bytes() == CONTENT
    assert server.ranges == [None]


def test_another_process_is_waited_for(server, path):
    path.parent.mkdir(parents=True)
    other = (
        "import pathlib, sys, filelock\n"
        "path = pathlib.Path(sys.argv[1])\n"
        "with filelock.FileLock(path.with_name(path.name + '.lock')):\n"
        "    print('locked', flush=True)\n"
        "    sys.stdin.readline()\n"
        "    path.write_bytes(b'from the other process')\n"
    )
    with (
        ThreadPoolExecutor() as pool,
        subprocess.Popen(
            [sys.executable, "-c", other, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process,
    ):
        assert process.stdout.readline() == "locked\n"
        downloading = pool.submit(get, server, path)
        time.sleep(0.2)
        assert not downloading.done()
        process.communicate("go on\n", timeout=WAIT_S)
        downloading.result(WAIT_S)
    assert path.read_bytes() == b"from the other process"
    assert server.ranges == []
