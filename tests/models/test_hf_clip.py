"""Figures here are of transformers 5.23.0. All weights are random."""

import gc
import hashlib
import json
import shutil
import sys
import weakref
from unittest.mock import Mock

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from das_ag.colour import CLIP_MEAN, CLIP_STD
from das_ag.errors import UserError
from das_ag.models.guides.hf_clip import HfClipChoice
from das_ag.models.hf_clip import HfClip, hub_folder
from das_ag.models.hub import HubFolder
from das_ag.models.registry import provide_weights
from das_ag.settings.choices import choose_guide

TEXTS = ["a red circle", "A Red CIRCLE on blue", "cat " * 90, "dog"]
WORDS = ["<pad>", "</s>", "<unk>", "a", "red", "circle", "on", "blue", "cat", "dog", "sat", "A", "Red", "CIRCLE"]
KINDS = pytest.mark.parametrize("kind", ["clip", "siglip"], indirect=True)
CPU = torch.device("cpu")


def tokenizer_of(kind):
    """Words as tokens, upper case as others, with an end; CLIP's ends in the token with the largest number."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    end = "</s>" if kind == "siglip" else "<end>"
    words = {word: number for number, word in enumerate([*WORDS, "<end>"])}
    tokens = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokens.pre_tokenizer = pre_tokenizers.Whitespace()
    tokens.post_processor = processors.TemplateProcessing(single=f"$A {end}", special_tokens=[(end, words[end])])
    return PreTrainedTokenizerFast(tokenizer_object=tokens, pad_token="<pad>", eos_token=end, unk_token="<unk>")


def save_small(folder, kind):
    """Writes a network of two layers as transformers does, with its tokenizer and its preparation of images."""
    from transformers import CLIPConfig, CLIPModel, SiglipConfig, SiglipModel

    small = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
    marks = {"bos_token_id": 0, "eos_token_id": 14, "pad_token_id": 0}
    text = small | marks | {"vocab_size": 15, "max_position_embeddings": 20}
    vision = small | {"image_size": 48, "patch_size": 16}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if kind == "clip":
            model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=32, **marks))
        else:
            text |= {"projection_size": 64}
            model = SiglipModel(SiglipConfig(text_config=text, vision_config=vision))
        for weight in model.parameters():
            weight.data += 0.1 * torch.randn_like(weight)
    model.save_pretrained(folder)
    tokenizer_of(kind).save_pretrained(folder)
    mean, std = (CLIP_MEAN, CLIP_STD) if kind == "clip" else ((0.5, 0.5, 0.5), (0.25, 0.5, 0.75))
    (folder / "preprocessor_config.json").write_text(json.dumps({"image_mean": mean, "image_std": std}))
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return {kind: save_small(tmp_path_factory.mktemp(kind), kind) for kind in ("clip", "siglip")}


@pytest.fixture
def kind(request):
    return request.param


@pytest.fixture
def folder(made, kind):
    return made[kind]


@pytest.fixture
def spoilt(tmp_path, made):
    """A copy of the CLIP to be spoilt."""
    return shutil.copytree(made["clip"], tmp_path / "clip")


@pytest.fixture(autouse=True)
def _empty_cache(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", "")


def random_pixels(n=3):
    return torch.randn(n, 3, 48, 48, generator=torch.Generator().manual_seed(0))


def features_and_gradient(encode, pixels):
    pixels = pixels.clone().requires_grad_()
    features = encode(pixels)
    (gradient,) = torch.autograd.grad((features @ torch.linspace(-1, 1, features.shape[1])).sum(), pixels)
    return features.detach(), gradient


def pooled(output):
    """Features; transformers 4 returns them alone."""
    return F.normalize(getattr(output, "pooler_output", output), dim=-1)


def transformers_features(folder, kind):
    """What transformers itself computes of CLIP-normalised pictures, their gradient, and of texts."""
    from transformers import AutoModel, AutoTokenizer

    network = AutoModel.from_pretrained(folder).eval()
    preparation = json.loads((folder / "preprocessor_config.json").read_text())
    mean, std, clip_mean, clip_std = (
        torch.tensor(v)[:, None, None]
        for v in (preparation["image_mean"], preparation["image_std"], CLIP_MEAN, CLIP_STD)
    )

    def encode(pixels):
        return pooled(network.get_image_features(pixel_values=(pixels * clip_std + clip_mean - mean) / std))

    images, gradient = features_and_gradient(encode, random_pixels())
    texts = [text.lower() for text in TEXTS] if kind == "siglip" else TEXTS
    options = {"padding": "max_length" if kind == "siglip" else True, "truncation": True, "max_length": 20}
    tokens = AutoTokenizer.from_pretrained(folder)(texts, return_tensors="pt", **options)
    with torch.no_grad():
        mask = {} if kind == "siglip" else {"attention_mask": tokens.attention_mask}
        texts = pooled(network.get_text_features(tokens.input_ids, **mask))
    assert torch.pdist(images).min() > 1e-3
    assert torch.pdist(texts).min() > 0.02
    return images, gradient, texts


def small(folder, **options):
    return HfClip(hub_folder("", str(folder)), **options)


@KINDS
@pytest.mark.parametrize("kernel", ["sdpa", "math"])
def test_features_and_gradients_equal_those_of_transformers(folder, kind, kernel):
    images, gradient, texts = transformers_features(folder, kind)
    model, digest = small(folder, attention=kernel), choice(path=folder).digests()["clip"]
    assert (model.image_size_px, model.dim, model.digest) == (48, 32 if kind == "clip" else 64, digest)
    ours, own_gradient = features_and_gradient(model.encode_images, random_pixels())
    torch.testing.assert_close(ours, images, rtol=0, atol=1e-5)
    torch.testing.assert_close(own_gradient, gradient, rtol=0, atol=1e-5 * gradient.abs().max().item())
    torch.testing.assert_close(model.encode_texts(TEXTS), texts, rtol=0, atol=1e-5)


@KINDS
def test_bfloat16_gives_nearly_the_same_features_and_gradients(folder, kind):
    images, gradient, texts = transformers_features(folder, kind)
    model = small(folder, dtype=torch.bfloat16)
    ours, own_gradient = features_and_gradient(model.encode_images, random_pixels())
    assert F.cosine_similarity(ours, images).min() > 0.999
    assert F.cosine_similarity(own_gradient.flatten(1), gradient.flatten(1)).min() > 0.98
    torch.testing.assert_close(model.encode_texts(TEXTS), texts, rtol=0, atol=1e-5)  # always in float32


@KINDS
def test_only_siglip_reads_every_text_in_lower_case(folder, kind):
    upper, lower = small(folder).encode_texts(["A Red CIRCLE", "a red circle"])
    assert torch.equal(upper, lower) == (kind == "siglip")


@KINDS
@pytest.mark.parametrize("layout", ["bin", "several files", "several bins", "DataParallel", "processor_config"])
def test_every_layout_gives_the_same_features(tmp_path, folder, kind, layout):
    other = shutil.copytree(folder, tmp_path / "other")
    state = load_file(other / "model.safetensors")
    if layout == "processor_config":
        preparation = json.loads((other / "preprocessor_config.json").read_text())
        (other / "preprocessor_config.json").unlink()
        (other / "processor_config.json").write_text(json.dumps({"image_processor": preparation}))
    elif layout == "several files":
        from transformers import AutoModel

        (other / "model.safetensors").unlink()
        AutoModel.from_pretrained(folder).save_pretrained(other, max_shard_size="200KB")
        assert len(list(other.glob("*.safetensors"))) > 1
    else:
        (other / "model.safetensors").unlink()
        prefix = "module." if layout == "DataParallel" else ""
        state = {prefix + name: weight for name, weight in state.items()}
        parts = [state] if layout != "several bins" else [dict(list(state.items())[i::2]) for i in range(2)]
        names = ["pytorch_model.bin"] if len(parts) == 1 else [f"pytorch_model-0000{i}-of-00002.bin" for i in (1, 2)]
        for name, part in zip(names, parts, strict=True):
            torch.save(part, other / name)
        if len(parts) > 1:
            weight_map = {name: file for file, part in zip(names, parts, strict=True) for name in part}
            index = {"metadata": {"total_size": 1}, "weight_map": weight_map}
            (other / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    image_text, rater = choice(path=other).load(CPU, torch.float32)
    expected = small(folder)
    assert rater is None
    assert torch.equal(image_text.encode_images(random_pixels()), expected.encode_images(random_pixels()))
    assert torch.equal(image_text.encode_texts(TEXTS), expected.encode_texts(TEXTS))


@KINDS
def test_released_texts_leave_the_pictures(folder, kind):
    model = small(folder)
    before, tower = model.encode_images(random_pixels()), weakref.ref(model._text)
    model.release_texts()
    gc.collect()
    assert tower() is None
    assert torch.equal(model.encode_images(random_pixels()), before)


@KINDS
def test_loading_draws_no_random_number(folder, kind):
    before = torch.get_rng_state()
    small(folder)
    assert torch.equal(torch.get_rng_state(), before)


def choice(name="openai/clip-vit-base-patch32", path=None, head=None):
    return HfClipChoice("hf_clip", name, path and str(path), head, "sdpa", False)


@KINDS
def test_lost_words_are_those_beyond_the_context(folder, kind):
    """It has 20 places, one of them for the end."""
    guide = choice(path=folder)
    assert guide.lost_words("cat " * 19) == guide.lost_words("") == ()
    assert guide.lost_words("cat " * 19 + "sat on") == ("sat", "on")
    assert choice("nobody/none").lost_words("cat " * 99) == ()  # not downloaded


def test_the_digests_cover_all_that_determines_a_picture(spoilt):
    before = choice(path=spoilt).digests()
    assert before["clip"] == hashlib.sha256((spoilt / "model.safetensors").read_bytes()).hexdigest()
    assert set(before) == {"clip", "clip_config"}
    (spoilt / "README.md").write_text("changes nothing")
    assert choice(path=spoilt).digests() == before
    for name in ("config.json", "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json"):
        content = (spoilt / name).read_text()
        (spoilt / name).write_text(content + " ")
        assert choice(path=spoilt).digests() != before
        (spoilt / name).write_text(content)
    assert choice(path=spoilt).digests() == before


def test_the_name_counts_only_without_a_path(tmp_path):
    assert choice("google/siglip-base-patch16-224").identity()["name"] == "google/siglip-base-patch16-224"
    assert choice(path=tmp_path).identity() == choice("", path=tmp_path / "y").identity()
    with pytest.raises(UserError, match=r"^CLIP: .* got ''; correct it, or point models\.path to a folder\.$"):
        provide_weights(choice(""), [], dry_run=False)


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("openai/clip-vit-base-patch32", "sa_0_4_vit_b_32_linear.pth"),
        ("openai/clip-vit-base-patch16", "sa_0_4_vit_b_16_linear.pth"),
        ("openai/clip-vit-large-patch14", "sac+logos+ava1-l14-linearMSE.pth"),
        ("openai/clip-vit-large-patch14-336", None),
        ("laion/CLIP-ViT-B-32-laion2B-s34B-b79K", None),
        ("google/siglip2-base-patch16-224", None),
    ],
)
def test_openais_weights_get_the_head_that_fits_them(tmp_path, name, head):
    files = choice(name).files()
    assert files["clip"].name == name
    assert (files["head"].path.name if "head" in files else None) == head
    assert choice(name).rates == (head is not None)
    assert not choice(name, tmp_path).rates  # another network may lie there


def test_a_head_of_the_users_own_rates(tmp_path, made):
    torch.save({"weight": torch.ones(1, 32), "bias": torch.zeros(1)}, tmp_path / "head.pth")
    guide = choice(path=made["clip"], head=str(tmp_path / "head.pth"))
    image_text, rater = guide.load(CPU, torch.float32)
    features = image_text.encode_images(random_pixels())
    torch.testing.assert_close(rater.rate_features(features), features.sum(dim=1))
    assert set(guide.digests()) == {"clip", "clip_config", "head"}


def test_a_dry_run_downloads_nothing(monkeypatch):
    monkeypatch.setattr(HubFolder, "fetch", lambda _: pytest.fail("downloads"))
    with pytest.raises(UserError, match=r"^dry_run: .* missing: CLIP google/siglip .size unknown.\. A dry run"):
        provide_weights(choice("google/siglip"), [], dry_run=True)


def test_the_file_of_the_configuration_shares_its_settings(compose):
    ours, openais = compose("models=hf_clip"), compose("models=openai_clip")
    assert (ours.views, ours.objective, ours.canvas_px) == (openais.views, openais.objective, openais.canvas_px)
    assert choose_guide(ours.models) == choice()


def use(folder):
    guide = choice(path=folder)
    guide.digests()
    guide.load(CPU, torch.float32)


def said_of(folder):
    """The error's message for a folder, which must be one sentence of one line."""
    with pytest.raises(UserError) as told:
        use(folder)
    assert len(str(told.value).splitlines()) == 1
    return str(told.value)


