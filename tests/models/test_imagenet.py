"""The guide and the judge on classifiers of photographs."""

import dataclasses
import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from test_classifier import save_random
from torch.nn import functional as F

from das_ag.colour import CLIP_MEAN, CLIP_STD
from das_ag.errors import UserError
from das_ag.evaluation.evaluate import check_not_guide, evaluate
from das_ag.models.classifier import Classifier, weights_file
from das_ag.models.evaluators.imagenet import ImagenetJudgeChoice
from das_ag.models.guides.imagenet import ImagenetChoice
from das_ag.models.imagenet import ImagenetGuide, ImagenetJudge, prepare
from das_ag.models.words import class_names, groups
from das_ag.store.store import Store

NAME = "test_efficientnet"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return save_random(tmp_path_factory.mktemp("weights") / "weights.pth")


@pytest.fixture(scope="module")
def guide(weights):
    return ImagenetGuide(NAME, weights)


def directions(weights):
    rows = Classifier(NAME, weights).classes
    return F.normalize(rows - rows.mean(dim=0), dim=1)


def index_of(name):
    return next(place for place, names in enumerate(class_names()) if name in names)


def test_a_text_is_the_direction_of_its_class(guide, weights):
    (text,) = guide.encode_texts(["a photo of a volcano"])
    torch.testing.assert_close(text, directions(weights)[index_of("volcano")])


def test_several_things_are_their_mean(guide, weights):
    (text,) = guide.encode_texts(["a castle and a volcano"])
    both = directions(weights)[[index_of("castle"), index_of("volcano")]]
    torch.testing.assert_close(text, F.normalize(both.mean(dim=0), dim=0))


def test_a_group_counts_as_one_thing_however_many_classes_it_has(guide, weights):
    (text,) = guide.encode_texts(["a dog and a volcano"])
    of_all = directions(weights)
    dog = F.normalize(of_all[list(groups()["dog"])].mean(dim=0), dim=0)
    torch.testing.assert_close(text, F.normalize((dog + of_all[index_of("volcano")]) / 2, dim=0))


def test_a_text_without_a_known_thing_points_nowhere(guide):
    assert guide.encode_texts(["unicorn", "a tiger"]).norm(dim=1).tolist() == pytest.approx([0, 1])


def test_the_guide_sees_rgb_in_its_own_colours(guide, weights):
    rgb = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    mean, std = (torch.tensor(v)[:, None, None] for v in (CLIP_MEAN, CLIP_STD))
    expected = F.normalize(Classifier(NAME, weights).features(rgb), dim=1)
    torch.testing.assert_close(guide.encode_images((rgb - mean) / std), expected, rtol=1e-4, atol=1e-5)


def test_a_network_without_head_does_not_rate(guide, weights):
    assert not ImagenetChoice("imagenet", NAME, weights, None, None).rates
    assert guide.rate_features(torch.ones(2, 4)).tolist() == [0, 0]
    judge = ImagenetJudge(NAME, weights)
    assert math.isnan(judge.rate_images([np.zeros((8, 8, 3), np.uint8)])[0])


def test_only_das_works_without_a_head(plan_of, weights):
    overrides = ("models=imagenet", "prompts=wonders", f"models.name={NAME}", f"models.checkpoint={weights}")
    assert len(plan_of(*overrides, "method=das").samples) > 0
    with pytest.raises(UserError, match="method: this guide has no quality head") as error:
        plan_of(*overrides, "method=das_ag")
    assert "\n" not in str(error.value)


def test_a_network_of_other_classes_is_refused(tmp_path):
    path = save_random(tmp_path / "weights.pth", num_classes=10)
    with pytest.raises(UserError, match="has the weights of another network"):
        ImagenetGuide(NAME, path)


class Guesses:
    """A classifier with given logits."""

    image_size_px, digest, name = 8, "0" * 64, "guesses"

    def __init__(self, *order):
        self._logits = torch.zeros(1, 1000)
        for place, index in enumerate(order):
            self._logits[0, index] = 100 - place

    def features(self, _):
        return torch.zeros(1, 4)

    def logits(self, _):
        return self._logits


def judge_that_guesses(weights, *order):
    judge = ImagenetJudge(NAME, weights)
    judge._classifier = Guesses(*order)
    return judge


BLACK = np.zeros((8, 8, 3), np.uint8)


@pytest.mark.parametrize(
    ("guesses", "texts", "rank", "recognised"),
    [
        (["volcano", "castle"], ["a volcano"], 1, True),
        (["castle", "volcano"], ["a volcano"], 2, False),
        (["castle", "volcano"], ["a castle and a volcano"], 2, True),
        (["castle", "tiger", "hen", "macaw", "volcano"], ["a castle and a volcano"], 5, True),
        (["castle", "tiger", "hen", "macaw", "goldfish", "volcano"], ["a castle and a volcano"], 6, False),
        (["beagle", "volcano"], ["a dog"], 1, True),  # a group, when any member is first
        (["volcano", "beagle"], ["a dog"], 2, False),
        (["castle", "volcano"], ["a castle", "a volcano"], 2, True),  # two prompts, two things
    ],
)
def test_recognition(weights, guesses, texts, rank, recognised):
    judge = judge_that_guesses(weights, *map(index_of, guesses))
    recognition = judge.recognise(BLACK, texts)
    assert (recognition.rank, recognition.recognised) == (rank, recognised)


