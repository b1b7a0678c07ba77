"""The script that keeps a session's picture and detections together, with both streams in a test's hands."""

from __future__ import annotations

from playwright.sync_api import Page

from tests.ui.conftest import Mesh

# A session moves: the old node ends both of its streams, the detections' first. The next answer is on its way when the
# picture's end comes.
MOVED = """async () => {
    const scripts = document.querySelector("script[type=module]").src;
    const { LiveStream } = await import(new URL("livestream.js", scripts));
    const asked = [];
    const { fetch } = window;
    window.fetch = (address, how) => {
        if (!String(address).startsWith("/node-")) return fetch(address, how);
        return new Promise((answer) => asked.push({ address, answer }));
    };
    const next = async () => {
        while (!asked.length) await new Promise((done) => setTimeout(done, 5));
        return asked.shift();
    };
    class Picture extends EventTarget {
        shows = [];
        naturalWidth = 0;
        set src(address) { this.shows.push(address); }
        hasAttribute() { return this.shows.length > 0; }
        removeAttribute() {}
    }
    const picture = new Picture();
    let moves = 0;
    const where = {
        renewAt: Infinity,
        address: (view) => `/node-${moves}/${view}`,
        fresh: async () => { moves += 1; },
        refused: () => {},
    };
    const troubles = [];
    const onTrouble = (words) => troubles.push(words);
    const tell = { onFrame: () => {}, onFlow: () => {}, onTrouble, onSilence: async () => {} };
    const stream = new LiveStream(picture, where, tell);
    stream.start();
    let detections;
    const old = new ReadableStream({ start: (controller) => { detections = controller; } });
    (await next()).answer(new Response(old));
    while (picture.shows.length < 1) await new Promise((done) => setTimeout(done, 5));
    detections.close();
    const second = await next();
    picture.dispatchEvent(new CustomEvent("error", { detail: { status: 0, address: picture.shows[0] } }));
    second.answer(new Response(new ReadableStream({})));
    const until = performance.now() + 5000;
    while (picture.shows.length < 2 && performance.now() < until) await new Promise((done) => setTimeout(done, 5));
    const shown = [...picture.shows];
    picture.dispatchEvent(new CustomEvent("error", { detail: { status: 0, address: shown.at(-1) } }));
    stream.stop();
    return { second: second.address, shown, troubles };
}"""


def test_the_second_end_of_a_move_breaks_off_nothing(mesh: Mesh, page: Page) -> None:
    """The try that the first one began goes on and shows its picture; a picture that ends by itself later is told."""
    page.goto(mesh.ui + "/", wait_until="domcontentloaded")
    seen = page.evaluate(MOVED)
    assert seen["second"] == "/node-1/detections_url"
    assert seen["shown"] == ["/node-0/stream_url", "/node-1/stream_url"]
    assert seen["troubles"] == ["The connection to the node broke off", "The picture broke off"]
