"""Where the parts meet: the model, building one from a config, and the named models."""

from densezoo.models.build import build_model
from densezoo.models.dense_model import DenseModel
from densezoo.models.detector import Detector
from densezoo.models.model import Model
from densezoo.models.zoo import create_model, list_models

__all__ = ["DenseModel", "Detector", "Model", "build_model", "create_model", "list_models"]
