"""Two stacked hourglasses on Leeds Sports Pose Extended.

Measured on 2 cores of an Intel Xeon (AMX bf16): 31 minutes of training, test PCK@0.2 of the torso 0.531 with flip test;
the mean pose scores 0.042. See docs/results.md.

densezoo train configs/pose/newell_s2_lspet.py --work-dir runs/lspet --cfg-options data_root=data
"""

encoder = dict(type="NewellStem", channels=64)
neck = dict(type="StackedHourglass", num_stages=2, feedback=["pose.heatmap"])
tasks = dict(
    pose=dict(
        type="Pose",
        num_keypoints=14,
        target="unbiased",
        joints="mask",
        loss="cross_entropy",
        refine="dark",
        metrics=[
            dict(type="PCK", normalizer="torso", threshold=0.2),
            dict(type="PCK", normalizer="box", threshold=0.1),
        ],
    )
)
warp = dict(size=(128, 128), padding=1.25, scale=(0.75, 1.25), rotation=30, flip=0.5)
photometric = dict(gain=0.4)
_set = dict(type="CocoPose", images="lspet/images")
train_data = dict(**_set, annotations="lspet/annotations/lspet_train.json", subset=dict(folds=10, drop=[0]))
val_data = dict(**_set, annotations="lspet/annotations/lspet_train.json", subset=dict(folds=10, keep=[0]))
test_data = dict(**_set, annotations="lspet/annotations/lspet_test.json")
optimizer = dict(type="adamw", lr=4e-3, weight_decay=1e-2)
schedule = dict(type="one_cycle")
epochs = 60
batch_size = 32
seed = 0
engine = dict(amp=True, workers=2, flip_test=True, eval_every=5)
