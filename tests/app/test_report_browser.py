"""The report opened in a headless browser."""

import numpy as np

from refcert.app.report import write_report
from tests.app.page_reader import Page


def test_the_page_in_a_browser(fixed_run, chromium, tmp_path):
    from PIL import Image

    path = write_report(fixed_run, tmp_path / "page.html")
    picture = tmp_path / "page.png"
    dom = chromium(path, tmp_path / "profile", "--dump-dom", f"--screenshot={picture}")
    page = Page(dom)
    assert "<title>refcert: digits_lstm on digits</title>" in dom
    assert len(page.samples) == 4
    with Image.open(picture) as image:
        pixels = np.asarray(image.convert("RGB"))
    assert pixels.shape[:2] == (1400, 1000)
    colors = np.unique(pixels.reshape(-1, 3), axis=0)
    assert len(colors) > 100
    # The green of the proved planes, and the blue of a figure's bars.
    for name in ("e4f4ea", "3574b8"):
        assert (colors == np.frombuffer(bytes.fromhex(name), dtype=np.uint8)).all(1).any(), name
