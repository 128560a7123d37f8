"""Meeting other libraries: their weights in our models, our models in their programs."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from densezoo.interop.conversion import convert_state_dict

__all__ = ["convert_state_dict"]


def __getattr__(name: str) -> Any:
    """Import the conversion when it is first asked for; `densezoo.interop.timm` must come without it."""
    if name != "convert_state_dict":
        raise AttributeError(f"module 'densezoo.interop' has no attribute {name!r}")
    from densezoo.interop.conversion import convert_state_dict

    return convert_state_dict
