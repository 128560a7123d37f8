from dataclasses import replace

import cv2
import numpy as np

from densezoo.datasets.label_folders import LabelFolders
from densezoo.engine.evaluate import AnnotatedFile, Evaluation
from densezoo.engine.pictures import draw_annotated, draw_answers, draw_cases, draw_sample, label_map, write_image
from densezoo.functional.label_maps import encode_labels
from densezoo.models import build_model
from densezoo.transforms import Warp
from densezoo.types import DatasetMeta

META = DatasetMeta(keypoint_names=("a", "b"), skeleton=((0, 1),), semantic_classes=("ground", "sky"))


def stuff(labels):
    return [{"image_id": 1, "category_id": label, "segmentation": rle} for label, rle in encode_labels(labels).items()]


def test_the_label_map_of_a_file_joins_its_regions():
    left, right = np.full((4, 6), 255, np.uint8), np.full((4, 6), 255, np.uint8)
    left[:, :2], right[1:, 3:] = 1, 0
    person = {"keypoints": [1, 1, 1, 2, 2, 1], "score": 0.5}
    instance = {"segmentation": stuff(left)[0]["segmentation"], "category_id": 9, "score": 0.5}
    joined = label_map([{"seg": stuff(left), "pose": [person]}, {"seg": stuff(right), "masks": [instance]}], (4, 6))
    np.testing.assert_array_equal(joined, np.minimum(left, right))
    assert label_map([{"pose": [person]}, {}], (4, 6)) is None


def test_answers_of_both_kinds_are_drawn_where_they_are():
    image = np.full((160, 200, 3), 40, np.uint8)
    labels = np.full((160, 200), 255, np.uint8)
    labels[:, 100:] = 1
    person = {"keypoints": [50.5, 80.5, 1, 50.5, 120.5, 1], "score": 1.0}
    plain = draw_answers(image, [{"pose": []}], META)
    assert plain.shape == (320, 400, 3)
    assert (plain == 40).all()
    drawn = draw_answers(image, [{"seg": stuff(labels), "pose": [person]}], META)
    assert drawn.shape[0] > 320  # by the legend
    assert drawn.shape[1] == 400
    right, left = drawn[:320, 210:].reshape(-1, 3), drawn[:320, :190]
    assert len(np.unique(right, axis=0)) == 1
    assert (right[0] != 40).any()
    limb = np.abs(left[200:204, 99:103].astype(int) - left[0, 0]).max()
    assert limb > 60


def test_keypoints_are_drawn_where_they_are_and_not_where_results_say():
    image = np.full((40, 50, 3), 40, np.uint8)
    person = {"keypoints": [20.0, 10.0, 1, 30.0, 30.0, 1], "score": 1.0}
    indices = {"keypoints": [19.5, 9.5, 1, 29.5, 29.5, 1], "score": 1.0}
    drawn = draw_answers(image, [{"pose": [indices]}], replace(META, keypoint_shift=0.5))
    np.testing.assert_array_equal(drawn, draw_answers(image, [{"pose": [person]}], META))
    assert (drawn != draw_answers(image, [{"pose": [indices]}], META)).any()


def test_samples_with_everything_are_drawn_beside_the_target():
    encoder = {"type": "NewellStem", "channels": 8}
    tasks = {"seg": {"type": "Segmentation", "num_classes": 2}, "pose": {"type": "Pose", "num_keypoints": 2}}
    model = build_model(encoder, None, tasks, META)
    semantic = np.zeros((32, 48), np.uint8)
    semantic[:, 24:] = 1
    semantic[24:] = 255
    sample = {
        "image": np.full((32, 48, 3), 90, np.uint8),
        "semantic": semantic,
        "masks": np.ones((1, 32, 48), np.uint8),
        "boxes": np.float32([[2, 2, 30, 30]]),
        "keypoints": np.float32([[[5, 5, 2], [20, 20, 1]]]),
    }
    drawn = draw_sample(sample, model, META)
    width = (drawn.shape[1] - 4) // 3
    _, target, heatmap = (drawn[4:324, 4 + index * width : (index + 1) * width] for index in range(3))
    assert target.shape[:2] == heatmap.shape[:2] == (320, 480)
    left, right, ignored = (part.reshape(-1, 3) for part in (target[:200, :200], target[:200, 280:], target[245:]))
    assert [len(np.unique(part, axis=0)) for part in (left, right, ignored)] == [1, 1, 1]
    assert len(np.unique([left[0], right[0], ignored[0]], axis=0)) == 3


def test_every_class_of_label_files_has_a_colour_of_its_own(tmp_path):
    labels = np.repeat(np.array([0, 1, 2, 255], np.uint8), 12)[None].repeat(32, 0)
    for folder, pixels in (("images", np.full((32, 48, 3), 90, np.uint8)), ("labels", labels)):
        (tmp_path / folder).mkdir()
        write_image(tmp_path / folder / "a.png", pixels)
    data = LabelFolders("images", "labels", ["road", "tree", "sky"], tmp_path, ignore=255)
    tasks = {"seg": {"type": "Segmentation", "num_classes": 3}}
    model = build_model({"type": "NewellStem", "channels": 8}, None, tasks, data.meta)
    sample = data.read(0)
    shown = draw_sample(Warp((32, 48), data.meta.flip_order)(sample), model, data.meta)
    parts = [shown[100, x].tolist() for x in (4 + 60, 4 + 180, 4 + 300, 4 + 420)]
    assert len({tuple(part) for part in parts}) == 4
    assert max(parts[3]) < 90, "ignored pixels are dark"
    legend = shown[330:346, 4:484].reshape(-1, 3)
    for part in parts[:3]:
        tint = (np.array(part) - 0.45 * 90) / 0.55
        assert (np.abs(legend - tint).max(1) < 4).any(), "the legend has the colours of the map"


