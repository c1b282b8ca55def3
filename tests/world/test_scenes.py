import dataclasses

import pytest
import torch

from das_ag.world import COLOURS, GROUNDS, SHAPES, sample_scenes
from das_ag.world.scenes import JITTER, NO_FIGURE

ABOVE, LEFT_OF = 1, 0


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_a_generators_scenes_are_its_own():
    torch.manual_seed(1)
    first = dataclasses.asdict(sample_scenes(40, generator(5)))
    torch.manual_seed(2)  # the default generator plays no part
    second = dataclasses.asdict(sample_scenes(40, generator(5)))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_what_is_drawn_covers_what_there_is():
    scenes = sample_scenes(4000, generator(), pair_fraction=1.0)
    for figure in range(2):
        assert scenes.shape[:, figure].unique().tolist() == list(range(len(SHAPES)))
        assert scenes.colour[:, figure].unique().tolist() == list(range(len(COLOURS)))
    assert scenes.ground.unique().tolist() == list(range(len(GROUNDS)))
    assert scenes.relation.unique().tolist() == [LEFT_OF, ABOVE]
    # Nothing is drawn more often than the rest: 400 of each shape and 333 of each ground, give or take 5 deviations.
    assert scenes.shape[:, 0].bincount().sub(400).abs().max() < 5 * 400**0.5
    assert scenes.ground.bincount().sub(4000 / 12).abs().max() < 5 * 333**0.5


def test_no_figure_has_the_colour_of_its_ground():
    scenes = sample_scenes(3000, generator())
    assert not (scenes.colour == scenes.ground[:, None]).any()


def test_colours_lie_within_the_jitter_of_their_names():
    palette = torch.tensor(list(COLOURS.values()))
    scenes = sample_scenes(3000, generator(), pair_fraction=1.0)
    for rgb, index in ((scenes.figure_rgb, scenes.colour), (scenes.ground_rgb, scenes.ground)):
        assert (rgb - palette[index]).abs().max() <= JITTER + 1e-6
        assert rgb.min() >= 0
        assert rgb.max() <= 1


@pytest.mark.parametrize(("pair_fraction", "counts"), [(0.0, [1]), (1.0, [2]), (0.5, [1, 2])])
def test_pair_fraction(pair_fraction, counts):
    scenes = sample_scenes(1000, generator(), pair_fraction=pair_fraction)
    assert scenes.count.unique().tolist() == counts
    single = scenes.count == 1
    assert (scenes.count == 2).float().mean().item() == pytest.approx(pair_fraction, abs=0.06)
    for column in (scenes.shape[:, 1], scenes.colour[:, 1]):
        assert (column[single] == NO_FIGURE).all()
        assert (column[~single] >= 0).all()
    assert ((scenes.relation == -1) == single).all()


@pytest.mark.parametrize(("nuisance", "share"), [(0.0, 0.0), (0.35, 0.35), (1.0, 1.0)])
def test_nuisance(nuisance, share):
    scenes = sample_scenes(2000, generator(), nuisance=nuisance)
    for strength in (scenes.noise, scenes.blur, scenes.shading):
        assert (strength > 0).float().mean().item() == pytest.approx(share, abs=0.05)
        assert (strength >= 0).all()


def test_the_first_of_a_pair_lies_left_of_or_above_the_second():
    scenes = sample_scenes(1000, generator(), pair_fraction=1.0)
    first, second = scenes.centre[:, 0], scenes.centre[:, 1]  # x rightwards, y upwards
    left, above = scenes.relation == LEFT_OF, scenes.relation == ABOVE
    apart = (first - second).abs()
    assert (first[left, 0] < second[left, 0]).all()
    assert (apart[left, 0] > apart[left, 1]).all()
    assert (first[above, 1] > second[above, 1]).all()
    assert (apart[above, 1] > apart[above, 0]).all()


def test_sizes_and_qualities_by_hand():
    scenes = dataclasses.replace(
        sample_scenes(5, generator(), pair_fraction=0.0),
        radius=torch.tensor([0.44, 0.46, 0.64, 0.66, 0.85])[:, None].expand(5, 2).contiguous(),
        noise=torch.tensor([0.0, 0.07, 0.09, 0.0, 0.0]),
        blur=torch.tensor([0.0, 0.0, 1.3, 1.1, 0.0]),
        shading=torch.tensor([0.0, 0.0, 0.0, 0.3, 0.24]),
    )
    assert scenes.size[:, 0].tolist() == [0, -1, -1, 1, 1]  # small, neither, neither, large, large
    # clean, noisy, blurred, shaded; a weak nuisance is neither named nor called clean
    assert scenes.qualities.int().tolist() == [[1, 0, 0, 0], [0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]]


def test_indexing_takes_whole_scenes():
    scenes = sample_scenes(10, generator())
    chosen = scenes[torch.tensor([7, 2])]
    assert len(chosen) == 2
    for field in dataclasses.fields(scenes):
        whole = getattr(scenes, field.name)
        assert torch.equal(getattr(chosen, field.name), torch.stack([whole[7], whole[2]]))
    assert len(scenes[:1]) == 1
