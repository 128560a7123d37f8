"""What the engine knows of a model: an encoder, a neck, tasks that score it, and the calls of a training."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from densezoo.contracts import Encoder, Neck, ScoredTask
from densezoo.errors import ConfigError
from densezoo.models.loss_weights import LossWeights
from densezoo.types import ONE_VIEW, Batch, InferenceViews, Prediction, Pyramid


class Model(nn.Module, ABC):
    """Encoder and neck; what reads them and what is learned is up to the class.

    Attributes:
        encoder: image to pyramid.
        neck: pyramid to one pyramid per stage; None where the encoder is read.
        num_stages: of the neck, or 1.
        tasks: task name to task.
        loss_weights: how the losses of the tasks are added; None = their sum.
    """

    encoder: Encoder
    neck: Neck | None
    tasks: Mapping[str, ScoredTask]
    pixel_scale: Tensor
    pixel_shift: Tensor

    def __init__(self, encoder: Encoder, neck: Neck | None) -> None:
        """Take the parts; the encoder's `mean` and `std` normalise uint8 images."""
        super().__init__()
        self.encoder = encoder
        self.neck = neck
        self.num_stages = neck.num_stages if neck is not None else 1
        self.loss_weights: LossWeights | None = None
        std = torch.tensor(encoder.std)
        self.register_buffer("pixel_scale", (1 / (255 * std))[:, None, None], persistent=False)
        self.register_buffer("pixel_shift", (-torch.tensor(encoder.mean) / std)[:, None, None], persistent=False)

    @abstractmethod
    def forward_features(self, images: Tensor) -> list[Pyramid]:
        """Map (N, C, H, W) images, uint8 or normalised, to one pyramid per stage."""

    @abstractmethod
    def normalisers(self, batch: Batch) -> dict[str, Tensor]:
        """Return what losses are divided by, `'task/name'` to a 0-d float tensor.

        Sum them over processes and accumulated batches, and give the sums to `losses`.
        """

    @abstractmethod
    def losses(self, batch: Batch, normalisers: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Return `'task/loss'` to a 0-d float32 loss; the training loss is the sum of them all.

        Args:
            batch: on the device of the model.
            normalisers: what `normalisers` gave, summed over all that makes one step; None takes this batch alone.
        """

    @abstractmethod
    def predict(self, batch: Batch, views: InferenceViews = ONE_VIEW) -> dict[str, list[Prediction]]:
        """Return task name to N predictions, in network pixels.

        Set the model to `eval` first; this does not change it.

        Args:
            batch: `images` is all that is read.
            views: how often to look.
        """

    def _normalise(self, images: Tensor) -> Tensor:
        """Return float images with the encoder's mean and deviation; RGB becomes grey for an encoder of one channel.

        Raises:
            ConfigError: no batch of images, or the encoder takes another number of channels.
        """
        if images.ndim != 4:
            raise ConfigError(f"images must be (N, C, H, W), not {tuple(images.shape)}; add a batch axis: images[None]")
        given, taken = images.shape[1], len(self.encoder.mean)
        if (given, taken) == (3, 1) and not images.is_floating_point():
            images = images.float().mean(1, keepdim=True).round().to(images.dtype)
        elif given != taken:
            raise ConfigError(f"the encoder takes images of {taken} channels, not {given}; give it in_channels={given}")
        images = images.contiguous(memory_format=torch.channels_last)
        return images if images.is_floating_point() else images * self.pixel_scale + self.pixel_shift