def change(folder, name, **settings):
    (folder / name).write_text(json.dumps(json.loads((folder / name).read_text()) | settings))


@pytest.mark.parametrize(
    "lost", ["model.safetensors", "config.json", "tokenizer_config.json", "preprocessor_config.json"]
)
def test_a_folder_that_lacks_a_file(spoilt, lost):
    (spoilt / lost).unlink()
    assert lost in said_of(spoilt)


def test_a_folder_without_a_tokenizer(spoilt):
    (spoilt / "tokenizer.json").unlink()
    assert said_of(spoilt).startswith(f"CLIP: transformers cannot load the tokenizer in {spoilt} (“")


def test_the_tokenizer_of_siglip_needs_a_package(spoilt, monkeypatch):
    missing = ImportError("\nSiglipTokenizer requires the SentencePiece library.\nInstall it.")
    monkeypatch.setattr("transformers.AutoTokenizer.from_pretrained", Mock(side_effect=missing))
    assert said_of(spoilt) == (
        "models: cannot import the package sentencepiece (“SiglipTokenizer requires the SentencePiece library.”); "
        "install it with uv sync --extra paper, or start with uv run --extra paper."
    )


def test_a_changed_tokenizer_is_read_again(spoilt):
    assert choice(path=spoilt).lost_words("cat " * 20) == ("cat",)
    tokens = json.loads((spoilt / "tokenizer.json").read_text())
    tokens["post_processor"] = None
    (spoilt / "tokenizer.json").write_text(json.dumps(tokens))
    assert choice(path=spoilt).lost_words("cat " * 20) == ()


