"""Darknet's YOLOv3 made by code: its layers, and seeded random weights. Speed does not depend on the weights' values.

The real weights can be had from no package index. Objectness is biased so low that no box comes out by chance.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.session import Bench

CLASSES = 80
BOXES = 3  # predicted in each cell of each head
ANCHORS = "10,13, 16,30, 33,23, 30,61, 62,45, 59,119, 116,90, 156,198, 373,326"
BLOCKS = ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4))  # channels and residual blocks of the backbone's stages
QUIET = -12.0  # bias of an objectness: a chance of one in 160,000


def yolov3(bench: Bench) -> tuple[Path, Path]:
    """`yolov3.cfg` and `yolov3.weights` (416×416) in the cache, made on first use."""
    folder = bench.cache / "yolov3"
    configuration, weights = folder / "yolov3.cfg", folder / "yolov3.weights"
    if not weights.exists():
        bench.say("making YOLOv3 with random weights (240 MB, once)")
        folder.mkdir(parents=True, exist_ok=True)
        text, shapes = _layers()
        configuration.write_text(text)
        fresh = weights.with_suffix(".new")
        _write(fresh, shapes)
        fresh.replace(weights)
    return configuration, weights


Shape = tuple[int, int, int, bool]
"""Of one convolution: channels in, channels out, side of its kernel, whether it is normalised."""


class _Net:
    """Collects sections, and how many channels every layer gives."""

    def __init__(self) -> None:
        self.text = ["[net]\nbatch=1\nsubdivisions=1\nwidth=416\nheight=416\nchannels=3\n"]
        self.channels: list[int] = []
        self.shapes: list[Shape] = []

    def convolution(self, filters: int, size: int, *, stride: int = 1, head: bool = False) -> None:
        normalise = "" if head else "batch_normalize=1\n"
        activation = "linear" if head else "leaky"
        self._add(
            f"[convolutional]\n{normalise}filters={filters}\nsize={size}\nstride={stride}\npad=1\nactivation={activation}",
            filters,
            (self.channels[-1] if self.channels else 3, filters, size, not head),
        )

    def shortcut(self) -> None:
        self._add("[shortcut]\nfrom=-3\nactivation=linear", self.channels[-1])

    def route(self, *layers: int) -> None:
        self._add(f"[route]\nlayers={','.join(map(str, layers))}", sum(self.channels[layer] for layer in layers))

    def upsample(self) -> None:
        self._add("[upsample]\nstride=2", self.channels[-1])

    def yolo(self, mask: str) -> None:
        self._add(
            f"[yolo]\nmask={mask}\nanchors={ANCHORS}\nclasses={CLASSES}\nnum=9\njitter=.3\nignore_thresh=.7\n"
            "truth_thresh=1\nrandom=1",
            self.channels[-1],
        )

    def _add(self, section: str, channels: int, shape: Shape | None = None) -> None:
        self.text.append(section + "\n")
        self.channels.append(channels)
        if shape:
            self.shapes.append(shape)


def _layers() -> tuple[str, list[Shape]]:
    net = _Net()
    net.convolution(32, 3)
    ends = []
    for channels, blocks in BLOCKS:
        net.convolution(channels, 3, stride=2)
        for _ in range(blocks):
            net.convolution(channels // 2, 1)
            net.convolution(channels, 3)
            net.shortcut()
        ends.append(len(net.channels) - 1)
    for head, (channels, mask) in enumerate(((512, "6,7,8"), (256, "3,4,5"), (128, "0,1,2"))):
        if head:
            net.route(-4)
            net.convolution(channels, 1)
            net.upsample()
            net.route(-1, ends[-1 - head])
        for _ in range(3):
            net.convolution(channels, 1)
            net.convolution(2 * channels, 3)
        net.convolution(BOXES * (5 + CLASSES), 1, head=True)
        net.yolo(mask)
    return "\n".join(net.text), net.shapes


def _write(file: Path, shapes: list[Shape]) -> None:
    """Darknet's file: a header, then each convolution's biases, normalisation and kernel."""
    random = np.random.default_rng(3)
    with file.open("wb") as out:
        np.array([0, 2, 5], np.int32).tofile(out)
        np.array([0], np.int64).tofile(out)
        for wide, filters, size, normalised in shapes:
            biases = np.zeros(filters, np.float32)
            if not normalised:
                biases.reshape(BOXES, -1)[:, 4] = QUIET
            biases.tofile(out)
            if normalised:
                for fill in (0.5, 0.0, 1.0):  # scales below 1 keep the sums of the residual blocks small
                    np.full(filters, fill, np.float32).tofile(out)
            deviation = np.sqrt(2 / (wide * size * size)) * (1.0 if normalised else 0.01)
            (random.standard_normal(filters * wide * size * size, np.float32) * np.float32(deviation)).tofile(out)
