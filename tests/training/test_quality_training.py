import importlib.util
import itertools
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from reference import ROOT

from das_ag.errors import UserError
from das_ag.models.quality import QualityHead
from das_ag.training.distortions import KINDS
from das_ag.training.quality import (
    CROP,
    FEWEST_PHOTOS,
    PHOTO_PX,
    RIDGES,
    SQUARES,
    WHOLE,
    Versions,
    compute_versions,
    fit_head,
    measure,
    measure_by_kind,
    read_photos,
    resize,
    solve_ridge,
    split_photos,
    train_head,
)

SCRIPT = ROOT / "scripts" / "train_quality_head.py"
SIDE_PX = 24
WIDTH = 14
"""Of the made-up features."""


def made_up_photos(n, side_px=SIDE_PX, seed=0):
    """Smooth random colours."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(40, 216, (n, 4, 4, 3), dtype=np.uint8)
    return [np.asarray(Image.fromarray(c).resize((side_px, side_px), Image.Resampling.BICUBIC)) for c in coarse]


def made_up_features(rgb):
    """Stands in for a network: mean size of differences at three distances, spread of colours, and mean colours."""
    steps = [(rgb[..., s:] - rgb[..., :-s]).abs().mean(dim=(2, 3)) for s in (1, 2, 4)]
    colours = rgb.mean(dim=(2, 3))
    return torch.cat([*steps, rgb.std(dim=1).mean(dim=(1, 2))[:, None], colours, torch.ones(len(rgb), 1)], dim=1)


def random_numbers(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def versions_of(photos, chosen, **options):
    return compute_versions(photos, chosen, made_up_features, 16, **{"seed": 0, "squares": SQUARES["judge"], **options})


class TestRidge:
    def test_of_one_feature_is_known(self):
        # Centred features −1, 0, 1 and ratings −2, 0, 2: weight = 4 / (2 + ridge), bias = 5 − weight · 3.
        features, ratings = torch.tensor([[2.0], [3.0], [4.0]]), torch.tensor([3.0, 5.0, 7.0])
        heads = solve_ridge(features, ratings, torch.ones(3), [2.0, 6.0])
        assert [head.weight.item() for head in heads] == pytest.approx([1.0, 0.5])
        assert [head.bias.item() for head in heads] == pytest.approx([2.0, 3.5])
        assert [head.ridge for head in heads] == [2.0, 6.0]

    def test_without_ridge_is_least_squares(self):
        features = random_numbers(20, 3)
        truth = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
        (head,) = solve_ridge(features, features @ truth + 7, torch.ones(20).double(), [0.0])
        torch.testing.assert_close(head.weight, truth)
        torch.testing.assert_close(head(features), features @ truth + 7)

    def test_weight_2_is_the_same_as_twice(self):
        features, ratings = random_numbers(6, 2), random_numbers(6)
        repeated, weights = torch.tensor([0, 0, 1, 2, 3, 4, 5]), torch.tensor([2.0, 1, 1, 1, 1, 1]).double()
        (weighted,) = solve_ridge(features, ratings, weights, [0.5])
        (twice,) = solve_ridge(features[repeated], ratings[repeated], torch.ones(7).double(), [0.5])
        torch.testing.assert_close((weighted.weight, weighted.bias), (twice.weight, twice.bias))


class TestVersions:
    def test_are_each_photo_and_each_kind_in_each_square(self):
        versions = versions_of(made_up_photos(3), [2, 0], squares=[WHOLE, CROP])
        assert versions.features.shape == (2 * 2 * 10, WIDTH)
        assert versions.photo.tolist() == [2] * 20 + [0] * 20
        assert versions.kind.tolist() == [*range(-1, 9)] * 4
        assert len(versions.severity.unique()) == 4 * 9 + 1
        torch.testing.assert_close(versions.features.norm(dim=1), torch.ones(40))

    def test_are_rated_by_their_severity(self):
        versions = versions_of(made_up_photos(1), [0])
        clean = versions.kind < 0
        assert versions.ratings[clean].tolist() == [9, 9]
        torch.testing.assert_close(versions.ratings[~clean], 8 - 6 * versions.severity[~clean])
        assert versions.ratings[~clean].min() >= 2

    def test_are_cut_after_they_are_distorted(self, monkeypatch):
        seen = []

        def whole(rgb, *_):
            seen.append(rgb.shape)
            return rgb

        monkeypatch.setattr("das_ag.training.quality.KINDS", dict.fromkeys(KINDS, whole))
        versions_of(made_up_photos(1), [0], squares=[CROP])
        assert seen == [(SIDE_PX, SIDE_PX, 3)] * 9

    def test_of_held_out_photos_are_whole(self):
        photos = made_up_photos(1)
        features = made_up_features(resize(photos[0] / np.float32(255), 16))
        versions = versions_of(photos, [0], squares=SQUARES["held out"])
        torch.testing.assert_close(versions.features[:1], torch.nn.functional.normalize(features))

    def test_do_not_depend_on_the_other_photos(self):
        photos = made_up_photos(3)
        alone, together = versions_of(photos, [1]), versions_of(photos, [0, 1, 2])
        torch.testing.assert_close(together[together.photo == 1].features, alone.features, rtol=0, atol=0)

    def test_differ_with_the_seed(self):
        photos = made_up_photos(1)
        assert not torch.equal(versions_of(photos, [0]).severity, versions_of(photos, [0], seed=1).severity)


@pytest.mark.parametrize("n", [25, 26, 999, 1000])
def test_the_parts_share_no_photo(n):
    parts = split_photos(n, seed=0)
    assert sorted(itertools.chain(*parts.values())) == list(range(n))
    assert len(parts["held out"]) == pytest.approx(0.2 * n, abs=0.5)
    assert len(parts["guide"]) == pytest.approx(0.6 * n, abs=1)
    assert parts["guide"] != split_photos(n, seed=1)["guide"]


class TestFigures:
    def made_up(self):
        """Two clean photos, one weak version, two strong ones."""
        severity = torch.tensor([0.0, 0.0, 0.3, 0.6, 0.9], dtype=torch.float64)
        kind = torch.tensor([-1, -1, 0, 0, 1])
        return Versions(torch.eye(5), kind, severity, torch.tensor([0, 1, 0, 0, 1]))

    def test_of_a_perfect_head(self):
        versions = self.made_up()
        figures = measure(lambda _: versions.ratings, versions)
        assert figures.correlation == pytest.approx(1)
        assert (figures.auc, figures.n, figures.n_clean, figures.n_strong) == (1, 5, 2, 2)

    def test_count_pairs_in_the_right_order(self):
        # Of the four pairs of a clean photo with a strong version, (8, 5), (8, 7) and (6, 5) are right, (6, 7) is not.
        figures = measure(lambda _: torch.tensor([8.0, 6.0, 1.0, 5.0, 7.0]), self.made_up())
        assert figures.auc == 0.75

    def test_of_a_kind_compare_it_with_all_clean_photos(self):
        kind = torch.arange(-2, 9).clamp(min=-1)  # two clean photos, one strong version of each kind
        versions = Versions(torch.eye(11), kind, (kind >= 0).double(), torch.zeros(11, dtype=torch.long))
        figures = measure_by_kind(lambda features: features @ torch.arange(11.0), versions)
        assert list(figures) == ["all kinds", *KINDS]
        assert [f.n for f in figures.values()] == [11, *[3] * 9]
        assert [f.auc for f in figures.values()] == [0] * 10  # it rates higher what is worse

    def test_of_a_kind_without_strong_versions_have_no_auc(self):
        versions = self.made_up()[torch.tensor([True, True, True, False, False])]
        assert np.isnan(measure(lambda _: versions.ratings, versions).auc)


@pytest.fixture(scope="module")
def sixty_photos():
    return made_up_photos(60)


class TestTraining:
    def test_learns_what_the_features_show(self, sixty_photos):
        head, figures, n = train_head(sixty_photos, made_up_features, 16, role="guide", seed=0)
        assert n == 36
        assert head.ridge in RIDGES
        # By chance 0 and 0.5; six trainings on these photos (three seeds, both roles) gave 0.30 to 0.50, 0.72 to 0.85.
        assert figures["all kinds"].correlation > 0.25
        assert figures["all kinds"].auc > 0.65
        assert figures["all kinds"].n == 12 * 10

    def test_is_the_same_again(self, sixty_photos):
        first, again = (train_head(sixty_photos, made_up_features, 16, role="guide", seed=3)[0] for _ in range(2))
        assert torch.equal(first.weight, again.weight)
        assert torch.equal(first.bias, again.bias)

    def test_takes_the_ridge_that_ranks_other_photos_best(self):
        # One feature shows the severity. The others are large and noise, which a small ridge takes for knowledge.
        n = 200
        severity = torch.linspace(0.01, 1, n, dtype=torch.float64)
        shown, noise = 0.1 * (0.5 - severity)[:, None], random_numbers(n, 100)
        kind = torch.arange(n) % 10 - 1
        informative = Versions(torch.cat([shown, 0 * noise], dim=1).float(), kind, severity, torch.arange(n) // 10)
        mixed = Versions(torch.cat([30 * shown, noise], dim=1).float(), kind, severity, torch.arange(n) // 10)
        assert fit_head(informative).ridge == RIDGES[0]
        assert fit_head(mixed).ridge > RIDGES[0]

    def test_of_roles_shares_no_photo(self, sixty_photos, monkeypatch):
        monkeypatch.setattr("das_ag.training.quality.SQUARES", dict.fromkeys(SQUARES, (WHOLE,)))
        seen = {}
        for role in ("guide", "judge"):
            seen[role] = []

            def features(rgb, role=role):
                seen[role].append(rgb[0])  # the clean one comes first
                return made_up_features(rgb)

            train_head(sixty_photos, features, SIDE_PX, role=role, seed=0)
        pictures = [{picture.numpy().tobytes() for picture in seen[role]} for role in ("guide", "judge")]
        assert [len(p) for p in pictures] == [48, 24]  # 36 and 12 to train on, and 12 held out
        assert len(pictures[0] & pictures[1]) == 12


class TestPhotos:
    def save(self, folder, n, size=(30, 20)):
        for place in range(n):
            Image.new("RGB", size, (place, 100, 200)).save(folder / f"{place:03}.png")

    def refusal(self, folder):
        with pytest.raises(UserError) as refused:
            read_photos(folder)
        assert "\n" not in str(refused.value)
        return str(refused.value)

    def test_are_central_squares_sorted_by_name(self, tmp_path):
        self.save(tmp_path, FEWEST_PHOTOS)
        (tmp_path / "notes.txt").write_text("no picture")
        (tmp_path / "._000.png").write_text("no picture, but what macOS adds")
        photos = read_photos(tmp_path)
        assert [photo[0, 0, 0] for photo in photos] == list(range(FEWEST_PHOTOS))
        assert {photo.shape for photo in photos} == {(PHOTO_PX, PHOTO_PX, 3)}

    def test_of_the_right_size_stay_as_they_are(self, tmp_path):
        self.save(tmp_path, FEWEST_PHOTOS)
        picture = np.random.default_rng(0).integers(0, 256, (PHOTO_PX, PHOTO_PX, 3), dtype=np.uint8)
        Image.fromarray(picture).save(tmp_path / "000.png")
        assert np.array_equal(read_photos(tmp_path)[0], picture)

    def test_need_a_folder(self, tmp_path):
        assert "is not a folder; give a folder of photos" in self.refusal(tmp_path / "none")

    def test_need_pictures(self, tmp_path):
        assert f"expected at least {FEWEST_PHOTOS} pictures" in self.refusal(tmp_path)
        assert "found none" in self.refusal(tmp_path)

    def test_need_enough_of_them(self, tmp_path):
        self.save(tmp_path, FEWEST_PHOTOS - 1)
        assert f"found {FEWEST_PHOTOS - 1}" in self.refusal(tmp_path)

    def test_are_refused_if_one_is_broken(self, tmp_path):
        self.save(tmp_path, FEWEST_PHOTOS)
        whole = (tmp_path / "007.png").read_bytes()
        (tmp_path / "007.png").write_bytes(whole[: len(whole) // 2])
        assert "cannot read 1 of" in self.refusal(tmp_path)


def test_the_command_says_in_one_sentence_that_five_files_are_broken(tmp_path):
    photos, head = tmp_path / "photos", tmp_path / "head.safetensors"
    photos.mkdir()
    for place in range(5):
        (photos / f"{place}.jpg").write_bytes(b"no picture")
    head.write_bytes(b"an older head")
    command = [sys.executable, SCRIPT, "--photos", photos, "--network", "tf_efficientnet_lite0", "--to", head]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        f"Error: --photos: cannot read 5 of 5 pictures in {photos}, first 0.jpg; remove or replace them.\n"
    )
    assert done.stdout == ""
    assert head.read_bytes() == b"an older head"
    assert sorted(tmp_path.iterdir()) == [head, photos]


class TestCommand:
    """The script's functions in this process, with made-up features instead of a network."""

    @pytest.fixture
    def script(self, monkeypatch):
        spec = importlib.util.spec_from_file_location("train_quality_head", SCRIPT)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)

        def load(name, checkpoint):
            return SimpleNamespace(
                name=name, checkpoint=checkpoint, features=made_up_features, digest="ab" * 32, image_size_px=16
            )

        monkeypatch.setattr(module, "Classifier", load)
        threads = torch.get_num_threads()
        yield module
        torch.set_num_threads(threads)

    @pytest.fixture
    def run(self, script, monkeypatch, capsys):
        def run(*arguments):
            monkeypatch.setattr(sys, "argv", ["train_quality_head.py", *map(str, arguments)])
            return script.main(), *capsys.readouterr()

        return run

    @pytest.fixture
    def photos(self, tmp_path, monkeypatch):
        monkeypatch.setattr("das_ag.training.quality.PHOTO_PX", SIDE_PX)
        folder = tmp_path / "photos"
        folder.mkdir()
        for place, photo in enumerate(made_up_photos(30)):
            Image.fromarray(photo).save(folder / f"{place:02}.png")
        return folder

    def test_writes_the_same_bytes_again_and_prints_the_figures(self, run, photos, tmp_path):
        for name in ("first", "again"):
            options = ("--network", "tf_efficientnet_lite2", "--to", tmp_path / "new" / name)
            status, out, err = run("--photos", photos, *options)
            assert (status, err) == (0, "")
        assert "tf_efficientnet_lite2 (judge, 16 px): 6 photos, ridge" in out
        assert len([line for line in out.splitlines() if line.startswith(("all kinds", *KINDS))]) == 10
        first, again = ((tmp_path / "new" / name).read_bytes() for name in ("first", "again"))
        assert first == again
        head = QualityHead(tmp_path / "new" / "first", "ab" * 32)
        assert head.about["role"] == "judge"
        assert head.about["seed"] == 0
        assert head.about["kinds"] == list(KINDS)
        assert head.rate_features(torch.zeros(1, WIDTH)).isfinite()

    def test_trains_both_shipped_heads_by_default(self, run, script, photos, tmp_path, monkeypatch):
        monkeypatch.setattr(script, "shipped_file", lambda name: tmp_path / "package" / name)
        status, out, _ = run("--photos", photos)
        assert status == 0
        assert sorted(path.name for path in (tmp_path / "package").iterdir()) == sorted(script.ROLES)
        assert "tf_efficientnet_lite0 (guide" in out

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ((), "--photos: none is not a folder; give a folder of photos."),
            (("--to", "head"), "--to: one file cannot hold the heads of two networks; add --network."),
            (("--checkpoint", "w.pth"), "--checkpoint: this option needs --network NAME and --to FILE; add them."),
            (("--seed", "-1"), "--seed: expected 0 or more, found -1; give another number."),
            (("--network", "tf_efficientnet_lite0", "--to", "."), "--to: expected a file, found the folder .; add"),
            (("--network", "tf_efficientnet_lite0", "--to", "file/head"), "--to: cannot write file/head"),
        ],
    )
    def test_refuses_what_cannot_be_done_in_one_sentence(self, run, tmp_path, monkeypatch, arguments, said):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "file").touch()
        status, out, err = run("--photos", "none", *arguments)
        assert (status, out) == (1, "")
        assert err.startswith(f"Error: {said}")
        assert err.count("\n") == 1
        assert list(tmp_path.iterdir()) == [tmp_path / "file"]