@pytest.mark.parametrize("kind", ["bert", None, 3])
def test_a_model_of_another_kind(spoilt, kind):
    change(spoilt, "config.json", model_type=kind)
    assert said_of(spoilt) == (
        f"CLIP: expected a model of type clip or siglip in {spoilt}, got {kind!r}; correct models.name or models.path."
    )


def test_a_siglip_2_for_images_of_any_shape(spoilt):
    change(spoilt, "config.json", model_type="siglip2")
    assert said_of(spoilt).startswith(f"CLIP: {spoilt} has a SigLIP 2 for images of any shape (NaFlex); use one of a")


def test_settings_that_are_no_settings(spoilt):
    change(spoilt, "preprocessor_config.json", image_mean=None)
    assert "expected image_mean and image_std in" in said_of(spoilt)
    for content, said in (("[]", "got other data"), ("{", "cannot read"), ("\xff", "cannot read")):
        (spoilt / "preprocessor_config.json").write_text(content, encoding="latin-1")
        assert said in said_of(spoilt)


@pytest.mark.parametrize("kept", [0, 100, 10_000])
def test_half_a_file(spoilt, kept):
    file = spoilt / "model.safetensors"
    file.write_bytes(file.read_bytes()[:kept])
    assert said_of(spoilt).startswith(f"CLIP: transformers cannot load the checkpoint in {spoilt} (“")