def test_label_maps_are_written_as_they_are(tmp_path):
    labels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    write_image(tmp_path / "labels.png", labels)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "labels.png"), cv2.IMREAD_UNCHANGED), labels)


def test_boxes_have_the_colour_of_their_class_above_the_threshold():
    image = np.full((200, 300, 3), 40, np.uint8)
    meta = DatasetMeta(classes=("red", "white"), category_ids=(3, 7))

    def answer(left, category, score):
        return {"bbox": [left, 60.5, 40, 80], "category_id": category, "score": score}

    def colours(*answers):
        drawn = draw_answers(image, [{"boxes": list(answers)}], meta)
        scale = drawn.shape[1] / 300
        return [tuple(drawn[round(100 * scale), round(left * scale)].tolist()) for left in (20.5, 120.5, 220.5)]

    first, second, third = colours(answer(20.5, 3, 0.9), answer(120.5, 7, 0.4), answer(220.5, 3, 0.31))
    assert first == third
    assert len({first, second, (40, 40, 40)}) == 3
    assert colours(answer(20.5, 3, 0.3), answer(120.5, 7, 0.9))[0] == (40, 40, 40)


def test_of_many_people_the_unsure_are_left_out_and_those_without_a_sure_joint_are_boxes():
    image = np.full((200, 300, 3), 40, np.uint8)
    meta = DatasetMeta(classes=("person",), category_ids=(1,), keypoint_names=("nose",))

    def person(left, score, joint):
        return {"bbox": [left, 60, 60, 80], "category_id": 1, "score": score, "keypoints": [left + 30, 100, joint]}

    def seen(answer, **options):
        drawn = draw_answers(image, [{"centers": [answer]}], meta, **options)
        scale = drawn.shape[1] / 300
        edge, joint = (drawn[round(100 * scale), round(x * scale)].tolist() != [40] * 3 for x in (100, 130))
        return edge, joint

    assert seen(person(100, 0.2, 0.9)) == (False, False)
    assert seen(person(100, 0.9, 0.9)) == (False, True)
    assert seen(person(100, 0.9, 0.05)) == (True, False)
    assert seen(person(100, 0.2, 0.9), at_least=1) == (False, True)


def test_cases_show_as_many_objects_as_are_annotated_and_a_map_only_where_one_is_answered(tmp_path):
    path = tmp_path / "7.png"
    cv2.imwrite(str(path), np.full((200, 300, 3), 40, np.uint8))
    meta = DatasetMeta(classes=("person",), category_ids=(1,), semantic_classes=("ground", "person"))
    truth = {
        "size": (200, 300),
        "boxes": np.array([[20, 60, 60, 140], [200, 20, 280, 100]], np.float32),
        "labels": np.zeros(2, np.int64),
        "crowd": np.array([False, True]),
    }
    labels = encode_labels(np.ones((200, 300), np.uint8))

    def drawn(*answers, semantic=labels):
        file = AnnotatedFile(str(path), truth, semantic)
        found = Evaluation({"boxes": []}, results={"boxes": list(answers)}, files={7: file}, meta=meta)
        return draw_cases(found, [(7, 0.5)])

    low, high = (
        {"image_id": 7, "category_id": 1, "bbox": [left, 60, 40, 80], "score": score}
        for left, score in ((20, 0.01), (150, 0.2))
    )
    np.testing.assert_array_equal(drawn(low, high), drawn(high))
    assert (drawn(high) != drawn(low)).any()
    np.testing.assert_array_equal(drawn(high), drawn(high, semantic=None))
    mapped = stuff(np.zeros((200, 300), np.uint8))
    assert drawn(high, *mapped).shape != drawn(high, *mapped, semantic=None).shape  # a map has a legend


def test_annotated_things_without_joints_are_boxes_where_their_kind_is_answered():
    image = np.full((330, 330, 3), 40, np.uint8)
    meta = DatasetMeta(classes=("person", "ball", "dog"), category_ids=(1, 5, 9), keypoint_names=("nose",))
    boxes = np.array([[20, 60, 80, 140], [120, 60, 180, 140], [220, 60, 280, 140]], np.float32)
    keypoints = np.zeros((3, 1, 3), np.float32)
    keypoints[0] = 50, 100, 2
    truth = {"size": (330, 330), "boxes": boxes, "labels": np.arange(3), "keypoints": keypoints}
    answers = [
        {"bbox": [0, 0, 9, 9], "category_id": category, "score": 0.9, "keypoints": [1, 1, 0.5]} for category in (1, 5)
    ]

    def edges(*answers):
        drawn = draw_annotated(image, AnnotatedFile("7.png", truth), meta, answers)
        return [drawn[100, left].tolist() != [40] * 3 for left in (20, 120, 220)]

    assert edges(*answers) == [False, True, False]
    assert edges(answers[0], {"bbox": [0, 0, 9, 9], "category_id": 1, "score": 0.9}) == [True, True, True]
    assert edges({"keypoints": [1, 1, 0.5], "score": 1.0}) == [False, False, False]
