import math

import numpy as np
import pytest
import torch

import densezoo.metrics  # noqa: F401  # registers the metrics
from densezoo.contracts import DecodesViews
from densezoo.errors import ConfigError
from densezoo.tasks.associative_embedding import AssociativeEmbedding
from densezoo.types import DatasetMeta, Grid, Sample, identity_affine

META = DatasetMeta(
    classes=("person",),
    category_ids=(1,),
    keypoint_names=("nose", "left_hip", "right_hip"),
    flip_pairs=((1, 2),),
    sigmas=(0.1,) * 3,
)
SIZE = (64, 80)
GRID = Grid(4, (16, 20), image_size=SIZE)
PEOPLE = [
    [[[10.3, 9, 2], [17, 21.9, 2], [25.5, 44, 1]], [[63.0, 14, 2], [70, 30, 2], [0, 0, 0]]],
    [[[21.0, 5, 2], [3, 30, 2], [38, 41.5, 2]], [[45.0, 24, 1], [50, 33, 2], [77, 55, 2]]],
]


def batch_of(people=PEOPLE, size=SIZE, **more):
    keypoints = torch.tensor(people).float()
    valid = torch.ones(keypoints.shape[:2], dtype=torch.bool)
    images = torch.zeros(len(keypoints), 3, *size, dtype=torch.uint8)
    return {"images": images, "keypoints": keypoints, "valid": valid, **more}


def decoded(task, batch, grid=GRID):
    return task.decode(task.encode(batch, grid)["maps"], grid)


@pytest.mark.parametrize(
    ("target", "refine", "tolerance"),
    [("quantised", "quarter", 2.0), ("unbiased", "quarter", 2.0), ("unbiased", "dark", 0.4)],
)
def test_decoding_inverts_encoding(target, refine, tolerance):
    task = AssociativeEmbedding(3, META, target=target, refine=refine)
    for found, people in zip(decoded(task, batch_of()), PEOPLE, strict=True):
        assert found["labels"].tolist() == [0, 0]
        assert (found["boxes"][:, :2] == found["keypoints"][..., :2].min(1)).all()
        assert (found["boxes"][:, 2:] == found["keypoints"][..., :2].max(1)).all()
        for person in np.array(people):
            seen = person[:, 2] > 0
            errors = np.abs(found["keypoints"][:, :, :2] - person[:, :2])[:, seen].max((1, 2))
            assert errors.min() <= tolerance + 1e-4
            match = errors.argmin()
            if target == "quantised":
                assert (found["keypoints"][match, seen, 2] == 1).all()
                assert found["scores"][match] == pytest.approx(seen.mean())


@pytest.mark.parametrize("target", ["quantised", "unbiased"])
def test_a_joint_on_the_edge_between_cells_is_one_joint(target):
    people = [[[[16.0, 24, 2], [20, 30, 2], [30, 28, 2]], [[48.0, 24, 2], [40, 8, 2], [64, 48, 2]]]]
    (found,) = decoded(AssociativeEmbedding(3, META, target=target), batch_of(people))
    assert found["scores"].shape == (2,)
    assert np.abs(np.sort(found["keypoints"][:, 0, 0]) - [16, 48]).max() <= 2


