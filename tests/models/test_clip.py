import hashlib
import warnings

import pytest
import torch
from reference import GEISHA, NEGATIVE, save_small_clip, small_clip
from torch.nn import functional as F

from das_ag.errors import UserError
from das_ag.models.clip import OpenAIClip

TEXTS = ["a red circle", GEISHA, NEGATIVE]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return save_small_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def model(path):
    return OpenAIClip(path)


def random_pixels(n=3):
    return torch.randn(n, 3, 224, 224, generator=torch.Generator().manual_seed(0))


def test_features_equal_those_of_openais_own_functions(path, model):
    import clip

    theirs, _ = clip.load(str(path), device="cpu")
    with torch.no_grad():
        images = F.normalize(theirs.encode_image(random_pixels()), dim=-1)
        texts = F.normalize(theirs.encode_text(clip.tokenize(TEXTS, truncate=True)), dim=-1)
    assert images.shape == (3, 768)
    torch.testing.assert_close(model.encode_images(random_pixels()), images, rtol=0, atol=1e-6)
    torch.testing.assert_close(model.encode_texts(TEXTS), texts, rtol=0, atol=1e-6)
    # Random weights must still tell pictures and texts apart, or equality would prove nothing.
    assert (images @ images.T - torch.eye(3)).abs().max() < 0.999
    assert (texts @ texts.T - torch.eye(3)).abs().max() < 0.999


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


def test_a_torchscript_archive_gives_the_same_model(tmp_path, path, model):
    """OpenAI publishes archives, which hold three numbers beside the weights."""
    network = small_clip()
    network.load_state_dict(torch.load(path, weights_only=True))
    for name, value in (("input_resolution", 224), ("context_length", 77), ("vocab_size", 49408)):
        for holder in (network, network.visual):
            holder.__dict__.pop(name, None)
        network.register_buffer(name, torch.tensor(value))
    tokens = torch.zeros(1, 77, dtype=torch.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls tracing deprecated; only OpenAI's old files need it
        traced = torch.jit.trace(network, (random_pixels(1), tokens), check_trace=False)
        torch.jit.save(traced, tmp_path / "clip.pt")
    loaded = OpenAIClip(tmp_path / "clip.pt")
    assert loaded.image_size_px == 224
    assert torch.equal(loaded.encode_images(random_pixels()), model.encode_images(random_pixels()))
    assert torch.equal(loaded.encode_texts(TEXTS), model.encode_texts(TEXTS))


def test_no_word_of_the_published_prompts_is_lost(model):
    assert model.lost_words(GEISHA) == ()
    assert model.lost_words(NEGATIVE) == ()
    assert model.lost_words("a cat") == ()
    assert model.lost_words("") == ()


def test_lost_words_of_a_long_prompt(model):
    """The context has 77 places, two of them for the marks of start and end; "cat" is one token."""
    assert model.lost_words("cat " * 75) == ()
    assert model.lost_words("cat " * 75 + "sat on") == ("sat", "on")


def test_lost_words_are_those_that_the_features_do_not_show(model):
    text = "cat " * 75 + "sat on the mat"
    assert torch.equal(model.encode_texts([text]), model.encode_texts(["cat " * 75]))
    shorter = "cat " * 74 + "sat"  # still within
    difference = (model.encode_texts([shorter]) - model.encode_texts(["cat " * 74])).norm()
    assert difference > 1e-3


def test_a_word_that_does_not_fit_whole_is_lost(model):
    """ "metallic" and the like are one token; "xylophonist" is several, of which only the first finds room."""
    assert model.lost_words("cat " * 74 + "xylophonist") == ("xylophonist",)


def test_missing_file(tmp_path):
    with pytest.raises(UserError, match=r"^CLIP: expected a file at .*nowhere\.pt, found none; point CLIP_MODEL_PATH"):
        OpenAIClip(tmp_path / "nowhere.pt")


@pytest.mark.parametrize("kept", [0, 1000, 1_000_000])
def test_truncated_file(tmp_path, path, kept):
    short = tmp_path / "short.pt"
    short.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UserError, match=r"^CLIP: expected a state dict or a TorchScript archive in .*short\.pt, could"):
        OpenAIClip(short)


def test_wrong_checksum(path):
    with pytest.raises(UserError, match=r"expected SHA-256 0000000000000000… of clip_small_random\.pt "):
        OpenAIClip(path, sha256="0" * 64)


def test_right_checksum(path, model):
    assert OpenAIClip(path, sha256=model.digest).digest == model.digest


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


def test_a_file_that_holds_no_state_dict(tmp_path):
    torch.save([1, 2, 3], tmp_path / "list.pt")
    with pytest.raises(UserError, match=r"^CLIP: expected a state dict in .*list\.pt, got list"):
        OpenAIClip(tmp_path / "list.pt")


def test_a_file_that_would_run_code_is_not_read(tmp_path):
    class Trap:
        def __reduce__(self):
            return (exec, ("raise SystemExit('ran code of the file')",))

    torch.save({"visual.proj": Trap()}, tmp_path / "trap.pt")
    with pytest.raises(UserError, match=r"could not read it \(UnpicklingError\)"):
        OpenAIClip(tmp_path / "trap.pt")
