"""What an inference engine gives: the devices that it found, and compiled models that many threads may call at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Outputs = list[NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Device:
    """A device that an engine found. name: `openvino:cpu`, `onnxruntime:cuda.1`. title: the device's full name.

    problem: why it cannot be used although it was found, None where it works.
    """

    name: str
    title: str
    problem: str | None = None


class CompiledModel(Protocol):
    """A model that is loaded on a device."""

    @property
    def engine(self) -> str:
        """Library and device, such as `openvino:cpu`."""
        ...

    @property
    def input_hw(self) -> tuple[int, int]:
        """Height and width of the input in pixels."""
        ...

    @property
    def parallel(self) -> int:
        """How many calls at once the device can use; more only wait inside."""
        ...

    def __call__(self, image: NDArray[np.uint8]) -> Outputs:
        """The outputs for one picture, uint8 [H, W, 3] BGR of exactly `input_hw`, in the model's order.

        Any thread may call, many at once; the GIL is free meanwhile. The arrays may be the engine's own memory:
        read them before the same thread calls again.
        """
        ...

    def expect_crowd(self) -> None:
        """Get ready for `parallel` calls at once now, instead of once they are seen. Takes up to a second."""
        ...

    def close(self) -> None:
        """Free the model. Nothing may call afterwards."""
        ...
