import gc
import hashlib
import warnings
import weakref

import pytest
import torch
from reference import GEISHA, NEGATIVE, save_small_clip, small_clip
from safetensors.torch import save_file
from torch.nn import functional as F
from trap import Trap

from das_ag.errors import UserError
from das_ag.models.clip import (
    VIT_L_14,
    OpenAIClip,
    architecture_of,
    draw_initial_weights,
    lost_words,
    save_random_clip,
)

TEXTS = ["a red circle", GEISHA, NEGATIVE]

TEXT_TOWER = {
    "context_length": 20, "vocab_size": 49408, "transformer_width": 128, "transformer_heads": 2,
    "transformer_layers": 3,
}  # fmt: skip
SMALL_VIT = {
    "embed_dim": 48, "image_resolution": 80, "vision_layers": 4, "vision_width": 192, "vision_patch_size": 16,
    **TEXT_TOWER,
}  # fmt: skip
SMALL_RESNET = {
    "embed_dim": 48, "image_resolution": 64, "vision_layers": (1, 3, 2, 1), "vision_width": 16,
    "vision_patch_size": None, **TEXT_TOWER,
}  # fmt: skip
ARCHITECTURES = pytest.mark.parametrize("architecture", [SMALL_VIT, SMALL_RESNET], ids=["transformer", "residual"])
KERNELS = pytest.mark.parametrize("kernel", ["sdpa", "math"])


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return save_small_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def model(path):
    return OpenAIClip(path)


def random_pixels(n=3):
    return torch.randn(n, 3, 224, 224, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def theirs(path):
    return what_openai_computes(path, random_pixels(), TEXTS)


@pytest.fixture(scope="module")
def large_path(tmp_path_factory):
    """A ViT-L/14 of full size."""
    path = tmp_path_factory.mktemp("large") / "clip.pt"
    save_random_clip(path, VIT_L_14)
    yield path
    path.unlink()  # 0.9 GB, which pytest would keep


@pytest.fixture(scope="module")
def large_theirs(large_path):
    return what_openai_computes(large_path, random_pixels(2), TEXTS)


def what_openai_computes(path, pixels, texts, context_length=77):
    """Features of pictures and texts, and the pictures' gradient, by `clip` itself."""
    import clip

    with torch.random.fork_rng(devices=[]):
        network, _ = clip.load(str(path), device="cpu")
    gradient, images = gradient_of(lambda pixels: F.normalize(network.encode_image(pixels), dim=-1), pixels)
    with torch.no_grad():
        texts = F.normalize(network.encode_text(clip.tokenize(texts, context_length, truncate=True)), dim=-1)
    # Random weights must still tell pictures and texts apart, or equality would prove nothing.
    assert torch.pdist(images).min() > 0.02
    assert torch.pdist(texts).min() > 0.02
    return images, texts, gradient


def gradient_of(encode, pixels):
    """Gradient of the features' sum, each with a weight of its own, and the features."""
    pixels = pixels.clone().requires_grad_()
    features = encode(pixels)
    weights = torch.linspace(-1, 1, features.shape[1])
    (gradient,) = torch.autograd.grad((features @ weights).sum(), pixels)
    return gradient, features.detach()


def assert_equal_gradients(gradient, expected):
    torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-5 * expected.abs().max().item())


def least_cosine(ours, theirs):
    return F.cosine_similarity(ours.flatten(1), theirs.flatten(1)).min().item()


@KERNELS
def test_features_equal_those_of_openais_own_functions(path, theirs, kernel):
    """Bit for bit with sdpa, 2e-8 apart with math; the gradients 6e-7 of their largest value."""
    model = OpenAIClip(path, attention=kernel)
    images, texts, gradient = theirs
    ours, features = gradient_of(model.encode_images, random_pixels())
    assert features.shape == (3, 768)
    torch.testing.assert_close(features, images, rtol=0, atol=1e-6)
    torch.testing.assert_close(model.encode_texts(TEXTS), texts, rtol=0, atol=1e-6)
    assert_equal_gradients(ours, gradient)


