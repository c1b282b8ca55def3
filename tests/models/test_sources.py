import dataclasses
import functools
import hashlib
import json
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest

from das_ag.errors import UserError, missing_extra
from das_ag.models import files
from das_ag.models.files import fetch_all, size_of
from das_ag.models.sources import SIGLIP, clip_file, clip_package, head_file, known_clips, siglip_folder, v2_5_file

laion_file = functools.partial(head_file, "ViT-L/14")
OFFLINE = "Cannot reach the hub."
FILES = {
    "CLIP_MODEL_PATH": lambda path: clip_file("ViT-L/14", path),
    "AESTHETIC_PREDICTOR_PATH": laion_file,
    "AESTHETIC_PREDICTOR_V2_5_PATH": v2_5_file,
}
"""The files of weights by the variable that may hold a path to one."""
EACH_FILE = pytest.mark.parametrize("variable", FILES)


def forbidden(*arguments, **options):
    raise AssertionError(f"tried to download: {arguments} {options}")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """An empty home, nothing in the hub's cache, and no network."""
    import huggingface_hub.constants

    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(files, "download", forbidden)
    return home


@pytest.fixture
def no_hub(monkeypatch):
    """Makes any question to the hub or its cache an error."""
    monkeypatch.setattr("huggingface_hub.snapshot_download", forbidden)


def write(path, content=b"weights"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def cached_siglip(tmp_path, *names):
    """The hub's cache as a finished download leaves it; files link to blobs."""
    repository = tmp_path / "hub" / "models--google--siglip-so400m-patch14-384"
    commit = "9fdffc58afc957d1a03a25b10dba0329ab15c2a3"
    snapshot = repository / "snapshots" / commit
    snapshot.mkdir(parents=True)
    write(repository / "refs" / "main", commit.encode())
    for name in names:
        blob = repository / "blobs" / write(repository / "blobs" / "new", name.encode())
        (repository / "blobs" / "new").rename(blob)
        (snapshot / name).symlink_to(Path("../../blobs") / blob.name)
    return snapshot


def message_of(action):
    """The error's message, which must be one line."""
    with pytest.raises(UserError) as caught:
        action()
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def test_every_clip_that_its_package_offers_is_known(home):
    import clip

    assert list(known_clips()) == clip.available_models()
    for name, url in known_clips().items():
        file = clip_file(name, None)
        *_, checksum, base = url.split("/")
        assert (file.url, file.sha256, file.path) == (url, checksum, home / ".cache" / "clip" / base)
        assert int(checksum, 16) >= 0
        assert len(checksum) == 64
        assert not file.given


def test_the_published_experiments_clip():
    file = clip_file("ViT-L/14", None)
    assert file.sha256 == "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836"
    assert file.path.name == "ViT-L-14.pt"
    assert file.licence == "MIT"


@pytest.mark.parametrize("xdg", [None, "elsewhere"])
def test_clip_is_kept_where_its_own_package_looks(tmp_path, monkeypatch, xdg):
    import clip

    if xdg:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / xdg))
    asked = []

    def note(url, root):
        asked.append(Path(root) / url.split("/")[-1])
        raise InterruptedError

    monkeypatch.setattr(clip_package(), "_download", note)
    with pytest.raises(InterruptedError):
        clip.load("ViT-B/32")
    assert asked == [clip_file("ViT-B/32", None).path]


@pytest.mark.parametrize("file", [laion_file, v2_5_file])
def test_heads_are_kept_in_the_projects_cache(home, tmp_path, monkeypatch, file):
    assert file(None).path.parent == home / ".cache" / "das-ag"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert file(None).path.parent == home / ".cache" / "das-ag"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    assert file(None).path.parent == tmp_path / "elsewhere" / "das-ag"


def test_no_two_files_share_a_place():
    files = [clip_file(name, None) for name in known_clips()] + [laion_file(None), v2_5_file(None)]
    assert len({file.path for file in files}) == len({file.sha256 for file in files}) == len(files)


@EACH_FILE
def test_an_empty_variable_gives_no_path(variable):
    assert FILES[variable]("") == FILES[variable](None)
    assert not FILES[variable](None).given


def test_an_unknown_clip():
    message = message_of(lambda: clip_file("ViT-L-14", None))
    assert message.startswith("models.name: expected one of RN50, RN101, ")
    assert message.endswith(
        ", got 'ViT-L-14'; did you mean 'ViT-L/14'? Otherwise choose one of them, or point models.path to a checkpoint."
    )


