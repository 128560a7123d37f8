"""Drawn people and shapes with every annotation: what the configs `*_synthetic.py` share. No config by itself."""

encoder = dict(type="NewellStem", channels=32)
neck = dict(type="StackedHourglass", num_stages=1, num_levels=4, channels=32)
_pose = dict(
    type="Centers",
    num_classes=5,
    num_keypoints=17,
    head=dict(type="Center", channels=32),
    metrics=[dict(type="KeypointAP"), dict(type="PCK", normalizer="torso", threshold=0.2)],
)
_boxes = dict(type="Corners", num_classes=5, head=dict(type="Corner", channels=32, pool_channels=16))
_segmentation = dict(type="Segmentation", num_classes=6, loss=dict(cross_entropy=1.0, dice=1.0))
warp = dict(size=(96, 96), padding=1.0, scale=(0.85, 1.15), rotation=10, flip=0.5)
photometric = dict(gain=0.2)
_set = dict(type="Synthetic", view="scenes", semantic=True, difficulty=0.0, max_people=2)
train_data = dict(**_set, split="train", num_images=2000)
val_data = dict(**_set, split="val", num_images=200)
test_data = dict(**_set, split="test", num_images=400)
optimizer = dict(type="adamw", lr=3e-3, weight_decay=1e-2)
schedule = dict(type="one_cycle")
epochs = 5
batch_size = 16
engine = dict(amp=True, clip=10.0, workers=1, eval_every=5, flip_test=True)
