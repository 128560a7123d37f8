import pickle
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from densezoo.datasets.images import read_labels
from densezoo.datasets.label_folders import LabelFolders
from densezoo.datasets.subset import in_subset
from densezoo.engine.build import build_dataset
from densezoo.engine.config_file import read_config_file
from densezoo.errors import ConfigError, DataError

CLASSES = ["road", "tree", "sky"]
LABELS = np.array([[0, 1, 2, 0], [2, 2, 1, 0]], np.uint8)
COLOURS = np.array([(128, 64, 128), (0, 128, 0), (70, 130, 180), (0, 0, 0)], np.uint8)


def write(path, pixels, mode=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    (image if mode is None else image.convert(mode)).save(path)


@pytest.fixture
def folder(tmp_path):
    """Three images `train/{b,a,c}.jpg` with maps `trainannot/*.png`; those of b are turned round."""
    for name in "bac":
        write(tmp_path / f"train/{name}.jpg", np.full((2, 4, 3), 90, np.uint8))
        write(tmp_path / f"trainannot/{name}.png", LABELS[::-1] if name == "b" else LABELS)
    return tmp_path


def open_set(folder, **changes):
    return LabelFolders(
        **{"images": "train", "labels": "trainannot", "classes": CLASSES, "data_root": folder} | changes
    )


def test_images_and_maps_of_two_folders_belong_together_by_name(folder):
    (folder / "train" / "README.txt").write_text("no image")
    (folder / "train" / "._a.jpg").write_text("what a Mac leaves")
    dataset = open_set(folder)
    assert dataset.meta.semantic_classes == ("road", "tree", "sky")
    samples = [dataset.read(index) for index in range(len(dataset))]
    assert [sample["path"].rsplit("/")[-1] for sample in samples] == ["a.jpg", "b.jpg", "c.jpg"]
    np.testing.assert_array_equal(samples[0]["semantic"], LABELS)
    np.testing.assert_array_equal(samples[1]["semantic"], LABELS[::-1])
    assert samples[0]["frame"].tolist() == [0, 0, 4, 2]
    assert samples[0]["whole_image"] is True
    assert not {"boxes", "keypoints", "masks", "ids"} & set(samples[0]), "nothing is known of instances"
    truth = dataset.truth(1)
    np.testing.assert_array_equal(truth["semantic"], LABELS[::-1])
    assert truth["size"] == (2, 4)
    assert truth["boxes"].shape == (0, 4)
    assert "second_semantic" not in truth
    again = pickle.loads(pickle.dumps(dataset))
    np.testing.assert_array_equal(again.read(1)["semantic"], LABELS[::-1])


def test_fields_of_a_pattern_say_which_map_belongs_to_an_image(tmp_path):
    places = [("bonn", "bonn_1_2"), ("ulm", "ulm_1_2"), ("ulm", "ulm_1_1")]
    for value, (city, name) in enumerate(places):
        write(tmp_path / f"left/{city}/{name}_left.png", np.full((2, 4, 3), 90, np.uint8))
        write(tmp_path / f"fine/{city}/{name}_fine.png", np.full((2, 4), value, np.uint8))
    (tmp_path / "left" / "note.txt").write_text("no folder")
    dataset = open_set(tmp_path, images="left/{city}/{name}_left.png", labels="fine/{city}/{name}_fine.png")
    assert [int(dataset.read(index)["semantic"][0, 0]) for index in range(3)] == [0, 2, 1]
    absolute = open_set(
        tmp_path, images=f"{tmp_path}/left/{{city}}/{{name}}_left.png", labels=dataset._patterns["labels"].text
    )
    assert len(absolute) == 3
    twice = open_set(tmp_path, images="left/{city}/{city}_{name}_left.png", labels="fine/{city}/{city}_{name}_fine.png")
    assert len(twice) == 3
    with pytest.raises(ConfigError, match=r"labels='fine/\{town\}\.png' has the field 'town', which .* lacks"):
        open_set(tmp_path, images="left/{city}/{name}_left.png", labels="fine/{town}.png")
    with pytest.raises(DataError, match=r"no file fits .*\{name\}_right\.png; .*left holds bonn, note\.txt, ulm"):
        open_set(tmp_path, images="left/{city}/{name}_right.png", labels="fine/{city}/{name}.png")
    with pytest.raises(ConfigError, match="must be a folder, or a pattern"):
        open_set(tmp_path, images="left/{city}/{na me}.png")


def test_parts_of_a_set_keep_the_ids_of_the_whole(folder):
    part = open_set(folder, subset={"folds": 3, "keep": [1]})
    ids = np.flatnonzero(in_subset(range(3), {"folds": 3, "keep": [1]})).tolist()
    assert ids == [2]
    assert [part.read(index)["image_id"] for index in range(len(part))] == ids
    (folder / "split.txt").write_text("c\nb \n\n")
    for names in ("split.txt", ["b", "c"]):
        assert [open_set(folder, names=names).read(index)["image_id"] for index in (0, 1)] == [1, 2]
    (folder / "split.txt").write_text("c\nbb.jpg\n")
    with pytest.raises(DataError, match=r"split\.txt: 1 of 2 names have no image .*'bb\.jpg'; known: 'a', 'b', 'c'"):
        open_set(folder, names="split.txt")
    with pytest.raises(DataError, match=r"gone\.txt: the names cannot be read"):
        open_set(folder, names="gone.txt")
    with pytest.raises(DataError, match="none of the 3 images"):
        open_set(folder, names=["a"], subset={"folds": 3, "keep": [1]})


def test_an_image_without_a_map_is_named_unless_nobody_asks_for_it(folder):
    (folder / "trainannot" / "b.png").unlink()
    with pytest.raises(DataError, match=r"no .*trainannot/b\.png for train/b\.jpg; of 3 images 1 .* say in 'names'"):
        open_set(folder)
    assert len(open_set(folder, names=["a", "c"])) == 2


def test_empty_and_mixed_folders(folder):
    (folder / "empty").mkdir()
    with pytest.raises(DataError, match="empty holds no image"):
        open_set(folder, images="empty")
    with pytest.raises(DataError, match=r"there is no folder .*/gone; check 'labels' and data_root"):
        open_set(folder, labels="gone")
    write(folder / "train" / "d.png", np.zeros((2, 4, 3), np.uint8))
    write(folder / "trainannot" / "d.png", LABELS)
    with pytest.raises(ConfigError, match=r"end in \.jpg and in \.png; .*images='train/\{name\}\.\{ending\}'"):
        open_set(folder)
    assert len(open_set(folder, images="train/{name}.{ending}", labels="trainannot/{name}.png")) == 4


def test_numbers_in_the_file_become_labels(folder):
    raw = np.array([[7, 0, 33, 7], [33, 33, 9, 7]], np.uint8)
    for name in "abc":
        write(folder / f"trainannot/{name}.png", raw)
    dataset = open_set(folder, classes=["road", "bicycle"], values={7: 0, 33: 1, 9: 255}, ignore=[0])
    np.testing.assert_array_equal(dataset.read(0)["semantic"], [[0, 255, 1, 0], [1, 1, 255, 0]])
    for values, ignore, told in (
        ({7: 0, 33: 1}, 0, r"a\.png: .*: 9 on 1 pixels; its values are 0, 7, 33; .*ignore=\[9\]"),
        (None, (), r"a\.png: .*: 7 on 3 pixels; 33 on 3 pixels; 9 on 1 pixels; its classes name 0 to 1"),
    ):
        with pytest.raises(DataError, match=told):
            open_set(folder, classes=["road", "bicycle"], values=values, ignore=ignore)


def test_a_mask_of_0_and_255_is_told_how_to_be_read(folder):
    for name in "abc":
        write(folder / f"trainannot/{name}.png", (LABELS > 0).astype(np.uint8) * 255)
    with pytest.raises(
        DataError, match=r"255 on 5 pixels; .* values=\{0: 0, 255: 1\}, 255 for unlabelled with ignore=255"
    ):
        open_set(folder, classes=["back", "vessel"])
    dataset = open_set(folder, classes=["back", "vessel"], values={0: 0, 255: 1})
    np.testing.assert_array_equal(dataset.truth(0)["semantic"], LABELS > 0)
    unlabelled = open_set(folder, classes=["back", "vessel"], ignore=255)
    np.testing.assert_array_equal(unlabelled.truth(0)["semantic"], np.where(LABELS > 0, 255, 0))


def test_colours_are_looked_up_in_the_palette(folder):
    coloured = COLOURS[LABELS]
    coloured[0, 0] = 0
    for name, mode in zip("ab", ("RGB", "RGBA"), strict=True):
        write(folder / f"trainannot/{name}.png", coloured, mode)
    indexed = Image.fromarray(3 - np.where(np.arange(8).reshape(2, 4) == 0, 3, LABELS).astype(np.uint8))
    indexed.putpalette(COLOURS[::-1].ravel().tolist())
    indexed.save(folder / "trainannot/c.png")
    expected = LABELS.copy()
    expected[0, 0] = 255
    dataset = open_set(folder, palette=COLOURS.tolist(), ignore=3)
    for index in range(3):
        np.testing.assert_array_equal(dataset.read(index)["semantic"], expected)
    coloured[1, 1] = (1, 128, 3)
    coloured[1, 3] = (9, 9, 9)
    write(folder / "trainannot/b.png", coloured)
    dataset = open_set(folder, palette=COLOURS.tolist(), ignore=3)
    with pytest.raises(
        DataError, match=r"b\.png: .*\(1, 128, 3\), nearest to \(0, 128, 0\) 'tree', on 1 pixels; .*'unlabelled'"
    ):
        dataset.read(1)
    with pytest.raises(DataError, match=r"a\.png: the label map is RGB; give palette="):
        open_set(folder)
    with pytest.raises(ConfigError, match=r"its colours \[3\] .* are of no class; put them in ignore"):
        open_set(folder, palette=COLOURS.tolist())


def test_indices_of_a_palette_image_are_labels_and_greys_of_a_gif_are_values(folder):
    indexed = Image.fromarray(LABELS)
    indexed.putpalette(COLOURS.ravel().tolist())
    for name in "abc":
        indexed.save(folder / f"trainannot/{name}.png")
        Image.fromarray(LABELS * 100).save(folder / f"trainannot/{name}.gif")
    dataset = open_set(folder, labels="trainannot/{name}.png")
    np.testing.assert_array_equal(dataset.read(0)["semantic"], LABELS)
    dataset = open_set(folder, labels="trainannot/{name}.gif", values={0: 0, 100: 1, 200: 2})
    np.testing.assert_array_equal(dataset.read(0)["semantic"], LABELS)


def test_files_that_are_no_maps(folder):
    target = folder / "trainannot" / "a.png"
    Image.fromarray(LABELS).save(folder / "lossy.jpg")
    (folder / "lossy.jpg").replace(target)
    with pytest.raises(DataError, match=r"a\.png: a JPEG changes the labels"):
        open_set(folder)
    Image.fromarray(LABELS.astype(np.uint16)).save(target)
    with pytest.raises(DataError, match=r"a\.png: a label map has 8 bits a channel, or a palette; this PNG has 16"):
        open_set(folder)
    target.write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"a\.png: the label map cannot be read"):
        open_set(folder)
    write(target, LABELS.T)
    with pytest.raises(DataError, match=r"a\.png: the label map has 2x4 pixels, its image train/a\.jpg 4x2"):
        open_set(folder)
    write(target, LABELS)
    dataset = open_set(folder)
    write(target, LABELS.T)
    with pytest.raises(DataError, match=r"a\.png: the label map has 2x4 pixels"):
        dataset.read(0)