def test_the_name_does_not_matter_beside_a_path(tmp_path):
    assert clip_file("ViT-L-14", str(tmp_path / "mine.pt")).path == tmp_path / "mine.pt"


@EACH_FILE
def test_a_given_file_is_used_as_it_is(tmp_path, variable):
    file = FILES[variable](str(tmp_path / "mine"))
    sha256 = write(tmp_path / "mine")
    assert file.given
    assert file.path == tmp_path / "mine"
    assert file.is_there()
    file.fetch()
    assert file.digest() == sha256 != file.sha256


@EACH_FILE
def test_a_given_file_that_is_missing_is_not_downloaded(tmp_path, variable):
    file = FILES[variable](str(tmp_path / "mine"))
    assert not file.is_there()
    expected = f"{file.what}: expected a file at {tmp_path / 'mine'}, found none; point {variable} to it."
    assert message_of(file.fetch) == message_of(file.digest) == expected


@EACH_FILE
def test_a_given_folder_is_no_file(tmp_path, variable):
    assert "found none" in message_of(FILES[variable](str(tmp_path)).digest)


@EACH_FILE
def test_a_missing_file_is_downloaded_to_its_place(monkeypatch, variable):
    file, asked = FILES[variable](None), []
    monkeypatch.setattr(files, "download", lambda *arguments, **options: asked.append((*arguments, options)))
    file.fetch()
    options = {"sha256": file.sha256, "what": file.what, "remedy": f"point {variable} to a copy", "report": None}
    assert asked == [(file.url, file.path, options)]


@EACH_FILE
def test_a_file_that_is_there_is_not_downloaded(variable):
    write(FILES[variable](None).path)
    FILES[variable](None).fetch()


@EACH_FILE
def test_a_file_that_can_be_downloaded_is_missing(variable):
    file = FILES[variable](None)
    assert message_of(file.digest) == (
        f"{file.what}: expected a file at {file.path}, found none; run das-ag check --download, or "
        f"point {variable} to it."
    )


@EACH_FILE
def test_an_altered_file_in_the_cache(variable):
    file = FILES[variable](None)
    got = write(file.path)
    assert message_of(file.digest) == (
        f"{file.what}: expected SHA-256 {file.sha256[:16]}… of {file.path} (7 bytes), got {got[:16]}…: the file is "
        "truncated or altered; delete it and start again."
    )


@EACH_FILE
def test_the_published_file_in_the_cache(variable):
    path = FILES[variable](None).path
    sha256 = write(path)
    assert dataclasses.replace(FILES[variable](None), sha256=sha256).digest() == sha256


def test_a_file_that_nobody_offers(tmp_path):
    file = dataclasses.replace(laion_file(None), url=None, path=tmp_path / "rare.pth")
    assert message_of(file.fetch).endswith("found none; point AESTHETIC_PREDICTOR_PATH to it.")


@pytest.mark.usefixtures("no_hub")
def test_a_given_folder_is_used_as_it_is(tmp_path):
    siglip = siglip_folder(SIGLIP, str(tmp_path))
    sha256 = write(tmp_path / "model.safetensors")
    assert siglip.given
    siglip.fetch()
    assert siglip.find() == siglip.folder() == tmp_path
    assert siglip.digest() == sha256


@pytest.mark.usefixtures("no_hub")
@pytest.mark.parametrize("there", [True, False])
def test_a_given_folder_without_weights(tmp_path, there):
    folder = tmp_path / "siglip"
    if there:
        write(folder / "config.json")
    siglip = siglip_folder(SIGLIP, str(folder))
    assert siglip.find() is None
    expected = (
        f"SigLIP: expected model.safetensors in {folder}, found none; point SIGLIP_MODEL_PATH to a folder with "
        "config.json and model.safetensors."
    )
    assert message_of(siglip.fetch) == message_of(siglip.folder) == message_of(siglip.digest) == expected


@pytest.mark.usefixtures("no_hub")
def test_a_given_folder_with_weights_in_several_files(tmp_path):
    names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    parts = [write(tmp_path / name, name.encode()) for name in names]
    index = json.dumps({"weight_map": {"b": names[1], "a": names[0], "c": names[1]}}).encode()
    parts.insert(0, write(tmp_path / "model.safetensors.index.json", index))
    siglip = siglip_folder(SIGLIP, str(tmp_path))
    siglip.fetch()
    assert siglip.find() == tmp_path
    assert siglip.digest() == hashlib.sha256(" ".join(parts).encode()).hexdigest()
    (tmp_path / names[1]).unlink()
    assert f"expected a file at {tmp_path / names[1]}, found none" in message_of(siglip.digest)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"weight_map": 3}', '{"weight_map": {"a": 3, "b": null}}'])
