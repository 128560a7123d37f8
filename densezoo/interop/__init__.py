"""Meeting other libraries: their weights in our models, our models in their programs."""

from densezoo.interop.conversion import convert_state_dict

__all__ = ["convert_state_dict"]
