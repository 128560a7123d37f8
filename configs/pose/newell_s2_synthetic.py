"""Two small stacked hourglasses on the embedded data set of drawn people; what `make demo` runs.

Measured on 2 cores of an Intel Xeon (AMX bf16): 3.5 minutes of training, PCK@0.2 0.952 on the test split with flip
test; the mean pose scores 0.454.

densezoo train configs/pose/newell_s2_synthetic.py --work-dir runs/synthetic
"""

encoder = dict(type="NewellStem", channels=64)
neck = dict(type="StackedHourglass", num_stages=2, feedback=["pose.heatmap"])
tasks = dict(
    pose=dict(
        type="Pose",
        num_keypoints=17,
        target="unbiased",
        loss="cross_entropy",
        refine="dark",
        metrics=[dict(type="PCK", normalizer="torso", threshold=0.2), dict(type="KeypointAP")],
    )
)
warp = dict(size=(96, 96), padding=1.25, scale=(0.85, 1.15), rotation=10, flip=0.5)
photometric = dict(gain=0.2)
_set = dict(type="Synthetic", difficulty=0.0, max_people=2)
train_data = dict(**_set, split="train", num_images=2000)
val_data = dict(**_set, split="val", num_images=200)
test_data = dict(**_set, split="test", num_images=400)
optimizer = dict(type="adamw", lr=5e-3, weight_decay=1e-2)
schedule = dict(type="one_cycle")
epochs = 11
batch_size = 24
engine = dict(amp=True, workers=1, eval_every=11, flip_test=True)