def test_an_index_that_cannot_be_read(tmp_path, content):
    (tmp_path / "model.safetensors.index.json").write_text(content)
    assert "expected an index of files, got other data" in message_of(siglip_folder(SIGLIP, str(tmp_path)).digest)


@pytest.mark.parametrize("path", [None, ""])
def test_a_folder_that_is_not_in_the_hubs_cache(monkeypatch, path):
    """Sought without network, whether or not there is one."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("socket.socket.connect", forbidden)
    siglip = siglip_folder(SIGLIP, path)
    assert not siglip.given
    assert siglip.find() is None
    assert message_of(siglip.folder) == message_of(siglip.digest)
    assert message_of(siglip.folder) == (
        f"SigLIP: expected model.safetensors in the Hugging Face hub's cache ({SIGLIP}), found none; run "
        "das-ag check --download, or point SIGLIP_MODEL_PATH to a folder with config.json "
        "and model.safetensors."
    )


def test_a_folder_in_the_hubs_cache(tmp_path):
    snapshot = cached_siglip(tmp_path, "config.json", "model.safetensors")
    siglip = siglip_folder(SIGLIP, None)
    siglip.fetch()
    assert siglip.find() == siglip.folder() == snapshot
    assert siglip.digest() == hashlib.sha256(b"model.safetensors").hexdigest()


def test_a_download_into_the_hubs_cache_that_broke_off(tmp_path):
    cached_siglip(tmp_path, "config.json")
    assert siglip_folder(SIGLIP, None).find() is None


def test_a_download_that_broke_off_cannot_go_on_without_a_network(tmp_path):
    """The hub's client is content with any folder of that name in its cache."""
    cached_siglip(tmp_path, "config.json")
    message = message_of(siglip_folder(SIGLIP, None).fetch)
    assert message.startswith(f"SigLIP: cannot download {SIGLIP} from the Hugging Face hub (“")
    assert "SIGLIP_MODEL_PATH" in message


@pytest.mark.parametrize("published", ["model.safetensors", "pytorch_model.bin"])
def test_the_hub_is_asked_for_what_the_model_needs_and_no_more(tmp_path, monkeypatch, published):
    asked = []

    def answer(name, *, allow_patterns, local_files_only, tqdm_class):
        from huggingface_hub.errors import LocalEntryNotFoundError

        if local_files_only:
            raise LocalEntryNotFoundError(OFFLINE)
        asked.append((name, allow_patterns))
        write(tmp_path / "config.json")
        if published in allow_patterns:
            write(tmp_path / published)
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", answer)
    siglip_folder("someone/siglip", None).fetch()
    expected = ["config.json", "model.safetensors", "model.safetensors.index.json", "model-*.safetensors"]
    assert asked[0] == ("someone/siglip", expected)
    assert [patterns[1] for _, patterns in asked] == ["model.safetensors", "pytorch_model.bin"][: len(asked)]
    assert (tmp_path / published).is_file()


def test_a_name_that_the_hub_does_not_have(monkeypatch):
    from huggingface_hub.errors import LocalEntryNotFoundError, RepositoryNotFoundError

    def answer(*_, local_files_only, **__):
        if local_files_only:
            raise LocalEntryNotFoundError(OFFLINE)
        raise RepositoryNotFoundError("404 Client Error", response=Mock())

    monkeypatch.setattr("huggingface_hub.snapshot_download", answer)
    assert message_of(siglip_folder("google/siglop", None).fetch) == (
        "SigLIP: the Hugging Face hub has no public model google/siglop; correct the name, or point SIGLIP_MODEL_PATH "
        "to a copy."
    )


def test_a_download_of_several_files_that_broke_off(tmp_path):
    """The index is there and one of the files that it names."""
    names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    snapshot = cached_siglip(tmp_path, "config.json", *names)
    index = json.dumps({"weight_map": {"a": names[0], "b": names[1]}}).encode()
    write(snapshot / "model.safetensors.index.json", index)
    assert siglip_folder(SIGLIP, None).find() == snapshot
    (snapshot / names[1]).unlink()
    assert siglip_folder(SIGLIP, None).find() is None


