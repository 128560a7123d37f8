"""Objects as points with keypoints: everybody in a drawn scene at once, beside four kinds of shapes.

A person's joints are told by the centre and snap to peaks of heat. Measured on one core of an Intel Xeon (AMX bf16): 17
minutes of training, OKS AP 0.656 on the test split with flip test.

densezoo train configs/pose/centers_hourglass_synthetic.py --work-dir runs/synthetic_centers
"""

encoder = dict(type="NewellStem", channels=64)
neck = dict(type="StackedHourglass", num_stages=2)
tasks = dict(
    people=dict(
        type="Centers",
        num_classes=5,
        num_keypoints=17,
        head=dict(type="Center", channels=64),
        metrics=[dict(type="KeypointAP"), dict(type="BoxAP"), dict(type="PCK", normalizer="torso", threshold=0.2)],
    )
)
warp = dict(size=(128, 128), padding=1.0, scale=(0.85, 1.15), rotation=10, flip=0.5)
photometric = dict(gain=0.2)
_set = dict(type="Synthetic", view="scenes", difficulty=0.0, max_people=3)
train_data = dict(**_set, split="train", num_images=2000)
val_data = dict(**_set, split="val", num_images=200)
test_data = dict(**_set, split="test", num_images=400)
optimizer = dict(type="adamw", lr=3e-3, weight_decay=1e-2)
schedule = dict(type="one_cycle")
epochs = 20
batch_size = 16
engine = dict(amp=True, workers=1, eval_every=20, flip_test=True)
