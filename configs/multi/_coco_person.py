"""People of a COCO subset with every annotation: what the configs `*_coco_person.py` share. No config by itself.

Images and network are those of configs/detection/centers_hourglass_coco_person.py.
"""

_base_ = "../detection/_coco_person.py"
_pose = dict(
    type="AssociativeEmbedding",
    num_keypoints=17,
    target="unbiased",
    sigma=1.0,
    foreground=10.0,
    tag_weight=0.2,
    refine="dark",
    metrics=[
        dict(type="KeypointAP"),
        dict(type="PCK", normalizer="torso", threshold=0.2),
        dict(type="PCK", normalizer="box", threshold=0.1),
    ],
)
_boxes = dict(type="Centers", num_classes=1, head=dict(type="Center", channels=64))
_segmentation = dict(type="Segmentation", num_classes=2, loss=dict(cross_entropy=1.0, dice=1.0))
_annotations = dict(keypoint_shift=0.5, semantic_from_masks=True, semantic_categories=["person"])
train_data = dict(**_annotations, masks=True)
val_data = _annotations
test_data = _annotations
epochs = 40
engine = dict(eval_every=20)