def test_nothing_is_recognised_in_a_text_that_names_nothing_known(weights):
    assert judge_that_guesses(weights).recognise(BLACK, ["gloomy, dull, without depth"]) is None


def test_a_judge_sees_the_middle_square():
    image = np.zeros((6, 10, 3), np.uint8)
    image[:, 2:8] = 255
    assert prepare(image, 4).min() == 1
    assert prepare(image.transpose(1, 0, 2), 4).shape == (1, 3, 4, 4)


def test_the_judge_rates_one_image_like_several():
    judge = ImagenetJudgeChoice("tf_efficientnet_lite2", None, None).load(torch.device("cpu"))
    images = list(np.random.default_rng(0).integers(0, 256, (3, 40, 40, 3), dtype=np.uint8))
    assert judge.rate_images(images).tolist() == [judge.rate_images([image])[0] for image in images]


def test_the_judges_digest_depends_on_network_and_head(weights):
    lite2, other = (
        ImagenetJudgeChoice(name, file, None) for name, file in (("tf_efficientnet_lite2", None), (NAME, weights))
    )
    assert set(lite2.weights()) == {"classifier", "head"}
    assert set(other.weights()) == {"classifier"}
    assert lite2.digest() != other.digest()


def test_a_head_of_another_network_is_refused():
    from das_ag.models.quality import packaged_head

    with pytest.raises(UserError, match="quality head: expected"):
        ImagenetGuide("tf_efficientnet_lite0", head=packaged_head("tf_efficientnet_lite2"))
    choice = ImagenetChoice(
        "imagenet", "tf_efficientnet_lite0", None, None, str(packaged_head("tf_efficientnet_lite2"))
    )
    with pytest.raises(UserError, match="quality head: expected"):
        choice.digests()  # known before anything is computed


def test_the_packaged_head_fits_the_packaged_weights_alone():
    own = weights_file("tf_efficientnet_lite0", None)
    assert ImagenetChoice("imagenet", "tf_efficientnet_lite0", None, None, None).rates
    assert not ImagenetChoice("imagenet", "tf_efficientnet_lite0", str(own), None, None).rates


def test_the_size_is_recorded_as_a_number():
    choices = [ImagenetChoice("imagenet", "tf_efficientnet_lite0", None, size, None) for size in (None, 224)]
    assert [choice.identity()["image_size_px"] for choice in choices] == [256, 224]
    assert ImagenetChoice("imagenet", NAME, None, None, None).identity()["image_size_px"] == 160  # timm's own for it


def test_a_judge_without_head_says_that_it_only_recognises(weights):
    judge = ImagenetJudgeChoice(NAME, weights, None)
    assert judge.title == "ImageNet judge (test_efficientnet)"
    assert "quality" not in judge.remark
    assert "default guide" not in judge.remark


def test_planning_needs_no_timm():
    """Whose import takes seconds, on a slow disk many."""
    program = """
import sys
from das_ag.settings import environment
environment.prepare()
from das_ag.settings.configuration import compose_config
from das_ag.settings.plan import make_plan
plan = make_plan(compose_config(["method=das_ag", "prompts=wonders", "models=imagenet", "evaluator=imagenet"]))
assert plan.samples and all(choice.digest() for choice in plan.evaluators.values())
assert "timm" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)


OWN = ("models=imagenet", "prompts=wonders", "evaluator=imagenet", "evaluator.imagenet.name=tf_efficientnet_lite0")


def test_a_guide_that_would_judge_itself_is_told_before_anything_is_made(plan_of):
    plan = plan_of("method=das", *OWN)  # verify and regenerate plan without asking who judges
    with pytest.raises(UserError, match=r"evaluator\.imagenet: the guide has the same weights"):
        check_not_guide("imagenet", plan.evaluators["imagenet"], plan.samples[0].settings["weights"].values())


def test_a_judge_refuses_a_store_that_it_guided_and_scores_nothing(tmp_path, sample_of, put):
    store = Store(tmp_path / "outputs")
    store.prepare()
    judge = ImagenetJudgeChoice("tf_efficientnet_lite2", None, None)
    settings = {**sample_of().settings, "weights": {"classifier": judge.weights()["classifier"]}}
    put(store, dataclasses.replace(sample_of(), settings=settings))
    (sentence,) = evaluate(store, {"imagenet": judge}, torch.device("cpu"))
    assert "so it would score its own images; choose another network with evaluator.imagenet.name=" in sentence
    assert not store.records()[0][0].scores
