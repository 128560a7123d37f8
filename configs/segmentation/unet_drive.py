"""A U-Net on the vessels of DRIVE: 20 pictures of the retina to train on, at their own size, 20 to test.

Every epoch looks at each picture 20 times, at another crop. Scored inside the field of view, with the second observer's
labels beside it. Measured on 2 cores of an Intel Xeon (AMX bf16): 15 minutes of training, test Dice 0.824 with flip
test; the second observer 0.789.

densezoo train configs/segmentation/unet_drive.py --work-dir runs/drive
densezoo test configs/segmentation/unet_drive.py runs/drive/checkpoints/best.pt --flip-test --baseline
"""

encoder = dict(type="PlainUNet", channels=[24, 48, 96, 128])
neck = dict(type="UNet")
tasks = dict(
    vessels=dict(
        type="Segmentation",
        num_classes=1,
        loss=dict(cross_entropy=1.0, dice=1.0),
        metrics=[dict(type="BinaryScores"), dict(type="MeanIoU")],
    )
)
warp = dict(size=None, padding=1.0, crop=(192, 192), scale=(0.8, 1.25), rotation=180, flip=0.5, border=(0, 0, 0))
photometric = dict(gain=0.2, contrast=0.3)
train_data = [dict(type="Drive", folder="drive", split="train")] * 20
test_data = dict(type="Drive", folder="drive", split="test")
optimizer = dict(type="adamw", lr=3e-3, weight_decay=1e-2)
schedule = dict(type="one_cycle")
epochs = 30
batch_size = 8
engine = dict(amp=True, clip=10.0, workers=2, flip_test=True)