def test_bfloat16_gives_nearly_the_same_features_and_gradients(path, theirs):
    """Cosines of features and gradients measured: 0.99998 and 0.99996."""
    model = OpenAIClip(path, dtype=torch.bfloat16)
    images, texts, gradient = theirs
    ours, features = gradient_of(model.encode_images, random_pixels())
    assert (features.dtype, ours.dtype) == (torch.float32, torch.float32)
    assert least_cosine(features, images) > 0.999
    assert least_cosine(ours, gradient) > 0.999
    torch.testing.assert_close(model.encode_texts(TEXTS), texts, rtol=0, atol=1e-6)  # always in float32


@pytest.mark.slow
@KERNELS
def test_a_vit_l_14_of_full_size_equals_openais(large_path, large_theirs, kernel):
    """Bit for bit with sdpa, 1e-7 apart with math; the gradients 2e-6 of their largest value."""
    model = OpenAIClip(large_path, attention=kernel)
    images, texts, gradient = large_theirs
    ours, features = gradient_of(model.encode_images, random_pixels(2))
    torch.testing.assert_close(features, images, rtol=0, atol=1e-5)
    torch.testing.assert_close(model.encode_texts(TEXTS), texts, rtol=0, atol=1e-5)
    assert_equal_gradients(ours, gradient)


@pytest.mark.slow
def test_a_vit_l_14_of_full_size_in_bfloat16(large_path, large_theirs):
    """Cosines of features and gradients measured: 0.99992 and 0.9999."""
    model = OpenAIClip(large_path, dtype=torch.bfloat16)
    images, _, gradient = large_theirs
    ours, features = gradient_of(model.encode_images, random_pixels(2)[:1])
    assert least_cosine(features, images[:1]) > 0.999
    assert least_cosine(ours, gradient[:1]) > 0.999


@ARCHITECTURES
def test_the_architecture_of_a_model_is_what_made_it(tmp_path, architecture):
    from clip.model import CLIP

    with torch.random.fork_rng(devices=[]):
        assert architecture_of(CLIP(**architecture)) == architecture
    save_random_clip(tmp_path / "clip.pt", architecture)
    assert OpenAIClip(tmp_path / "clip.pt").architecture == architecture


@ARCHITECTURES
def test_initial_weights_draw_as_the_model_does(architecture):
    from clip.model import CLIP

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        draw_initial_weights(architecture)
        ours = torch.get_rng_state()
        torch.manual_seed(0)
        before = torch.get_rng_state()
        CLIP(**architecture)
        assert torch.equal(torch.get_rng_state(), ours)
    assert not torch.equal(before, ours)


@ARCHITECTURES
def test_saving_loading_and_encoding_draw_no_random_number(tmp_path, architecture):
    before = torch.get_rng_state()
    save_random_clip(tmp_path / "clip.pt", architecture)
    model = OpenAIClip(tmp_path / "clip.pt")
    model.encode_images(random_pixels(1)[..., : model.image_size_px, : model.image_size_px])
    model.encode_texts(["a cat"])
    assert torch.equal(torch.get_rng_state(), before)


@ARCHITECTURES
def test_a_saved_random_model_depends_on_its_seed_alone(tmp_path, architecture):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        save_random_clip(tmp_path / name, architecture, seed)
    a, b, c = (OpenAIClip(tmp_path / name).encode_texts(["a cat"]) for name in "abc")
    assert torch.equal(a, b)
    assert (a - c).abs().max() > 0.01


@ARCHITECTURES
def test_a_model_of_another_architecture_equals_openais(tmp_path, architecture):
    """Its pictures have another size, and its context has 20 places, so that fewer words fit."""
    path, size = tmp_path / "clip.pt", architecture["image_resolution"]
    save_random_clip(path, architecture)
    state = torch.load(path, weights_only=True)
    # Through a residual network's initial weights all pictures look the same: branches are shut, the rest shrinks.
    for name, weight in state.items():
        if name.startswith("visual.") and weight.ndim == 4:
            weight.mul_(3)
        elif name.endswith("bn3.weight"):
            weight.fill_(1)
    torch.save(state, path)
    pixels = random_pixels()[..., :size, :size]
    images, texts, gradient = what_openai_computes(path, pixels, TEXTS, context_length=20)
    model = OpenAIClip(path)
    assert (model.image_size_px, model.dim) == (size, 48)
    ours, features = gradient_of(model.encode_images, pixels)
    torch.testing.assert_close(features, images, rtol=0, atol=1e-6)
    torch.testing.assert_close(model.encode_texts(TEXTS), texts, rtol=0, atol=1e-6)
    assert_equal_gradients(ours, gradient)
    assert lost_words("cat " * 18 + "sat", model.architecture["context_length"]) == ("sat",)
    ours, features = gradient_of(OpenAIClip(path, dtype=torch.bfloat16).encode_images, pixels)
    assert least_cosine(features, images) > 0.999
    assert least_cosine(ours, gradient) > 0.9  # 0.96 where rounding turns rectifiers on and off