def test_weights_of_another_network(spoilt, made):
    save_file({"conv.weight": torch.zeros(3)}, spoilt / "model.safetensors", metadata={"format": "pt"})
    assert "expected weights of clip in" in said_of(spoilt)
    shutil.copy(made["siglip"] / "model.safetensors", spoilt)
    assert "transformers cannot load" in said_of(spoilt) or "expected weights of clip in" in said_of(spoilt)


@pytest.mark.parametrize("lost", ["text_projection.weight", "vision_model.embeddings.position_embedding.weight"])
def test_a_folder_without_one_of_its_weights(spoilt, lost):
    """transformers would make it up and say nothing."""
    state = load_file(spoilt / "model.safetensors")
    del state[lost]
    save_file(state, spoilt / "model.safetensors", metadata={"format": "pt"})
    assert f"got none for 1 of its names, for instance {lost};" in said_of(spoilt)


def test_a_weight_that_is_no_number(spoilt):
    state = load_file(spoilt / "model.safetensors")
    state["visual_projection.weight"][3, 5] = float("nan")
    save_file(state, spoilt / "model.safetensors", metadata={"format": "pt"})
    assert "got NaN or infinity in visual_projection.weight" in said_of(spoilt)


def test_a_file_that_would_run_code_is_not_read(spoilt):
    class Trap:
        def __reduce__(self):
            return (exec, ("raise SystemExit('ran code of the file')",))

    (spoilt / "model.safetensors").unlink()
    torch.save({"visual_projection.weight": Trap()}, spoilt / "pytorch_model.bin")
    assert said_of(spoilt).startswith(
        f"CLIP: transformers cannot load the checkpoint in {spoilt} (“Weights only load f"
    )


def test_code_that_a_folder_brings_along_does_not_run(spoilt):
    change(spoilt, "config.json", auto_map={"AutoConfig": "mine.Config", "AutoModel": "mine.Model"})
    change(spoilt, "tokenizer_config.json", auto_map={"AutoTokenizer": ["mine.Tokenizer", None]})
    (spoilt / "mine.py").write_text("raise SystemExit('ran code of the folder')")
    assert choice(path=spoilt).load(CPU, torch.float32)[0].encode_texts(["a cat"]).shape == (1, 32)


def test_without_the_package(monkeypatch, made):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UserError, match=r"cannot import the package transformers .* uv sync --extra paper"):
        choice(path=made["clip"]).load(CPU, torch.float32)
