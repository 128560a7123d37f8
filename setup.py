"""Package metadata. Lower bounds say what works; `constraints.txt` says what was tested."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
# Read, not imported: the build environment has no torch.
VERSION = re.findall(r'^__version__ = "(.+)"$', (HERE / "densezoo/__init__.py").read_text(encoding="utf-8"), re.M)[0]

setup(
    name="densezoo",
    version=VERSION,
    description="Encoders, multi-scale necks and dense heads for PyTorch: swap one part, keep the rest, compare fairly",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    packages=find_packages(include=["densezoo", "densezoo.*"]),
    package_data={"densezoo": ["py.typed", "comparison/templates/*"]},
    python_requires=">=3.11,<3.14",
    install_requires=[
        "torch>=2.10",  # older torch.load corrupts memory on a hostile checkpoint (CVE-2026-24747)
        "torchvision>=0.25",  # the one that goes with torch 2.10
        "timm>=1.0.28",  # first whose HRNet gives feature maps of any image size
        "mmengine>=0.10.5",
        "numpy>=2.0",
        "pycocotools>=2.0.8",  # first with NumPy 2; 2.0.5 and later refuse malformed RLE
        "opencv-python>=4.10.0.84",  # first with NumPy 2; mmengine asks for this one, not for -headless
        "pillow>=10.0",  # sizes of images from their headers
        "scipy>=1.14.1",  # first with Python 3.13
        "matplotlib>=3.9.2",
        "plotly>=7.0",  # the charts of a study's report, which hold its plotly.js
        "jinja2>=3.1",
        "rich>=13.7",
        "tensorboard>=2.21",  # first whose viewer runs without pkg_resources, which setuptools 82 dropped
    ],
    extras_require={
        "dev": [
            "pytest>=8.3",
            "hypothesis>=6.100",
            "ruff>=0.15",
            "mypy>=1.15",
            "pre-commit>=4.0",
            "segmentation-models-pytorch>=0.5",  # a test puts its decoders on our encoders
            "onnx>=1.17",  # a test exports a head, and runs it by the reference implementation
            "onnxscript>=0.7",  # torch exports by it
            "faster-coco-eval>=1.8",  # tests compare it with pycocotools
            "playwright>=1.50",  # tests click through a study's report, in a Chromium of the system
            "ray>=2.44",  # a test hands units to a cluster of its own
        ],
        "ray": ["ray>=2.44"],  # a study over the machines of a cluster
        "fast": ["faster-coco-eval>=1.8"],  # box AP in less than half the time
    },
    entry_points={"console_scripts": ["densezoo = densezoo.cli.main:main"]},
    classifiers=[
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Image Recognition",
        "Typing :: Typed",
    ],
)
