"""Figures here are of open_clip_torch 3.3.0. All weights are random."""

import gc
import hashlib
import sys
import weakref
from pathlib import Path

import pytest
import torch
from reference import GEISHA, NEGATIVE, save_small_clip, small_clip_state
from safetensors.torch import save_file
from torch.nn import functional as F

from das_ag.colour import CLIP_MEAN, CLIP_STD
from das_ag.errors import UserError
from das_ag.models.files import WeightFile
from das_ag.models.guides.open_clip import OpenClipChoice
from das_ag.models.hub import HubFolder
from das_ag.models.open_clip import OpenClip, pretrained
from das_ag.models.registry import provide_weights
from das_ag.models.sources import HEADS
from das_ag.settings.choices import choose_guide

open_clip = pytest.importorskip("open_clip", reason="needs the extra open_clip")

TEXTS = ["a red circle", GEISHA, NEGATIVE, "Cat " * 90]
TEXT = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2}
VIT = {"image_size": 64, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16}
ARCHITECTURES = {
    "vit": {"embed_dim": 32, "vision_cfg": VIT, "text_cfg": TEXT},
    "vit-quickgelu": {"embed_dim": 32, "quick_gelu": True, "vision_cfg": VIT, "text_cfg": TEXT},
    "resnet": {
        "embed_dim": 32,
        "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 16},
        "text_cfg": TEXT | {"context_length": 32},
    },
    "timm": {
        "embed_dim": 32,
        "vision_cfg": {"timm_model_name": "test_vit", "timm_pool": "", "timm_proj": "linear", "image_size": 160},
        "text_cfg": TEXT | {"no_causal_mask": True},
        "custom_text": True,
    },
    "norms": {
        "embed_dim": 32,
        "vision_cfg": VIT | {"qk_norm": True, "scale_attn": True, "block_type": "custom"},
        "text_cfg": TEXT,
    },
}
INCEPTION = {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.5, 0.75)}
TAGS = {
    "plain": {"url": "", "hf_hub": "someone/small/", "mean": CLIP_MEAN, "std": CLIP_STD},
    "inception": {"url": "", "hf_hub": "someone/inception/weights.bin", **INCEPTION},
    "quick": {"url": "", "hf_hub": "someone/quick/", "mean": CLIP_MEAN, "std": CLIP_STD, "quick_gelu": True},
}
EACH = pytest.mark.parametrize("name", ARCHITECTURES)


