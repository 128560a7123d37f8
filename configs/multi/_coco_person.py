"""People of a COCO subset with every annotation: what the configs `*_coco_person.py` share. No config by itself.

Images are those of configs/detection/_coco_person.py.
"""

encoder = dict(type="NewellStem", channels=64)
neck = dict(type="StackedHourglass", num_stages=2, num_levels=5, channels=64)
_pose = dict(
    type="Centers",
    num_classes=1,
    num_keypoints=17,
    head=dict(type="Center", channels=64),
    metrics=[dict(type="KeypointAP"), dict(type="PCK", normalizer="torso", threshold=0.2)],
)
_boxes = dict(type="Corners", num_classes=1, head=dict(type="Corner", channels=64, pool_channels=32))
_segmentation = dict(type="Segmentation", num_classes=2, loss=dict(cross_entropy=1.0, dice=1.0))
warp = dict(size=(256, 256), padding=1.0, scale=(0.75, 1.5), shift=0.1, flip=0.5)
photometric = dict(gain=0.4)
_set = dict(
    type="CocoScenes",
    images="coco_person/images",
    keypoint_shift=0.5,
    semantic_from_masks=True,
    semantic_categories=["person"],
)
_train = "coco_person/annotations/person_train.json"
train_data = dict(**_set, annotations=_train, subset=dict(folds=10, drop=[0]))
val_data = dict(**_set, annotations=_train, subset=dict(folds=10, keep=[0]))
test_data = dict(**_set, annotations="coco_person/annotations/person_test.json")
optimizer = dict(type="adamw", lr=2e-3, weight_decay=1e-2)
schedule = dict(type="one_cycle")
epochs = 26
batch_size = 8
engine = dict(amp=True, clip=10.0, workers=2, flip_test=True, eval_every=13)
