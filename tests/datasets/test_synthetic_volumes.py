import json

import numpy as np
import pytest

from densezoo.datasets.synthetic_head import draw_head, make_head, place_head, render_head
from densezoo.datasets.synthetic_solids import fill_voxels, ray_intervals
from densezoo.datasets.synthetic_volumes import SyntheticVolumes
from densezoo.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("root")


def build(root, **arguments):
    return SyntheticVolumes(root, **{"num_images": 6, "size": 48, "num_slices": 16, **arguments})


def test_made_on_first_use_with_one_word_about_it(tmp_path, capsys):
    first = build(tmp_path)
    said = capsys.readouterr()
    assert str(first.folder) in said.err
    assert said.out == ""
    build(tmp_path)
    assert capsys.readouterr().err == ""


def test_samples_have_the_volume_that_was_drawn(root):
    heads = build(root)
    assert heads.meta.volume_slices == (16, 3.0)
    for index in range(len(heads)):
        sample = heads.read(index)
        scene = draw_head(np.random.default_rng((1, 0, 0, 48, 48, 16, index)), (48, 48), 16, 3.0, 1.0)
        np.testing.assert_array_equal(sample["volume"], scene.volume)
        assert abs(sample["image"].astype(int) - scene.image).mean() < 12  # a JPEG of much noise
        silhouette = sample["volume"].any(0)
        rows, columns = np.nonzero(silhouette)
        expected = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        np.testing.assert_array_equal(sample["boxes"][0], expected)
        assert heads.truth(index)["areas"] == silhouette.sum()


def test_heads_are_whole_and_fill_the_volume(root):
    for volume in (build(root, num_images=30).read(index)["volume"] for index in range(30)):
        assert 0.02 < volume.mean() < 0.25
        assert not volume[[0, -1]].any()
        assert not volume[:, [0, -1]].any()
        assert not volume[:, :, [0, -1]].any()


def test_the_image_shows_the_volume():
    for seed in range(5):
        parts, placed = make_head(np.random.default_rng(seed)), place_head(np.random.default_rng(seed), (64, 72))
        np.testing.assert_allclose(placed.turn @ placed.turn.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(placed.turn) == pytest.approx(1)
        near, far = ray_intervals(parts, placed, np.arange(72) + 0.5, np.arange(64) + 0.5)
        silhouette = fill_voxels(near, far, parts.hollow, np.linspace(-40, 40, 400)).any(0)
        colours, opacity = render_head(np.random.default_rng(0), parts, placed, silhouette)
        assert (opacity[silhouette] > 0).all()
        assert np.mean((opacity > 0.5) == silhouette) > 0.99
        assert opacity.max() == 1
        assert (colours[opacity == 0] == 0).all()
        assert colours[silhouette].std(0).min() > 5  # it is not flat


def test_larger_sets_begin_with_smaller_ones_and_splits_share_nothing(root):
    small, large = build(root), build(root, num_images=8)
    np.testing.assert_array_equal(small.read(5)["image"], large.read(5)["image"])
    others = [build(root, **change) for change in ({"split": "val"}, {"seed": 1})]
    images = [data.read(0)["image"] for data in (small, *others)]
    assert all((images[0] != other).any() for other in images[1:])
    assert len({data.folder for data in (small, large, *others, build(root, difficulty=0.0))}) == 5


def test_a_subset_keeps_its_images(root):
    kept, dropped = (build(root, subset={"folds": 2, side: [0]}) for side in ("keep", "drop"))
    ids = [[data.read(index)["image_id"] for index in range(len(data))] for data in (kept, dropped)]
    assert sorted(ids[0] + ids[1]) == [1, 2, 3, 4, 5, 6]
    assert kept.truth(0)["ids"] == ids[0][0]


def test_a_folder_with_something_else_is_refused(tmp_path):
    folder = build(tmp_path).folder
    record = folder / "synthetic.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "num_slices": 99}))
    with pytest.raises(DataError, match="num_slices differ"):
        build(tmp_path)


@pytest.mark.parametrize("damage", [None, b"", b"no image", "short"])
def test_a_damaged_volume_is_named(tmp_path, damage):
    heads = build(tmp_path)
    path = heads.folder / "volumes" / "000002.png"
    stored = path.read_bytes()
    path.unlink()
    if damage is not None:
        path.write_bytes(stored[: len(stored) // 2] if damage == "short" else damage)
    with pytest.raises(DataError, match=r"000002\.png"):
        heads.read(2)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"split": "tran"}, "did you mean 'train'"),
        ({"num_images": 0}, "num_images=0"),
        ({"size": 16}, "at least 32"),
        ({"size": (48, 48, 3)}, "one number or"),
        ({"num_slices": 1}, "num_slices=1"),
        ({"difficulty": 2.0}, "difficulty"),
        ({"seed": -1}, "seed=-1"),
        ({"subset": {"fold": 2}}, "subset has no key 'fold'"),
    ],
)
def test_wrong_arguments_are_refused(tmp_path, arguments, said):
    with pytest.raises(ConfigError, match=said):
        build(tmp_path, num_images=arguments.pop("num_images", 1), **arguments)