def test_released_texts_leave_the_pictures(path):
    model = OpenAIClip(path)
    before, tower = model.encode_images(random_pixels(1)), weakref.ref(model._text.__self__)
    model.encode_texts(["a cat"])
    model.release_texts()
    gc.collect()
    assert tower() is None
    assert torch.equal(model.encode_images(random_pixels(1)), before)
    assert lost_words("a cat", model.architecture["context_length"]) == ()
    with pytest.raises(TypeError):
        model.encode_texts(["a cat"])


def test_features_have_length_one(model):
    for features in (model.encode_images(random_pixels()), model.encode_texts(TEXTS)):
        assert features.dtype == torch.float32
        torch.testing.assert_close(features.norm(dim=-1), torch.ones(3), rtol=0, atol=1e-6)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_picture_and_a_text_have_the_same_features_alone(model, place):
    one = slice(place, place + 1)
    pixels = random_pixels()
    torch.testing.assert_close(model.encode_images(pixels[one]), model.encode_images(pixels)[one], rtol=0, atol=1e-6)
    torch.testing.assert_close(model.encode_texts(TEXTS[one]), model.encode_texts(TEXTS)[one], rtol=0, atol=1e-6)


def test_the_model_is_frozen_but_its_input_has_a_gradient(model):
    pixels = random_pixels(1).requires_grad_()
    model.encode_images(pixels)[0, 0].backward()
    assert pixels.grad.isfinite().all()
    assert pixels.grad.abs().max() > 0
    assert not model.encode_texts(["a cat"]).requires_grad


def test_the_gradient_equals_the_finite_difference(model):
    pixels, direction = random_pixels(1).requires_grad_(), torch.ones(1, 3, 224, 224)
    text = model.encode_texts(["a cat"])[0]
    (model.encode_images(pixels)[0] @ text).backward()
    with torch.no_grad():
        there, back = (model.encode_images(pixels + s * direction)[0] @ text for s in (1e-2, -1e-2))
    assert (pixels.grad * direction).sum().item() == pytest.approx((there - back).item() / 2e-2, rel=0.02)


def test_image_size_and_digest(path, model):
    assert model.image_size_px == 224
    assert model.digest == hashlib.sha256(path.read_bytes()).hexdigest()


def as_openai_publishes(path):
    """The network with the three numbers that OpenAI's archives hold beside the weights."""
    network = small_clip()
    network.load_state_dict(torch.load(path, weights_only=True))
    for name, value in (("input_resolution", 224), ("context_length", 77), ("vocab_size", 49408)):
        for holder in (network, network.visual):
            holder.__dict__.pop(name, None)
        network.register_buffer(name, torch.tensor(value))
    return network


class Bare(torch.nn.Module):
    """Another module's weights and children without its program, which torch.jit.script cannot read."""

    def __init__(self, module):
        super().__init__()
        for name, weight in module.named_parameters(recurse=False):
            self.register_parameter(name, torch.nn.Parameter(weight, requires_grad=False))
        for name, buffer in module.named_buffers(recurse=False):
            self.register_buffer(name, buffer)
        for name, child in module.named_children():
            self.add_module(name, Bare(child))
        if getattr(module, "attn_mask", None) is not None:
            self.attn_mask = module.attn_mask