def png(rows, bits, colour_type):
    """Return a PNG of rows of bytes as they are stored."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    channels = 3 if colour_type == 2 else 1
    header = struct.pack(">IIBBBBB", len(rows[0]) * 8 // (bits * channels), len(rows), bits, colour_type, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + bytes(row) for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("bits", "colour_type", "rows"),
    [(16, 2, [[0, 128] * 12] * 2), (4, 0, [[0x01, 0x20]] * 2), (2, 0, [[0b00011000]] * 2)],
)
def test_pngs_whose_values_would_change_as_they_are_read_are_refused(folder, bits, colour_type, rows):
    (folder / "trainannot" / "a.png").write_bytes(png(rows, bits, colour_type))
    with Image.open(folder / "trainannot" / "a.png") as stored:
        assert stored.size == (4, 2)
    with pytest.raises(DataError, match=rf"a\.png: .* this PNG has {bits}"):
        open_set(folder, palette=COLOURS.tolist() if colour_type == 2 else None, ignore=3 if colour_type == 2 else ())
    with pytest.raises(DataError, match=rf"a\.png: .* this PNG has {bits}"):
        read_labels(folder / "trainannot" / "a.png", (2, 4))


def test_a_field_of_view_is_all_that_is_not_black_and_no_jpeg(folder):
    inside = np.array([[(1, 0, 0), (0, 0, 0), (0, 0, 1), (9, 9, 9)]] * 2, np.uint8)
    for name in "abc":
        write(folder / f"fov/{name}.png", inside)
    labels = open_set(folder, field_of_view="fov").read(0)["semantic"]
    np.testing.assert_array_equal(labels == 255, ~inside.any(2))
    (folder / "fov/a.png").unlink()
    write(folder / "fov/a.jpg", inside)
    (folder / "fov/a.jpg").rename(folder / "fov/a.png")
    with pytest.raises(DataError, match=r"a\.png: a JPEG changes the black around a field of view"):
        open_set(folder, field_of_view="fov").read(0)


def test_outside_the_field_of_view_nothing_is_labelled(folder):
    inside = np.array([[0, 255, 255, 255], [0, 0, 1, 0]], np.uint8)
    for name in "abc":
        write(folder / f"fov/{name}_mask.png", inside)
        write(folder / f"second/{name}.png", (LABELS + 1) % 3)
    dataset = open_set(folder, field_of_view="fov/{name}_mask.png", second_labels="second")
    np.testing.assert_array_equal(dataset.read(0)["semantic"], np.where(inside > 0, LABELS, 255))
    truth = dataset.truth(0)
    np.testing.assert_array_equal(truth["semantic"], np.where(inside > 0, LABELS, 255))
    np.testing.assert_array_equal(truth["second_semantic"], np.where(inside > 0, (LABELS + 1) % 3, 255))
    write(folder / "fov/a_mask.png", np.zeros_like(inside))
    with pytest.raises(DataError, match=r"a_mask\.png: the field of view is black all over"):
        dataset.read(0)
    write(folder / "fov/a_mask.png", inside.T.copy())
    with pytest.raises(DataError, match=r"a_mask\.png: the field of view has 2x4 pixels"):
        dataset.read(0)
    (folder / "second" / "c.png").unlink()
    with pytest.raises(DataError, match=r"no .*second/c\.png .* check 'second_labels'"):
        open_set(folder, second_labels="second")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"classes": ["road", "road"]}, "none of them twice"),
        ({"ignore": 1}, "ignore lists 1, which means 'tree'.*values="),
        ({"ignore": 256}, "speak of 256; the numbers are 0 to 255"),
        ({"values": {0: 3}}, "0 means label 3, but classes name 0 to 2"),
        ({"values": {"0": 1}}, "speak of '0'"),
        ({"palette": [[1, 2]]}, r"must list \(r, g, b\)"),
        ({"palette": [[1, 2, 3]] * 2}, "none of them twice"),
        ({"palette": [[1, 2, 3]]}, "the numbers are 0 to 0"),
        ({"images": "train/{frame}.jpg", "labels": "trainannot/{frame}.png", "names": ["a"]}, "has no such field"),
    ],
)
def test_arguments_that_cannot_be(folder, change, told):
    with pytest.raises(ConfigError, match=told):
        open_set(folder, **change)


def test_a_config_file_can_map_numbers(folder):
    (folder / "config.py").write_text(
        "train_data = dict(type='LabelFolders', images='train', labels='trainannot', classes=['a', 'b'],\n"
        "                  values={0: 0, 1: 1, 2: 255})\n"
    )
    cfg = dict(read_config_file(folder / "config.py").train_data)
    dataset = build_dataset(cfg, str(folder))
    np.testing.assert_array_equal(dataset.read(0)["semantic"], np.where(LABELS == 2, 255, LABELS))
