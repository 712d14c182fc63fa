"""Files that are written: whole or not at all, and never in the place of a link, a pipe or a device."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from refcert.app.errors import OutputError
from refcert.app.storage import write_file


def test_a_link_keeps_its_place(tmp_path: Path) -> None:
    """Regression: the link was replaced, and the file behind it kept the old content."""
    (tmp_path / "real").mkdir()
    target, link = tmp_path / "real" / "page.html", tmp_path / "page.html"
    target.write_bytes(b"old")
    link.symlink_to(target)
    write_file(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["page.html", "page.html", "real"]


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    """Regression: pipes and devices became files; as root even /dev/null."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write_file(pipe, b"content")
    reader.join(timeout=30)
    assert read == [b"content"]
    assert pipe.is_fifo()


def test_a_full_device_is_an_output_error() -> None:
    device = Path("/dev/full")
    if not device.is_char_device():
        pytest.skip("this machine has no /dev/full")
    with pytest.raises(OutputError, match=r"/dev/full.*disk is full"):
        write_file(device, b"content")
    assert device.is_char_device()


def test_a_folder_is_not_written_over(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="choose another place"):
        write_file(tmp_path, b"content")