@pytest.mark.parametrize("made_by", ["trace", "script"])
def test_a_torchscript_archive_gives_the_same_model(tmp_path, path, model, made_by):
    network, tokens = as_openai_publishes(path), torch.zeros(1, 77, dtype=torch.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls TorchScript deprecated; only OpenAI's old files need it
        if made_by == "trace":
            archive = torch.jit.trace(network, (random_pixels(1), tokens), check_trace=False)
        else:
            archive = torch.jit.script(Bare(network))
        torch.jit.save(archive, tmp_path / "clip.pt")
    loaded = OpenAIClip(tmp_path / "clip.pt")
    assert loaded.image_size_px == 224
    assert torch.equal(loaded.encode_images(random_pixels()), model.encode_images(random_pixels()))
    assert torch.equal(loaded.encode_texts(TEXTS), model.encode_texts(TEXTS))


def test_no_code_of_a_torchscript_archive_runs(tmp_path, path, model):
    network, written = Bare(as_openai_publishes(path)), tmp_path / "written"
    network.add_module("trap", Trap(written))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(network), tmp_path / "clip.pt")
        torch.jit.load(tmp_path / "clip.pt")
    written.unlink()  # the archive does run its code where torch loads it
    loaded = OpenAIClip(tmp_path / "clip.pt")
    assert not written.exists()
    assert torch.equal(loaded.encode_texts(TEXTS), model.encode_texts(TEXTS))


def test_only_published_archives_may_run(tmp_path, path, monkeypatch):
    """Their checksums are those of CLIP's own package."""
    allowed = []
    monkeypatch.setattr("das_ag.models.clip.load_state", lambda _, **options: allowed.append(options["runnable"]) or {})
    with pytest.raises(UserError):
        OpenAIClip(path)
    assert len(allowed[0]) == 9
    assert "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836" in allowed[0]  # ViT-L/14


def test_safetensors_give_the_same_model(tmp_path, path, model):
    save_file(torch.load(path, weights_only=True), tmp_path / "clip.safetensors")
    loaded = OpenAIClip(tmp_path / "clip.safetensors")
    assert torch.equal(loaded.encode_texts(TEXTS), model.encode_texts(TEXTS))


def test_no_word_of_the_published_prompts_is_lost(model):
    assert lost_words(GEISHA, model.architecture["context_length"]) == ()
    assert lost_words(NEGATIVE, model.architecture["context_length"]) == ()
    assert lost_words("a cat", model.architecture["context_length"]) == ()
    assert lost_words("", model.architecture["context_length"]) == ()


def test_lost_words_of_a_long_prompt(model):
    """The context has 77 places, two of them for the marks of start and end; "cat" is one token."""
    assert lost_words("cat " * 75, model.architecture["context_length"]) == ()
    assert lost_words("cat " * 75 + "sat on", model.architecture["context_length"]) == ("sat", "on")


def test_lost_words_are_those_that_the_features_do_not_show(model):
    text = "cat " * 75 + "sat on the mat"
    assert torch.equal(model.encode_texts([text]), model.encode_texts(["cat " * 75]))
    shorter = "cat " * 74 + "sat"  # still within
    difference = (model.encode_texts([shorter]) - model.encode_texts(["cat " * 74])).norm()
    assert difference > 1e-3


def test_a_word_that_does_not_fit_whole_is_lost(model):
    """ "metallic" and the like are one token; "xylophonist" is several, of which only the first finds room."""
    assert lost_words("cat " * 74 + "xylophonist", model.architecture["context_length"]) == ("xylophonist",)


def test_missing_file(tmp_path):
    with pytest.raises(UserError, match=r"^CLIP: expected a file at .*nowhere\.pt, found none; point CLIP_MODEL_PATH"):
        OpenAIClip(tmp_path / "nowhere.pt")


@pytest.mark.parametrize("kept", [0, 1000, 1_000_000])
def test_truncated_file(tmp_path, path, kept):
    short = tmp_path / "short.pt"
    short.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UserError, match=r"^CLIP: cannot read .*short\.pt as a state dict or a TorchScript"):
        OpenAIClip(short)


@pytest.mark.parametrize(
    "state",
    [
        {"0.weight": torch.zeros(1024, 768), "0.bias": torch.zeros(1024)},
        {"visual.proj": torch.zeros(4, 4)},
        {"visual.layer1.0.conv1.weight": torch.zeros(4, 3, 3, 3)},
        {},
    ],
    ids=["aesthetic head", "half a transformer", "half a residual network", "nothing"],
)
def test_another_networks_weights(tmp_path, state):
    torch.save(state, tmp_path / "other.pt")
    with pytest.raises(UserError, match=r"^CLIP: expected a checkpoint of OpenAI's CLIP in .*other\.pt, got other wei"):
        OpenAIClip(tmp_path / "other.pt")


