"""What tests compare with: the published program's prompts and numbers, and where files of weights may lie."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).parents[1]
TRAJECTORIES = Path(__file__).parent / "data" / "published_v1_trajectories.npz"
EXACT = Path(__file__).parent / "data" / "published_v1_exact.npz"

GEISHA = (
    'A photorealistic illustration of "a cute Japanese Geisha girl wearing a rainbow-colored kimono, crying with huge '
    'drops of tears", fine-grained details, well-recognizable, close-up, well-recognizable face expression'
)
NEGATIVE = (
    "text present, low-quality, low-resolution, insane, ugly, grotesque, horrifying, blurred, noisy, distorted, "
    "pixelated, artifact present, without depth, flat, boring, uninteresting, unattractive, unappealing, unclear, "
    "dull, dark, gloomy, depressing, monotonous"
)
"""Positive prompt `geisha` and the negative prompt of all samples, as published."""

SMALL_CLIP_SHA256 = "dc3d24e2a60c1b9a2e6e32868225e02f1c960353cdd1480343b9af33020774bb"
"""Of the file with the random CLIP under which the trajectories were recorded; see `small_clip_state`."""
LAION_HEAD = "sac+logos+ava1-l14-linearMSE.pth"


def trajectories():
    """The arrays of `published_v1_trajectories.npz` by name; tests/data/README.md says what they are."""
    with np.load(TRAJECTORIES) as arrays:
        return {name: arrays[name] for name in arrays.files}


def exact():
    """The arrays of `published_v1_exact.npz` by name."""
    with np.load(EXACT) as arrays:
        return {name: arrays[name] for name in arrays.files}


def find_weights(name, *, variable, sha256=None):
    """The path of a file of weights that the project does not carry; skips the test where it is not at hand.

    Looked for at the path in the environment variable, then below `reference/` in a folder beside the repository.
    """
    places = [Path(os.environ[variable])] if os.environ.get(variable) else []
    places += sorted(ROOT.parent.glob(f"*/reference/**/{name}"))
    for path in places:
        if path.is_file() and (sha256 is None or _sha256(path) == sha256):
            return path
    which = f" with SHA-256 {sha256[:8]}…" if sha256 else ""
    return pytest.skip(f"needs {name}{which}: set {variable} to its path")


def _sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def laion_head_path():
    """The published LAION head."""
    from das_ag.models.sources import HEADS

    return find_weights(LAION_HEAD, variable="AESTHETIC_PREDICTOR_PATH", sha256=HEADS[LAION_HEAD].sha256)


def v2_5_head_path():
    """The published head of Aesthetic Predictor v2.5."""
    from das_ag.models.sources import V2_5_SHA256

    name = "aesthetic_predictor_v2_5.pth"
    return find_weights(name, variable="AESTHETIC_PREDICTOR_V2_5_PATH", sha256=V2_5_SHA256)


def small_clip():
    """A CLIP of OpenAI's architecture with random weights, in float32."""
    from clip.model import CLIP

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = CLIP(
            embed_dim=768, image_resolution=224, vision_layers=2, vision_width=64, vision_patch_size=32,
            context_length=77, vocab_size=49408, transformer_width=64, transformer_heads=1, transformer_layers=2,
        )  # fmt: skip
    return model.eval()


def small_clip_state():
    """Its weights as the recorded runs had them: every tensor in float16, the layer norms' included."""
    return {name: weight.half() for name, weight in small_clip().state_dict().items()}


def save_small_clip(folder):
    """Writes those weights as a checkpoint that OpenAI's loader accepts; returns its path."""
    path = folder / "clip_small_random.pt"
    torch.save(small_clip_state(), path)
    return path


def save_small_siglip(folder, hidden=1152):
    """Writes a folder as that of google/siglip-so400m-patch14-384, but of one layer and random weights; returns it."""
    from transformers import SiglipConfig, SiglipImageProcessor, SiglipModel

    text = {"hidden_size": 32, "num_attention_heads": 2, "vocab_size": 64, "max_position_embeddings": 8}
    vision = {"hidden_size": hidden, "num_attention_heads": 16, "image_size": 384, "patch_size": 14}
    small = {"intermediate_size": 64, "num_hidden_layers": 1}
    marks = {"bos_token_id": 62, "eos_token_id": 63}  # those of the full vocabulary would not fit
    config = SiglipConfig(text_config=text | small | marks, vision_config=vision | small)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = SiglipModel(config)
    model.save_pretrained(folder)
    SiglipImageProcessor(size={"height": 384, "width": 384}).save_pretrained(folder)
    return folder


def save_random_v2_5_head(path, inputs=1152):
    """Writes a head of random weights in the layout of Aesthetic Predictor v2.5; returns its path."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = torch.nn.Sequential(
            torch.nn.Linear(inputs, 1024), torch.nn.Dropout(0.5), torch.nn.Linear(1024, 128), torch.nn.Dropout(0.5),
            torch.nn.Linear(128, 64), torch.nn.Dropout(0.5), torch.nn.Linear(64, 16), torch.nn.Dropout(0.2),
            torch.nn.Linear(16, 1),
        )  # fmt: skip
    state = layers.state_dict(prefix="scoring_head.")
    # Initial weights would make the scores of all images nearly the same.
    torch.save(type(state)((name, 3 * weight) for name, weight in state.items()), path)
    return path
