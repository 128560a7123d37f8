import torch

from densezoo.functional.annotated import annotated


def test_what_has_no_annotation_is_told_from_what_has_an_empty_one():
    batch = {"valid": torch.zeros(3, 0, dtype=torch.bool), "boxes": torch.zeros(3, 0, 4), "keypoints": torch.zeros(3)}
    assert annotated(batch, "boxes").tolist() == [True, True, True]
    assert annotated(batch, "semantic").tolist() == [False, False, False]
    batch["annotated"] = {"boxes": torch.tensor([True, False, True])}
    assert annotated(batch, "boxes").tolist() == [True, False, True]
    assert annotated(batch, "keypoints").tolist() == [True, True, True]