def test_a_clip_with_a_weight_of_another_shape(tmp_path, path):
    state = torch.load(path, weights_only=True)
    state["visual.ln_post.weight"] = torch.ones(65).half()
    torch.save(state, tmp_path / "other.pt")
    with pytest.raises(UserError, match=r"^CLIP: expected a checkpoint of OpenAI's CLIP"):
        OpenAIClip(tmp_path / "other.pt")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_weight_that_is_no_number(tmp_path, path, value):
    """Otherwise the ascent would fail, and its message would blame the learning rate."""
    state = torch.load(path, weights_only=True)
    state["visual.proj"][3, 5] = value
    torch.save(state, tmp_path / "damaged.pt")
    with pytest.raises(
        UserError, match=r"^CLIP: expected finite weights in .*\.pt, got NaN or infinity in visual\.proj;"
    ):
        OpenAIClip(tmp_path / "damaged.pt")


def test_a_prefix_of_all_names_is_named(tmp_path, path):
    state = torch.load(path, weights_only=True)
    torch.save({f"model.clip.{name}": weight for name, weight in state.items()}, tmp_path / "other.pt")
    with pytest.raises(
        UserError, match=r"^CLIP: .*, got names that begin with 'model\.clip\.'; remove this prefix from"
    ):
        OpenAIClip(tmp_path / "other.pt")


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("epoch", [None, 3])
def test_a_training_checkpoint_and_the_prefix_of_dataparallel_are_read(tmp_path, path, model, prefix, epoch):
    state = {f"{prefix}{name}": weight for name, weight in torch.load(path, weights_only=True).items()}
    torch.save(state if epoch is None else {"epoch": epoch, "state_dict": state}, tmp_path / "trained.pt")
    assert torch.equal(OpenAIClip(tmp_path / "trained.pt").encode_texts(TEXTS), model.encode_texts(TEXTS))


def test_a_training_checkpoint_of_another_layout_is_named(tmp_path, path):
    torch.save({"epoch": 3, "model": torch.load(path, weights_only=True)}, tmp_path / "epoch_3.pt")
    with pytest.raises(UserError, match=r"^CLIP: .*, got a training checkpoint; write its 'model' alone to a"):
        OpenAIClip(tmp_path / "epoch_3.pt")


def test_a_weight_in_a_training_checkpoint_that_is_no_number(tmp_path, path):
    state = torch.load(path, weights_only=True)
    state["visual.proj"][3, 5] = float("nan")
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / "damaged.pt")
    with pytest.raises(
        UserError, match=r"^CLIP: expected finite weights in .*\.pt, got NaN or infinity in visual\.proj;"
    ):
        OpenAIClip(tmp_path / "damaged.pt")


@pytest.mark.parametrize("file", ["pytorch_model.bin", "model.safetensors"])
def test_the_layout_of_hugging_face_is_named(tmp_path, file):
    from transformers import CLIPConfig, CLIPModel

    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    with torch.random.fork_rng(devices=[]):
        network = CLIPModel(CLIPConfig(text_config={**small, "vocab_size": 64}, vision_config=small))
    if file.endswith(".bin"):
        torch.save(network.state_dict(), tmp_path / file)
    else:
        network.save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"^CLIP: .*, got the layout of Hugging Face's transformers; use models=hf_c"):
        OpenAIClip(tmp_path / file)
    with pytest.raises(UserError, match=r"^CLIP: expected a file at .*, found a folder; point CLIP_MODEL_PATH"):
        OpenAIClip(tmp_path)


def test_a_file_that_holds_no_state_dict(tmp_path):
    torch.save([1, 2, 3], tmp_path / "list.pt")
    with pytest.raises(UserError, match=r"^CLIP: expected a state dict in .*list\.pt, got list"):
        OpenAIClip(tmp_path / "list.pt")


def test_a_file_that_would_run_code_is_not_read(tmp_path):
    class Trap:
        def __reduce__(self):
            return (exec, ("raise SystemExit('ran code of the file')",))

    torch.save({"visual.proj": Trap()}, tmp_path / "trap.pt")
    with pytest.raises(UserError, match=r"^CLIP: cannot read .*trap\.pt as .* \(UnpicklingError\)"):
        OpenAIClip(tmp_path / "trap.pt")
