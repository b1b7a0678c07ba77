"""Single pictures at sizes of their own: small, drawn for who asks, and for nobody else."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from compute_node.algorithms.base import Detection
from compute_node.found import Found
from compute_node.metrics import Metrics
from compute_node.picture import Picture, Wishes
from compute_node.pipeline import Pipeline
from compute_node.sessions import Session
from compute_node.stills import MOST, Stills, Wanted
from mesh.errors import Unavailable
from mesh.frame import Frame
from mesh.wire import Assignment, CameraAddress
from tests.compute_node.test_pipeline import BOX, SIZE, Watcher, camera_of, node, quiet, results, scene
from tests.processes import wait_for
from tests.viewers import picture


def still(pipeline: Pipeline, wanted: Wanted, max_age: float = 1.0) -> Frame:
    found = pipeline.stills.get(wanted, max_age, 10)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def pipeline() -> Iterator[Pipeline]:
    """One that nobody watches, on a camera of 720p."""
    with node(camera_of(lambda n: scene(n % 200), fps=20)) as one:
        made = one.run(Watcher(least=(416, 234)))
        quiet(made)
        results(made, 2)
        yield made


@pytest.mark.parametrize(
    ("wanted", "size"),
    [
        (Wanted(width=480), (480, 270)),
        (Wanted(width=320, height=90), (160, 90)),
        (Wanted(width=4000, height=4000), (1280, 720)),
        (Wanted(quality=30), (1280, 720)),
    ],
)
def test_a_picture_fits_and_is_never_enlarged(pipeline: Pipeline, wanted: Wanted, size: tuple[int, int]) -> None:
    """Its boxes are on it, where the camera's own would be; its stamps tell of the frame it was made of."""
    found = still(pipeline, wanted)
    assert (found.width, found.height) == size
    image = picture(found.jpeg)
    assert image.shape == (size[1], size[0], 3)
    bottom = image[round(BOX[3] * size[0] / SIZE[0]), size[0] // 3 : size[0] // 2].astype(int)
    assert abs(bottom - image[2, 2]).sum(axis=1).min() > 40, "the box's lower edge"
    assert found.objects == "thing=1"
    assert found.inference_ms is not None
    assert 0 <= (found.age_ms or -1) < 2000


def looked(stills: Stills, sequence: int) -> None:
    """A frame has been searched, and the next one comes when the test says so."""
    frame = Frame(scene(90), sequence, time.time(), *SIZE)
    stills.put(Picture(frame, Wishes()), Found(frame, [Detection("thing", 0.9, BOX)], 1.0), SIZE)


def at_hand(stills: Stills, wanted: Wanted) -> Frame:
    found = stills.get(wanted, 60, 0)
    assert found is not None
    return found


def test_of_one_frame_each_size_is_made_once() -> None:
    """Sixteen who ask at once get the very same picture; another size is another one of the same frame."""
    stills = Stills(80, Metrics())
    looked(stills, 1)
    asked: list[Frame] = []
    start = threading.Barrier(16)

    def ask() -> None:
        start.wait(5)
        asked.append(at_hand(stills, Wanted(width=480)))

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(asked) == 16
    assert len({id(frame) for frame in asked}) == 1
    other = at_hand(stills, Wanted(width=320))
    assert (other.sequence, other.width, asked[0].width) == (1, 320, 480)


def test_nothing_is_drawn_for_the_frames_in_between() -> None:
    """Frames are searched at the full rate, and only those that somebody asks for are made into pictures."""
    with node(camera_of(lambda n: scene(n % 200))) as one:
        algorithm = Watcher(least=(416, 234))
        pipeline = one.run(algorithm)
        quiet(pipeline)
        results(pipeline, 2)
        before, searched = pipeline.stats("s", 0).frames, len(algorithm.shapes)
        for _ in range(4):
            still(pipeline, Wanted(width=320))
            next_one = len(algorithm.shapes) + 8
            wait_for(lambda many=next_one: len(algorithm.shapes) >= many, 5, "searches")  # type: ignore[misc]
        after = pipeline.stats("s", 0).frames
        assert after["searched"] - before["searched"] > 0.5 * (after["in"] - before["in"])
        assert after["drawn"] == before["drawn"]
        assert set(algorithm.shapes[searched:]) == {(360, 640, 3)}, "nobody needs whole frames"
        assert "fogline_compute_still_seconds_count 4.0" in one.says()


def test_too_many_sizes_of_one_frame_are_refused() -> None:
    """Each costs an encoding; the next frame begins anew."""
    stills = Stills(80, Metrics())
    looked(stills, 1)
    first = at_hand(stills, Wanted(width=100))
    for number in range(1, MOST):
        assert at_hand(stills, Wanted(width=100 + number)).sequence == first.sequence
    with pytest.raises(Unavailable, match="too many different sizes"):
        at_hand(stills, Wanted(width=500))
    assert at_hand(stills, Wanted(width=100)) is first
    looked(stills, 2)
    assert at_hand(stills, Wanted(width=500)).sequence > first.sequence


def test_a_placard_comes_small_too() -> None:
    """When the camera sends nothing, the picture says why, at the size that was asked for."""

    def silent() -> Iterator[bytes]:
        time.sleep(30)
        yield b""

    with node(silent) as one:
        pipeline = one.run(Watcher())
        found = still(pipeline, Wanted(width=320))
        assert found.no_signal
        assert (found.width, picture(found.jpeg).shape[1]) == (320, 320)
        assert (found.objects, found.age_ms) == (None, None)


def test_nobody_waits_for_a_pipeline_that_has_ended() -> None:
    """Its end ends the wait for a picture that will not come."""
    with node(camera_of(lambda n: scene(n % 200), fps=0.1)) as one:
        pipeline = one.run(Watcher())
        still(pipeline, Wanted(width=320))
        threading.Timer(0.3, pipeline.stop).start()
        began = time.monotonic()
        assert pipeline.stills.get(Wanted(width=320), 0.0, 20) is None
        assert time.monotonic() - began < 5


def test_a_session_that_is_placed_anew_here_marks_its_pictures_so() -> None:
    """Its viewers stay, and the token tells them; of one frame and token there is one picture for all."""
    camera = CameraAddress(node_id="a", name="a", url="http://a")
    order = Assignment(session_id="s", token=7, camera=camera, algorithm="echo")
    session = Session(order, lambda: True)
    frame = Frame(b"jpeg", 1, 2.0, 3, 4)
    first = session.marked(frame)
    assert first.headers()["X-Token"] == "7"
    assert session.marked(frame) is first
    assert session.follow(replace(order, token=9))
    assert session.marked(frame).headers()["X-Token"] == "9"
    assert session.marked(Frame(b"jpeg", 2, 2.0, 3, 4)).sequence == 2
