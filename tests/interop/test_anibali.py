from converting import assert_reads_pixels
from filling import assert_golden, filled, image
from hourglasses import bearpaw, heatmaps


def test_golden_heatmaps_of_every_stage():
    """Three stacks; the names are those of bearpaw, here from under DataParallel."""
    state_dict = {f"module.{key}": value for key, value in filled(bearpaw(3, 1, 4, stem=8, half=6)).items()}
    assert_golden(heatmaps(state_dict, "anibali", image(64, 64)), ANIBALI)


def test_images_are_normalised_as_the_source_does():
    """By the mean of the source's `Mpii.DATA_INFO` alone: it keeps the deviation and never uses it."""
    assert_reads_pixels(filled(bearpaw(1, 1, 4, stem=8, half=6)), "anibali", [0.4404, 0.4440, 0.4327], [1.0] * 3)


ANIBALI = [
    ((-21.587629, 37.454922, 3.6504092), [11.227482, 22.258629, -2.9311981, -9.109004, -11.180542, -18.556219]),
    ((-154.5834, 150.42638, -9.3150339), [46.102348, 89.984108, 66.629578, -71.984062, -115.53957, -93.950531]),
    ((-339.26489, 1074.6984, 392.18639), [333.70456, 358.33737, 402.28918, 883.34711, 772.51495, 643.38342]),
]
