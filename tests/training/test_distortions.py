import numpy as np
import pytest

from das_ag.training.distortions import BLUR_STD_PX, KINDS, LUMA, NOISE_STD

SEVERITIES = (0.0, 0.25, 0.5, 0.75, 1.0)


@pytest.fixture(scope="module")
def rgb():
    """A colourful, non-square picture with an edge and a fine pattern, far from black and white."""
    y, x = np.mgrid[:60, :84] / 84
    waves = np.stack([np.sin(9 * x + 4 * y), np.cos(7 * y - 5 * x), np.sin(11 * x * y + 1)], axis=2)
    picture = 0.5 + 0.12 * waves
    picture[20:40, 30:50] += 0.1
    picture[::2, ::2] -= 0.1
    return picture.astype(np.float32)


def distorted(kind, rgb, severity, seed=0):
    return KINDS[kind](rgb, severity, np.random.default_rng(seed))


def test_there_are_the_nine_kinds_of_the_model_card():
    assert list(KINDS) == [
        "noise", "blur", "pixelation", "JPEG", "stripes", "over-sharpening", "colour noise", "colour cast",
        "over-saturation",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
class TestEachKind:
    def test_keeps_shape_type_and_range(self, kind, rgb):
        for severity in SEVERITIES:
            got = distorted(kind, rgb, severity)
            assert got.shape == rgb.shape
            assert got.dtype == np.float32
            assert got.min() >= 0
            assert got.max() <= 1

    def test_does_nearly_nothing_at_severity_0(self, kind, rgb):
        # Pixelation rounds to 8 bits, JPEG is of quality 95 and keeps a quarter of the colour.
        allowed = {"pixelation": 1 / 255, "JPEG": 0.02}.get(kind, 1e-6)
        assert np.abs(distorted(kind, rgb, 0.0) - rgb).mean() < allowed

    def test_grows_with_severity(self, kind, rgb):
        changes = [np.abs(distorted(kind, rgb, severity) - rgb).mean() for severity in SEVERITIES]
        assert all(np.diff(changes) > 0), changes
        assert changes[-1] > 0.02

    def test_depends_on_its_generator_alone(self, kind, rgb):
        before = rgb.copy()
        assert np.array_equal(distorted(kind, rgb, 0.5), distorted(kind, rgb, 0.5))
        assert np.array_equal(rgb, before)

    def test_takes_a_picture_of_one_pixel(self, kind, rgb):
        assert distorted(kind, rgb[:1, :1], 1.0).shape == (1, 1, 3)


@pytest.mark.parametrize("kind", ["noise", "stripes", "colour noise", "colour cast"])
def test_random_kinds_differ_with_the_seed(kind, rgb):
    assert not np.array_equal(distorted(kind, rgb, 0.5), distorted(kind, rgb, 0.5, seed=1))


def test_noise_is_the_same_in_all_channels_and_has_the_stated_deviation():
    grey = np.full((200, 200, 3), 0.5)
    noise = distorted("noise", grey, 0.2) - 0.5
    np.testing.assert_allclose(noise[:, :, 0], noise[:, :, 2])
    assert noise.std() == pytest.approx(0.2 * NOISE_STD, rel=0.02)  # 40,000 draws: 0.35 % standard error


@pytest.mark.parametrize("kind", ["colour noise", "colour cast", "over-saturation"])
def test_kinds_of_colour_keep_the_brightness(kind, rgb):
    np.testing.assert_allclose(distorted(kind, rgb, 0.05) @ LUMA, rgb @ LUMA, atol=1e-5)


def test_blur_spreads_an_edge_by_its_deviation():
    edge = np.zeros((5, 101, 3))
    edge[:, 51:] = 1
    slope = np.diff(distorted("blur", edge, 0.6)[2, :, 0])
    x = np.arange(len(slope))
    spread = np.sqrt((slope * (x - (slope * x).sum()) ** 2).sum())
    assert spread == pytest.approx(0.6 * BLUR_STD_PX, rel=0.02)


def test_pixelation_makes_blocks_of_one_colour(rgb):
    got = distorted("pixelation", rgb[:60, :60], 1.0)  # blocks of 12 px
    blocks = got.reshape(5, 12, 5, 12, 3)
    assert np.array_equal(blocks, np.broadcast_to(blocks[:, :1, :, :1], blocks.shape))
    np.testing.assert_allclose(blocks[0, 0, 0, 0], rgb[:12, :12].mean(axis=(0, 1)), atol=1.5 / 255)