def test_everybody_is_found_however_many_and_wherever():
    rng = np.random.default_rng(0)
    task = AssociativeEmbedding(5, sigma=1.0, target="unbiased", refine="dark")
    for people in range(9):
        grid = Grid(2, (30, 40), (3.0, -5.0), image_size=(64, 76))
        # no two joints of a kind within four cells of each other
        cells = np.stack([rng.permutation(48)[:people] for _ in range(5)], 1)
        points = np.stack(
            [cells % 8 * 5 + rng.uniform(1, 3.9, cells.shape), cells // 8 * 5 + rng.uniform(1, 3.9, cells.shape)], -1
        )
        points = points * 2 + [3, -5]
        inside = (points[..., 0] < 76) & (points[..., 1] >= 0)
        keypoints = np.concatenate([points, 2.0 * inside[..., None]], -1)[None].reshape(1, people, 5, 3)
        (found,) = decoded(task, batch_of(keypoints, (64, 76)), grid)
        posed = inside.any(1)
        assert len(found["scores"]) == posed.sum()
        assert (np.diff(found["scores"]) <= 0).all()
        for person, seen in zip(points[posed], inside[posed], strict=True):
            errors = np.linalg.norm(found["keypoints"][..., :2] - person, axis=-1)[:, seen].max(1)
            assert errors.min() < 0.4


def test_targets_by_hand():
    targets = AssociativeEmbedding(3, META, sigma=1.0).encode(batch_of(), GRID)
    heat, tags = targets["maps"]["heatmaps"], targets["maps"]["tags"]
    assert heat.shape == tags.shape == (2, 3, 16, 20)
    assert targets["cells"][0].tolist() == [[2 * 20 + 2, 3 * 20 + 15], [5 * 20 + 4, 7 * 20 + 17], [11 * 20 + 6, -1]]
    assert heat[0, 0, 2, 2] == heat[0, 0, 3, 15] == 1
    assert heat[0, 0, 2, 3] == pytest.approx(math.exp(-0.5))
    assert (heat == 1).sum() == targets["weights"]["tags"].sum() == 11
    assert tags[0, 0, 2, 2] == 1
    assert tags[0, 0, 3, 15] == 2
    assert tags[targets["weights"]["tags"] == 0].eq(0).all()
    assert targets["weights"]["heatmaps"].eq(1).all()


def test_of_two_people_with_a_joint_in_one_cell_one_has_it():
    people = [[[[10.0, 10, 2], [20, 40, 2], [30, 40, 2]], [[11.0, 9, 2], [60, 40, 2], [70, 40, 2]]]]
    (found,) = decoded(AssociativeEmbedding(3, META), batch_of(people))
    assert found["keypoints"].shape == (2, 3, 3)
    np.testing.assert_allclose(found["scores"], [1, 2 / 3], rtol=1e-6)


def test_crowds_and_people_without_joints_are_left_out_and_things_are_not():
    meta = DatasetMeta(classes=("ball", "person"), keypoint_names=META.keypoint_names)
    nothing = [[0.0, 0, 0]] * 3
    people = [[PEOPLE[0][0], PEOPLE[0][1], nothing, nothing]]
    batch = batch_of(
        people,
        labels=torch.tensor([[1, 1, 1, 0]]),
        crowd=torch.tensor([[False, True, False, False]]),
        boxes=torch.tensor([[[8.0, 8, 28, 48], [60, 0, 72, 32], [24, 40, 60, 64], [0, 40, 8, 64]]]),
    )
    task = AssociativeEmbedding(3, meta)
    targets = task.encode(batch, GRID)
    heat, weight = targets["maps"]["heatmaps"], targets["weights"]["heatmaps"]
    left_out = torch.zeros(16, 20, dtype=torch.bool)
    left_out[0:8, 15:18] = True  # the crowd
    left_out[10:16, 6:15] = True  # somebody without joints
    assert (targets["cells"] >= 0).sum(1).tolist() == [[3, 0, 0, 0]]
    torch.testing.assert_close(weight, heat.where(left_out, 1.0))
    assert weight[0, 2, 11, 6] == 1  # a labelled joint in front of somebody without
    (found,) = task.decode(targets["maps"], GRID)
    assert found["labels"].tolist() == [1]
    # a mask says more exactly than the box who is where
    batch["masks"] = torch.zeros(1, 4, *SIZE, dtype=torch.uint8)
    batch["masks"][0, 2, 60:, 56:60] = 1
    left_out[10:16, 6:15] = False
    left_out[15, 14] = True
    torch.testing.assert_close(task.encode(batch, GRID)["weights"]["heatmaps"], heat.where(left_out, 1.0))


def test_losses_are_means_over_maps_images_and_people():
    task, batch = AssociativeEmbedding(3, META, tag_weight=0.1, foreground=2.0), batch_of()
    targets, normalisers = task.encode(batch, GRID), task.normalisers(batch)
    assert {name: value.item() for name, value in normalisers.items()} == {"heatmaps": 6, "pull": 2, "push": 2}
    generator = torch.Generator().manual_seed(0)
    maps = {name: torch.randn(2, 3, 16, 20, generator=generator) for name in task.outputs}
    losses = task.loss(maps, targets, normalisers)
    wanted = targets["maps"]["heatmaps"]
    expected = ((maps["heatmaps"] - wanted).square() * (1 + 2 * wanted)).mean()
    assert losses["heatmaps"].item() == pytest.approx(expected.item(), rel=1e-5)
    pull = push = 0.0
    for image in range(2):
        numbers = targets["maps"]["tags"][image]
        tags = [maps["tags"][image][numbers == person] for person in (1, 2)]
        pull += sum(own.var(correction=0).item() for own in tags) / 2
        push += 0.5 * math.exp(-((tags[0].mean() - tags[1].mean()).item() ** 2))
    assert losses["pull"].item() == pytest.approx(0.1 * pull / 2, rel=1e-5)
    assert losses["push"].item() == pytest.approx(0.1 * push / 2, rel=1e-5)
    rough = task.loss({name: values.bfloat16() for name, values in maps.items()}, targets, normalisers)
    for name, value in losses.items():
        assert rough[name].dtype == torch.float32
        assert rough[name].item() == pytest.approx(value.item(), rel=0.02)


def test_the_focal_loss_is_per_joint_and_leaves_crowds_out():
    task, batch = AssociativeEmbedding(3, META, loss="focal"), batch_of()
    targets, normalisers = task.encode(batch, GRID), task.normalisers(batch)
    assert normalisers["heatmaps"] == 11  # one joint of twelve has no label
    wanted = targets["maps"]["heatmaps"]
    assert (wanted == 1).sum() == 11
    logits = torch.randn(2, 3, 16, 20, generator=torch.Generator().manual_seed(0))
    maps = {"heatmaps": logits, "tags": torch.zeros_like(logits)}
    heat = (logits + math.log(0.1 / 0.9)).sigmoid().double()
    torch.testing.assert_close(task.activate(maps)["heatmaps"].double(), heat, atol=1e-6, rtol=1e-5)
    right, wrong = (1 - heat).square() * heat.log(), heat.square() * (1 - heat).log()
    expected = -torch.where(wanted == 1, right, (1 - wanted) ** 4 * wrong)
    assert task.loss(maps, targets, normalisers)["heatmaps"].item() == pytest.approx(
        expected.sum().item() / 11, rel=1e-5
    )
    crowd = {**batch, "crowd": torch.tensor([[False, True], [False, False]]), "boxes": torch.zeros(2, 2, 4)}
    crowd["boxes"][0, 1] = torch.tensor([40.0, 0.0, 80.0, 64.0])
    left_out = task.encode(crowd, GRID)
    before = task.loss(maps, left_out, normalisers)["heatmaps"]
    logits[0, :, :, 12:] = 3.0
    torch.testing.assert_close(task.loss(maps, left_out, normalisers)["heatmaps"], before, rtol=0.02, atol=0)
    logits[0, :, 12:, :4] = 3.0
    assert task.loss(maps, left_out, normalisers)["heatmaps"] > before + 0.5


def test_people_are_found_in_heat_of_the_focal_loss():
    task = AssociativeEmbedding(3, META, loss="focal")
    targets = task.encode(batch_of(), GRID)["maps"]
    heat = targets["heatmaps"].clamp(1e-4, 1 - 1e-4)
    raw = {"heatmaps": heat.logit() - math.log(0.1 / 0.9), "tags": 5 * targets["tags"]}
    for found, people in zip(task.decode(task.activate(raw), GRID), PEOPLE, strict=True):
        assert len(found["scores"]) == len(people)


def test_perfect_maps_have_no_loss_but_the_push_of_neighbours():
    task = AssociativeEmbedding(3, META, tag_weight=1.0)
    batch = batch_of()
    targets = task.encode(batch, GRID)
    losses = task.loss(targets["maps"], targets, task.normalisers(batch))
    assert losses["heatmaps"] == losses["pull"] == 0
    assert losses["push"].item() == pytest.approx(0.5 * math.exp(-1))


@pytest.mark.parametrize("known", [True, False])
def test_images_that_nobody_annotated_teach_nothing_and_empty_ones_the_background(known):
    task = AssociativeEmbedding(3, META)
    batch = batch_of(annotated={"keypoints": torch.tensor([True, known])})
    batch["valid"][1] = False
    normalisers = task.normalisers(batch)
    assert normalisers["pull"] == 1 + known
    maps = {name: torch.ones(2, 3, 16, 20, requires_grad=True) for name in task.outputs}
    losses = task.loss(maps, task.encode(batch, GRID), normalisers)
    sum(losses.values()).backward()
    assert bool(maps["heatmaps"].grad[1].any()) is known
    assert not maps["tags"].grad[1].any()
    without = {key: value for key, value in batch.items() if key not in ("keypoints", "annotated")}
    losses = task.loss(maps, task.encode(without, GRID), task.normalisers(without))
    assert [value.item() for value in losses.values()] == [0, 0, 0]


def test_mirrored_tags_stand_beside_the_others():
    task = AssociativeEmbedding(3, META)
    batch = batch_of()
    mirrored = batch["keypoints"][:, :, META.flip_order].clone()
    mirrored[..., 0] = SIZE[1] - mirrored[..., 0]
    maps = task.encode(batch, GRID)["maps"]
    unflipped = task.unflip(task.encode({**batch, "keypoints": mirrored}, GRID)["maps"])
    assert set(unflipped) == {"heatmaps", "mirrored_tags"}
    torch.testing.assert_close(unflipped["mirrored_tags"], maps["tags"])
    alone, both, other = (task.decode(each, GRID) for each in (maps, maps | unflipped, unflipped))
    for one, two, three in zip(alone, both, other, strict=True):
        np.testing.assert_allclose(one["scores"], two["scores"])
        np.testing.assert_allclose(np.sort(one["keypoints"][..., 0], 0), np.sort(two["keypoints"][..., 0], 0))
        assert len(three["scores"]) == len(one["scores"])
    # by the mirrored tags one joint belongs to the other person
    wrong = unflipped["mirrored_tags"].clone()
    wrong[0, 1, 5, 4] += 5
    (found, _) = task.decode(maps | {"mirrored_tags": wrong}, GRID)
    assert len(found["scores"]) == 3
    with pytest.raises(ConfigError, match="flip test"):
        AssociativeEmbedding(3).unflip(maps)


def test_views_share_their_heat_and_the_first_ones_tags_count():
    task = AssociativeEmbedding(3, META, sigma=1.5)
    assert isinstance(task, DecodesViews)
    batch, fine = batch_of(), Grid(2, (32, 40), image_size=SIZE)
    first = task.encode(batch, GRID)["maps"]
    second = task.encode(batch, fine)["maps"]
    alone = task.decode_views([(first, GRID)])
    together = task.decode_views([(first, GRID), (second | {"tags": second["tags"] * 50}, fine)])
    for one, two in zip(alone, together, strict=True):
        assert len(one["scores"]) == len(two["scores"]) == 2
        assert (two["scores"] < one["scores"]).all()  # the finer view's Gaussians are narrower
        assert np.abs(one["keypoints"][..., :2] - two["keypoints"][..., :2])[one["keypoints"][..., 2] == 1].max() <= 1


def test_scores_are_those_of_the_whole_image():
    """Two people, one of whom is found, a crowd that is answered and one without joints: AP knows them all."""
    task = AssociativeEmbedding(3, META)
    people = np.array([*PEOPLE[0], [[0.0, 0, 0]] * 3, PEOPLE[1][1]], np.float32)
    crowd = np.array([False, False, False, True])
    truth = {
        "ids": np.arange(4), "labels": np.zeros(4, np.int64), "areas": np.full(4, 2000, np.float32), "crowd": crowd,
        "boxes": np.array([[8, 8, 28, 48], [60, 10, 72, 32], [0, 50, 20, 64], [40, 20, 78, 58]], np.float32),
        "keypoints": people, "size": SIZE,
    }  # fmt: skip
    image = np.zeros((*SIZE, 3), np.uint8)
    sample = Sample(
        image=image, image_id=7, path="7.png", to_original=identity_affine(), frame=np.zeros(4), truth=truth
    )
    scores = {}
    for name, chosen in {"all": [0, 1], "one": [0], "crowd": [0, 1, 3]}.items():
        first, second = task.metrics()
        assert (type(first).__name__, type(second).__name__) == ("KeypointAP", "PCK")
        first.update(decoded(task, batch_of(people[None, chosen])), [sample])
        scores[name] = first.compute()
    assert scores["all"]["AP50"] == pytest.approx(1)
    assert scores["crowd"]["AP50"] == pytest.approx(1)
    assert scores["one"]["AP50"] == pytest.approx(51 / 101)
    assert scores["one"]["AR50"] == pytest.approx(0.5)


def test_the_answer_without_an_image_is_one_mean_person():
    people = np.array(PEOPLE[0], np.float32)
    sample = {
        "keypoints": people, "boxes": np.array([[8, 8, 28, 48], [60, 10, 72, 32]], np.float32),
        "labels": np.zeros(2, np.int64), "image": np.zeros((4, 4, 3), np.uint8),
    }  # fmt: skip
    found = AssociativeEmbedding(3, META).constant_prediction([sample])
    assert found["keypoints"].shape == (1, 3, 3)
    assert found["labels"].tolist() == [0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target": "quantized"}, "did you mean 'quantised'"),
        ({"refine": "drak"}, "did you mean 'dark'"),
        ({"num_keypoints": 0}, "num_keypoints=0 must be at least 1"),
        ({"max_people": 0}, "max_people=0"),
        ({"sigma": 0}, "sigma=0"),
        ({"tag_weight": -1}, "tag_weight=-1 must be at least 0"),
        ({"joint_threshold": -1}, "joint_threshold=-1 must be from 0"),
        ({"joint_threshold": float("nan")}, "joint_threshold=nan must be from 0"),
        ({"sigma": float("inf")}, "sigma=inf must be above 0, and finite"),
        ({"foreground": float("nan")}, "foreground=nan must be at least 0"),
        ({"tag_threshold": -1}, "tag_threshold=-1"),
        ({"loss": "focul"}, "no loss='focul'; .*focal"),
        ({"loss": "focal", "target": "unbiased"}, "loss='focal' needs target='quantised'"),
        ({"loss": "focal", "foreground": 10.0}, "has no foreground"),
        ({"meta": META}, "num_keypoints=17.*3 keypoints"),
        ({"num_keypoints": 3, "meta": DatasetMeta(classes=("people", "ball"), keypoint_names=META.keypoint_names)},
         "person='person'.*'people'"),
    ],
)  # fmt: skip
def test_impossible_values_say_how(arguments, message):
    with pytest.raises(ConfigError, match=message):
        AssociativeEmbedding(**{"num_keypoints": 17, **arguments})


def test_what_needs_the_data_sets_meaning_says_so():
    with pytest.raises(ConfigError, match="metric"):
        AssociativeEmbedding(3).metrics()
    with pytest.raises(ConfigError, match=r"num_keypoints=4.*3"):
        AssociativeEmbedding(4).encode(batch_of(), GRID)
    only = DatasetMeta(classes=("cat",), keypoint_names=META.keypoint_names)
    assert AssociativeEmbedding(3, only).label == 0
