"""Eight stacked hourglasses on MPII Human Pose with the recipe of the paper (Newell et al. 2016).

    densezoo train configs/pose/newell_s8_mpii.py --work-dir runs/mpii --cfg-options data_root=data

Data: `data/mpii/train.json` and `valid.json` (the common JSON of HRNet and mmpose) and `data/mpii/images/`.
Augmentation is that of the published code; `distribution="uniform"` with rotation=30 and scale=(0.75, 1.25) is the
paper's. The learning rate drops once by 5 when PCKh no longer rises. Nobody has run this config yet: the data set and a
GPU are needed. Published: 90.9 PCKh on the test set.
"""

encoder = dict(type="NewellStem", channels=256)
neck = dict(type="StackedHourglass", num_stages=8, feedback=["pose.heatmap"])
tasks = dict(
    pose=dict(
        type="Pose",
        num_keypoints=16,
        target="quantised",
        sigma=1.0,
        joints="zero_target",
        refine="quarter",
        metrics=[dict(type="PCKh", threshold=0.5)],
    )
)
warp = dict(
    size=(256, 256),
    padding=1.0,
    rotation=30,
    rotation_probability=0.4,
    scale=(2**-0.25, 2**0.25),
    distribution="normal",
    flip=0.5,
)
photometric = dict(gain=0.4)
train_data = dict(type="Mpii", annotations="mpii/train.json", images="mpii/images", split="all")
val_data = dict(type="Mpii", annotations="mpii/valid.json", images="mpii/images", split="all")
optimizer = dict(type="rmsprop", lr=2.5e-4, alpha=0.99, eps=1e-8)
schedule = dict(type="plateau", factor=0.2, patience=5, min_lr=5e-5)
epochs = 200
batch_size = 6
engine = dict(amp=True, flip_test=True)