@pytest.fixture(autouse=True)
def _small_models(monkeypatch, tmp_path):
    """Adds small architectures and their tags to open_clip's list; no network, and nothing in the caches."""
    for name, architecture in ARCHITECTURES.items():
        monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, name, architecture)
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "vit", TAGS)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def random_state(name, seed=0):
    """Weights under which the features of different pictures differ: initial biases are zero."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        state = open_clip.create_model(name, load_weights=False).state_dict()
        return {
            name: weight + 0.05 * torch.randn_like(weight) if weight.is_floating_point() else weight
            for name, weight in state.items()
        }


@pytest.fixture
def path(tmp_path, name):
    torch.save(random_state(name), tmp_path / "weights.pt")
    return tmp_path / "weights.pt"


def pixels_of(name, n=3):
    size = ARCHITECTURES[name]["vision_cfg"]["image_size"]
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(0))


def features_and_gradient(encode, pixels):
    pixels = pixels.clone().requires_grad_()
    features = encode(pixels)
    (gradient,) = torch.autograd.grad((features @ torch.linspace(-1, 1, features.shape[1])).sum(), pixels)
    return features.detach(), gradient


def package_features(name, path, pixels, recolour=lambda pixels: pixels):
    """What open_clip itself computes of pictures, their gradient, and of texts."""
    with torch.random.fork_rng(devices=[]):
        network = open_clip.create_model(name, pretrained=str(path)).eval()
    images, gradient = features_and_gradient(lambda p: F.normalize(network.encode_image(recolour(p)), dim=-1), pixels)
    with torch.no_grad():
        texts = F.normalize(network.encode_text(open_clip.get_tokenizer(name)(TEXTS)), dim=-1)
    # Random weights must still tell pictures and texts apart, or equality would prove nothing.
    assert torch.pdist(images).min() > 1e-3
    assert torch.pdist(texts).min() > 0.02
    return images, gradient, texts


def assert_equals(model, images, gradient, texts, pixels):
    ours, own_gradient = features_and_gradient(model.encode_images, pixels)
    torch.testing.assert_close(ours, images, rtol=0, atol=1e-5)
    torch.testing.assert_close(own_gradient, gradient, rtol=0, atol=1e-5 * gradient.abs().max().item())
    torch.testing.assert_close(model.encode_texts(TEXTS), texts, rtol=0, atol=1e-5)


@EACH
@pytest.mark.parametrize("kernel", ["sdpa", "math"])
def test_features_and_gradients_equal_those_of_the_package(name, path, kernel):
    pixels = pixels_of(name)
    model = OpenClip(pretrained(name, None), path, attention=kernel)
    assert (model.image_size_px, model.dim) == (pixels.shape[-1], 32)
    assert model.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert_equals(model, *package_features(name, path, pixels), pixels)


@EACH
def test_bfloat16_gives_nearly_the_same_features_and_gradients(name, path):
    pixels = pixels_of(name)
    images, gradient, texts = package_features(name, path, pixels)
    model = OpenClip(pretrained(name, None), path, dtype=torch.bfloat16)
    ours, own_gradient = features_and_gradient(model.encode_images, pixels)
    assert F.cosine_similarity(ours, images).min() > 0.999
    assert F.cosine_similarity(own_gradient.flatten(1), gradient.flatten(1)).min() > 0.9
    torch.testing.assert_close(model.encode_texts(TEXTS), texts, rtol=0, atol=1e-5)  # always in float32


@pytest.mark.parametrize("name", ["vit"])
def test_pixels_get_the_normalisation_of_the_network(name, path):
    def recolour(pixels):
        rgb = pixels * torch.tensor(CLIP_STD)[:, None, None] + torch.tensor(CLIP_MEAN)[:, None, None]
        return (rgb - torch.tensor(INCEPTION["mean"])[:, None, None]) / torch.tensor(INCEPTION["std"])[:, None, None]

    pixels = pixels_of(name)
    expected = package_features(name, path, pixels, recolour)
    assert_equals(OpenClip(pretrained(name, "inception"), path), *expected, pixels)


@pytest.mark.parametrize("name", ["vit", "timm"])
@pytest.mark.parametrize("layout", ["safetensors", "float16", "DataParallel", "training checkpoint"])
def test_every_layout_gives_the_same_features(tmp_path, name, path, layout):
    state = torch.load(path, weights_only=True)
    other = tmp_path / ("other.safetensors" if layout == "safetensors" else "other.bin")
    if layout == "safetensors":
        save_file(state, other)
    elif layout == "float16":
        state = {name: weight.half() for name, weight in state.items()}
        torch.save(state, other)
        torch.save({name: weight.float() for name, weight in state.items()}, path)
    elif layout == "DataParallel":
        torch.save({f"module.{name}": weight for name, weight in state.items()}, other)
    else:
        state = {f"module.{name}": weight for name, weight in state.items()}
        torch.save({"epoch": 3, "name": "mine", "state_dict": state, "optimizer": {"state": {}}}, other)
    expected, got = (OpenClip(pretrained(name, None), file) for file in (path, other))
    assert torch.equal(got.encode_images(pixels_of(name)), expected.encode_images(pixels_of(name)))
    assert torch.equal(got.encode_texts(TEXTS), expected.encode_texts(TEXTS))


@pytest.mark.parametrize("name", ["timm"])
def test_the_old_layout_of_a_network_with_a_text_tower_of_its_own_is_read(tmp_path, name, path):
    old = {name.removeprefix("text."): weight for name, weight in torch.load(path, weights_only=True).items()}
    torch.save(old, tmp_path / "old.pt")
    expected, got = (OpenClip(pretrained(name, None), file) for file in (path, tmp_path / "old.pt"))
    assert torch.equal(got.encode_texts(TEXTS), expected.encode_texts(TEXTS))


def test_openais_layout_gives_the_features_of_openais_package(tmp_path, monkeypatch):
    """With the three numbers that OpenAI's archives hold beside the weights."""
    from das_ag.models.clip import OpenAIClip

    architecture = {
        "embed_dim": 768, "quick_gelu": True,
        "vision_cfg": {"image_size": 224, "layers": 2, "width": 64, "patch_size": 32},
        "text_cfg": {"width": 64, "heads": 1, "layers": 2},
    }  # fmt: skip
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "openais", architecture)
    numbers = {"input_resolution": 224, "context_length": 77, "vocab_size": 49408}
    path = save_small_clip(tmp_path)
    torch.save(small_clip_state() | {name: torch.tensor(number) for name, number in numbers.items()}, path)
    ours, theirs = OpenClip(pretrained("openais", None), path), OpenAIClip(path)
    pixels = torch.randn(3, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    expected = (*features_and_gradient(theirs.encode_images, pixels), theirs.encode_texts(TEXTS))
    assert_equals(ours, *expected, pixels)


@pytest.mark.parametrize("name", ["vit"])
def test_released_texts_leave_the_pictures(name, path):
    model = OpenClip(pretrained(name, None), path)
    before, tower = model.encode_images(pixels_of(name)), weakref.ref(model._text.__self__)
    model.release_texts()
    gc.collect()
    assert tower() is None
    assert torch.equal(model.encode_images(pixels_of(name)), before)


@pytest.mark.parametrize("name", ["vit"])
def test_loading_draws_no_random_number(name, path):
    before = torch.get_rng_state()
    OpenClip(pretrained(name, None), path)
    assert torch.equal(torch.get_rng_state(), before)


def choice(name="vit", tag=None, path=None, head=None):
    return OpenClipChoice("open_clip", name, path and str(path), head, "sdpa", False, tag)


@pytest.mark.parametrize("name", ["vit"])
def test_lost_words_are_those_beyond_the_context(name, path):
    guide = choice(name, path=path)
    assert guide.lost_words(GEISHA) == guide.lost_words("cat " * 75) == ()
    assert guide.lost_words("cat " * 75 + "sat on") == ("sat", "on")
    image_text, _ = guide.load(torch.device("cpu"), torch.float32)
    lost, kept = image_text.encode_texts(["cat " * 75 + "sat on", "cat " * 75])
    assert torch.equal(lost, kept)
    assert choice("resnet").lost_words("cat " * 31) == ("cat",)


@pytest.mark.parametrize("name", ["vit"])
def test_a_clip_without_a_head_does_not_rate(name, path):
    guide = choice(name, "plain", path)
    assert not guide.rates
    assert guide.load(torch.device("cpu"), torch.float32)[1] is None
    assert guide.digests() == {"clip": hashlib.sha256(path.read_bytes()).hexdigest()}


@pytest.mark.parametrize("name", ["vit"])
def test_a_head_of_the_users_own_rates(tmp_path, name, path):
    torch.save({"weight": torch.ones(1, 32), "bias": torch.zeros(1)}, tmp_path / "head.pth")
    guide = choice(name, "plain", path, str(tmp_path / "head.pth"))
    image_text, rater = guide.load(torch.device("cpu"), torch.float32)
    features = image_text.encode_images(pixels_of(name))
    torch.testing.assert_close(rater.rate_features(features), features.sum(dim=1))
    assert guide.rates
    assert set(guide.digests()) == {"clip", "head"}


@pytest.mark.parametrize(("name", "of"), [("ViT-B-32", "ViT-B/32"), ("ViT-B-16", "ViT-B/16"), ("ViT-L-14", "ViT-L/14")])
def test_openais_weights_come_from_openai_with_the_head_that_fits_them(tmp_path, name, of):
    from das_ag.models.sources import clip_file

    files = choice(f"{name}-quickgelu", "openai").files()
    theirs = clip_file(of, None)
    assert (files["clip"].path, files["clip"].sha256) == (theirs.path, theirs.sha256)
    assert (files["clip"].url, files["clip"].size_bytes) == (theirs.url, theirs.size_bytes)
    assert HEADS[files["head"].path.name].clip == of


def test_every_published_training_has_a_source_or_a_sentence():
    """Those that open_clip's own tokenizer does not read are refused; all others come from OpenAI or the hub."""
    kinds = {}
    for name, tag in open_clip.list_pretrained():
        try:
            kinds[name, tag] = type(pretrained(name, tag).file(None))
        except UserError as error:
            kinds[name, tag] = str(error).partition(",")[0]
    assert kinds["ViT-B-32-quickgelu", "openai"] is WeightFile
    assert kinds["ViT-B-32", "laion2b_s34b_b79k"] is kinds["MobileCLIP-S1", "datacompdr"] is HubFolder
    assert kinds["ViT-B-32", "metaclip_400m"].endswith("trained with QuickGELU")
    assert kinds["ViT-B-16-SigLIP", "webli"].endswith("a CLIP with open_clip's own tokenizer")
    assert set(kinds.values()) <= {
        WeightFile, HubFolder, kinds["ViT-B-16-SigLIP", "webli"],
        *(value for value in kinds.values() if isinstance(value, str) and value.endswith("trained with QuickGELU")),
    }  # fmt: skip


@pytest.mark.parametrize(("tag", "names"), [("plain", ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")),
                                            ("inception", ("weights.safetensors", "weights.bin"))])  # fmt: skip
def test_the_hub_has_the_other_weights(tmp_path, tag, names):
    file = choice(tag=tag).files()["clip"]
    assert (file.name, file.weights) == (f"someone/{'small' if tag == 'plain' else tag}", names)
    for kept in names:
        snapshot = tmp_path / "hub" / f"models--{file.name.replace('/', '--')}" / "snapshots" / "0"
        snapshot.mkdir(parents=True, exist_ok=True)
        (snapshot.parents[1] / "refs").mkdir(exist_ok=True)
        (snapshot.parents[1] / "refs" / "main").write_text("0")
        for name in names:
            (snapshot / name).unlink(missing_ok=True)
        state = random_state("vit")
        save_file(state, snapshot / kept) if kept.endswith("safetensors") else torch.save(state, snapshot / kept)
        assert file.digest() == hashlib.sha256((snapshot / kept).read_bytes()).hexdigest()
        image_text, _ = choice(tag=tag).load(torch.device("cpu"), torch.float32)
        assert image_text.encode_texts(["a cat"]).shape == (1, 32)


def test_a_dry_run_downloads_nothing(monkeypatch):
    monkeypatch.setattr(HubFolder, "fetch", lambda _: pytest.fail("downloads"))
    with pytest.raises(UserError, match=r"^dry_run: .* missing: CLIP vit plain \(size unknown\)\. A dry run"):
        provide_weights(choice(tag="plain"), [], dry_run=True)


def test_the_file_of_the_configuration_shares_its_settings(compose):
    ours, openais = compose("models=open_clip"), compose("models=openai_clip")
    assert (ours.views, ours.objective, ours.canvas_px) == (openais.views, openais.objective, openais.canvas_px)
    guide = choose_guide(ours.models)
    assert isinstance(guide, OpenClipChoice)
    assert guide.identity() == {
        "family": "open_clip", "name": "ViT-B-32", "pretrained": "laion2b_s34b_b79k", "attention": "sdpa",
        "guide_dropout": False,
    }  # fmt: skip
    assert guide.files()["clip"].name == "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"


@pytest.mark.parametrize(
    ("name", "tag", "said"),
    [
        ("ViT-B/32", None, r"^models\.name: open_clip has no model 'ViT-B/32'\. Did you mean 'ViT-B-32' or "),
        ("qqq", None, r"^models\.name: open_clip has no model 'qqq'\. open_clip\.list_models\(\) lists them all\.$"),
        ("resnet", "plain", r"^models\.pretrained: open_clip has no weights 'plain' of resnet; use another model, or"),
        ("vit", "plane", r"; use plain, inception, or null with models\.path\.$"),
        ("RN50", "plain", r"^models\.pretrained: .* use models\.name=RN50-quickgelu, or null with models\.path\.$"),
        ("vit", "quick", r"^models\.name: the weights quick were trained with QuickGELU, .* use models\.name=vit-q"),
        ("ViT-B-32", "metaclip_400m", r"use models\.name=ViT-B-32-quickgelu\.$"),
        ("coca_ViT-B-32", None, r"^models\.name: expected a CLIP with open_clip's own tokenizer, got coca_ViT-B-32;"),
        ("ViT-B-16-SigLIP", None, r"; choose another, or use models=hf_clip, which reads SigLIP\.$"),
        ("vit", None, r"^models\.pretrained: expected a tag, got null; choose one, or give models\.path\.$"),
    ],
)  # fmt: skip
def test_a_name_or_tag_that_cannot_guide(name, tag, said):
    with pytest.raises(UserError, match=said) as told:
        choice(name, tag).files()
    assert len(str(told.value).splitlines()) == 1


def test_images_that_are_not_square(monkeypatch):
    wide = ARCHITECTURES["vit"] | {"vision_cfg": VIT | {"image_size": [64, 128]}}
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "wide", wide)
    with pytest.raises(
        UserError, match=r"^models\.name: expected a CLIP for square images, got wide for \[64, 128\]; "
    ):
        pretrained("wide", None)


def test_a_published_head_for_another_clip(tmp_path, monkeypatch):
    head = HEADS["sa_0_4_vit_b_32_linear.pth"]
    torch.save(random_state("vit"), tmp_path / "weights.pt")
    monkeypatch.setattr(WeightFile, "digest", lambda self: head.sha256 if "head" in self.what else "0")
    monkeypatch.setattr(WeightFile, "fetch", lambda _: None)
    guide = choice("vit", "plain", tmp_path / "weights.pt", "sa_0_4_vit_b_32_linear.pth")
    with pytest.raises(
        UserError, match=r"^models\.head: expected a file for vit plain, got .* for ViT-B/32; choose that"
    ):
        guide.digests()


@pytest.mark.parametrize("name", ["vit"])
def test_weights_of_another_architecture(tmp_path, name, path):
    other = tmp_path / "other.pt"
    state = torch.load(path, weights_only=True)
    for spoilt, said in (
        (random_state("resnet"), "got positional_embedding of another shape"),
        ({name: w for name, w in state.items() if name != "visual.proj"}, r"got no visual\.proj"),
        ({}, "got other names"),
        ({"0.weight": torch.zeros(3)}, "got other names"),
        (state | {"visual.proj": torch.zeros(3)}, r"got visual\.proj of another shape"),
        (state | {"visual.more": torch.zeros(3)}, r"got visual\.more too"),
        (state | {"visual.proj": "three"}, r"got visual\.proj of another shape"),
    ):
        torch.save(spoilt, other)
        with pytest.raises(
            UserError, match=rf"^CLIP vit: expected weights of this architecture in .*, {said}; correct"
        ):
            OpenClip(pretrained(name, None), other)


@pytest.mark.parametrize("name", ["vit"])
def test_files_that_cannot_be_read(tmp_path, name, path):
    class Trap:
        def __reduce__(self):
            return (exec, ("raise SystemExit('ran code of the file')",))

    with pytest.raises(
        UserError, match=r"^CLIP vit: expected a file at .*nowhere\.pt, found none; correct models\.path"
    ):
        OpenClip(pretrained(name, None), tmp_path / "nowhere.pt")
    path.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(UserError, match=r"^CLIP vit: cannot read .* as a state dict or a TorchScript archive"):
        OpenClip(pretrained(name, None), path)
    torch.save({"visual.proj": Trap()}, path)
    with pytest.raises(UserError, match=r"^CLIP vit: cannot read .* \(UnpicklingError\)"):
        OpenClip(pretrained(name, None), path)


def test_a_folder_of_weights_that_does_not_exist_is_told_before_any_download(tmp_path):
    with pytest.raises(UserError, match=r"^CLIP \(.*\): expected a file at .*none\.pt, found none; point models\.path"):
        provide_weights(choice("vit", "plain", Path(tmp_path / "none.pt")), [], dry_run=False)


@pytest.mark.parametrize("name", ["vit"])
def test_the_package_is_all_that_it_needs(monkeypatch, name, path):
    """The extra `open_clip` brings neither OpenAI's package nor transformers."""
    for other in ("clip", "transformers"):
        monkeypatch.setitem(sys.modules, other, None)
    assert choice("ViT-B-32-quickgelu", "openai").files().keys() == {"clip", "head"}
    guide = choice(name, None, path)
    assert guide.digests().keys() == {"clip"}
    assert guide.load(torch.device("cpu"), torch.float32)[0].encode_texts(["a cat"]).shape == (1, 32)


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(UserError, match=r"cannot import the package open_clip .* uv sync --extra open_clip, or start"):
        choice(tag="plain").files()
    assert choice(tag="plain").lost_words("a cat") == ()
