import cv2
import numpy as np
import pytest
from PIL import Image

from densezoo.datasets.images import read_image, read_labels, read_size
from densezoo.errors import DataError

PIXELS = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


def test_channels_are_red_green_blue(tmp_path):
    path = tmp_path / "bild ü.png"
    Image.fromarray(PIXELS).save(path)
    np.testing.assert_array_equal(read_image(path, (4, 6)), PIXELS)


def test_grey_and_alpha_become_three_channels(tmp_path):
    Image.fromarray(PIXELS[..., 0]).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png"), np.repeat(PIXELS[..., :1], 3, axis=2))
    Image.fromarray(np.dstack([PIXELS, PIXELS[..., :1]])).save(tmp_path / "alpha.png")
    np.testing.assert_array_equal(read_image(tmp_path / "alpha.png"), PIXELS)


def test_exif_orientation_is_not_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    Image.fromarray(PIXELS).save(tmp_path / "turned.jpg", exif=exif)
    assert cv2.imread(str(tmp_path / "turned.jpg")).shape == (6, 4, 3)
    assert read_image(tmp_path / "turned.jpg").shape == (4, 6, 3)


def test_trouble_is_told_apart_and_the_file_named(tmp_path):
    with pytest.raises(DataError, match=r"gone\.png: the image cannot be read: No such file"):
        read_image(tmp_path / "gone.png")
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("not an image")
    for name in ("empty.png", "text.png"):
        with pytest.raises(DataError, match=f"{name}: the image does not decode"):
            read_image(tmp_path / name)
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    data = cv2.imencode(".jpg", noise)[1].tobytes()
    (tmp_path / "short.jpg").write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match=r"short\.jpg: the image ends early"):
        read_image(tmp_path / "short.jpg")
    cv2.imwrite(str(tmp_path / "fine.png"), PIXELS)
    with pytest.raises(DataError, match=r"fine\.png: the image has 6x4 pixels, but set\.json says 4x6"):
        read_image(tmp_path / "fine.png", (6, 4), "set.json")


def with_thumbnail(jpeg, marker=b"\xff\xe1"):
    """The JPEG with an EXIF segment that holds a whole JPEG of its own, as cameras write it."""
    thumbnail = b"Exif\0\0" + cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    return jpeg[:2] + marker + (2 + len(thumbnail)).to_bytes(2, "big") + thumbnail + jpeg[2:]


@pytest.mark.parametrize("progressive", [0, 1])
def test_a_jpeg_with_a_thumbnail_is_whole_or_cut_short(tmp_path, progressive):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    plain = cv2.imencode(".jpg", noise, [cv2.IMWRITE_JPEG_PROGRESSIVE, progressive])[1].tobytes()
    path = tmp_path / "camera.jpg"
    path.write_bytes(plain)
    pixels = read_image(path)
    stored = with_thumbnail(plain)
    # fill bytes before a marker are allowed, and what a camera appends after the image may look like a marker
    for whole in (stored, with_thumbnail(plain, b"\xff\xff\xff\xe1"), stored + b"video \xff\xda \xff\xd8 more"):
        path.write_bytes(whole)
        np.testing.assert_array_equal(read_image(path), pixels)
    for length in (len(stored) - 2, len(stored) * 2 // 3, len(stored) - len(plain) + 10, 30, 3):
        path.write_bytes(stored[:length])
        with pytest.raises(DataError, match=r"camera\.jpg: the image ends early"):
            read_image(path)


def test_labels_of_a_palette_image_are_its_indices(tmp_path):
    labels = np.array([[0, 1, 2], [255, 1, 0]], np.uint8)
    palette = Image.fromarray(labels)
    palette.putpalette([7] * 768)
    palette.save(tmp_path / "palette.png")
    assert palette.mode == "P"
    np.testing.assert_array_equal(read_labels(tmp_path / "palette.png", (2, 3)), labels)
    np.testing.assert_array_equal(read_labels(tmp_path / "palette.png", (2, 3), ignore=0), [[255, 1, 2], [255, 1, 255]])


def test_labels_that_are_no_labels(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "colour.png")
    with pytest.raises(DataError, match=r"colour\.png: .*RGB"):
        read_labels(tmp_path / "colour.png", (4, 6))
    Image.fromarray(PIXELS[..., 0]).save(tmp_path / "map.png")
    with pytest.raises(DataError, match=r"map\.png: .*6x4 pixels, its image 4x6"):
        read_labels(tmp_path / "map.png", (6, 4))
    with pytest.raises(DataError, match=r"gone\.png"):
        read_labels(tmp_path / "gone.png", (6, 4))


def test_the_size_is_that_of_the_stored_pixels(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(PIXELS).save(tmp_path / "turned.jpg", exif=exif)
    assert read_size(tmp_path / "turned.jpg") == (4, 6)
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    for name in ("bad.jpg", "gone.jpg"):
        with pytest.raises(DataError, match=name):
            read_size(tmp_path / name)


def test_what_pil_takes_for_a_bomb_is_an_error_of_the_data(tmp_path, monkeypatch):
    path = tmp_path / "huge.png"
    Image.fromarray(PIXELS[..., 0]).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    for read in (read_size, lambda path: read_labels(path, (4, 6))):
        with pytest.raises(DataError, match=r"huge\.png: .*cannot be read: .*24 pixels"):
            read(path)


def test_a_damaged_map_is_an_error_of_the_data_wherever_the_damage_is(tmp_path):
    path = tmp_path / "map.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (400, 400), np.uint8)).save(path)
    stored = path.read_bytes()
    second = stored.find(b"IDAT", stored.find(b"IDAT") + 4)
    for at in (1, 20, second - 4, second, second + 2, len(stored) - 30):
        path.write_bytes(stored[:at] + bytes([stored[at] ^ 0xFF]) + stored[at + 1 :])
        with pytest.raises(DataError, match=r"map\.png: the semantic map cannot be read"):
            read_labels(path, (400, 400))