def test_without_a_network_the_hubs_own_client_gives_up():
    message = message_of(siglip_folder(SIGLIP, None).fetch)
    assert message.startswith(f"SigLIP: cannot download {SIGLIP} from the Hugging Face hub (“")
    assert message.endswith("”); connect to the network, or point SIGLIP_MODEL_PATH to a copy.")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConnectionError(f"{OFFLINE}\nTry again."), OFFLINE),
        (OSError(OFFLINE), OFFLINE),
        (ValueError(f"\n{OFFLINE}"), OFFLINE),
        (TimeoutError(), "TimeoutError"),
    ],
    ids=["two lines", "one line", "empty line first", "no words"],
)
def test_the_hub_cannot_be_reached(monkeypatch, error, reason):
    from huggingface_hub.errors import LocalEntryNotFoundError

    def fail(*_, local_files_only, **__):
        raise LocalEntryNotFoundError("not here") if local_files_only else error

    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    assert message_of(siglip_folder(SIGLIP, None).fetch) == (
        f"SigLIP: cannot download {SIGLIP} from the Hugging Face hub (“{reason}”); connect to the network, or "
        "point SIGLIP_MODEL_PATH to a copy."
    )


@pytest.mark.parametrize("name", ["no name!", "a/b/c"])
def test_a_name_that_the_hub_does_not_allow(name):
    assert "SIGLIP_MODEL_PATH" in message_of(siglip_folder(name, None).fetch)


def test_clip_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "clip", None)
    for action in (clip_package, known_clips, lambda: clip_file("ViT-L/14", None)):
        message = message_of(action)
        assert message.startswith("models: cannot import the package clip (“")
        assert message.endswith("”); install it with uv sync --extra paper, or start with uv run --extra paper.")


def test_the_hubs_client_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    message = message_of(siglip_folder(SIGLIP, None).fetch)
    assert message.startswith("models: cannot import the package huggingface_hub (“")
    assert message.endswith("”); install it with uv sync --extra paper, or start with uv run --extra paper.")


def test_a_missing_package_is_named_with_what_to_install():
    assert str(missing_extra("clip", ImportError("No module named 'clip'"))) == (
        "models: cannot import the package clip (“No module named 'clip'”); install it with uv sync --extra paper, or "
        "start with uv run --extra paper."
    )


def test_all_that_is_missing_is_named_at_once(tmp_path):
    """Before anything is downloaded: `home` makes a download an error of the test."""
    given = [file(str(tmp_path / variable)) for variable, file in FILES.items()]
    files = [*given, laion_file(None), siglip_folder(SIGLIP, str(tmp_path / "siglip")), siglip_folder(SIGLIP, None)]
    with pytest.raises(UserError) as caught:
        fetch_all(files)
    lines = str(caught.value).splitlines()
    assert [line.partition("point ")[2].split(" ")[0] for line in lines] == [*FILES, "SIGLIP_MODEL_PATH"]
    assert all("found none" in line for line in lines)


def test_all_downloads_that_fail_are_named_at_once(monkeypatch):
    def fail(url, path, *, what, **_):
        raise UserError(f"{what}: cannot download it.")

    monkeypatch.setattr(files, "download", fail)
    with pytest.raises(UserError) as caught:
        fetch_all([clip_file("ViT-L/14", None), laion_file(None), siglip_folder(SIGLIP, None)])
    lines = str(caught.value).splitlines()
    assert [line.partition(": cannot download")[0] for line in lines] == [
        "CLIP ViT-L/14",
        "LAION aesthetic head for ViT-L/14",
        "SigLIP",
    ]


def test_what_is_there_is_not_fetched(tmp_path):
    write(laion_file(None).path)
    write(tmp_path / "model.safetensors")
    fetch_all([laion_file(None), siglip_folder(SIGLIP, str(tmp_path))])


def test_every_published_file_has_a_size(tmp_path):
    sizes = {name: size_of(clip_file(name, None)) for name in known_clips()}
    assert (sizes["ViT-L/14"], sizes["ViT-B/32"], sizes["RN50x64"]) == ("933 MB", "354 MB", "1.4 GB")
    assert "size unknown" not in sizes.values()
    assert size_of(siglip_folder(SIGLIP, None)) == "3.5 GB"
    assert (size_of(laion_file(None)), size_of(v2_5_file(None))) == ("3.7 MB", "2.6 MB")
    assert size_of(clip_file("ViT-L/14", str(tmp_path))) == "size unknown"


def test_a_file_without_a_variable_has_one_place(monkeypatch):
    file, asked = dataclasses.replace(laion_file(None), variable=None), []
    monkeypatch.setattr(files, "download", lambda *_, remedy, **__: asked.append(remedy))
    file.fetch()
    assert asked == [f"put a copy at {file.path}"]
    assert file.remedy == f"run das-ag check --download, or put it at {file.path}"
