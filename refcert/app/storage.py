"""Files that are there as a whole or not at all, and that tell when they are damaged."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from refcert.app.errors import InputError, OutputError
from refcert.audit.plane_table import PlaneTable

NO_RUN = "it is not a run of refcert"
DAMAGED = "delete it and run with --resume"


@contextlib.contextmanager
def output_errors(path: Path) -> Iterator[None]:
    """Turn failures of the file system into OutputError with a remedy."""
    try:
        yield
    except OSError as error:
        remedy = {
            errno.ENOSPC: "the disk is full, free some space",
            errno.EDQUOT: "the disk quota is used up, free some space",
            errno.EFBIG: "files may not grow that large here, raise the limit (ulimit -f)",
            errno.EACCES: "no permission to write there, choose another place",
            errno.EROFS: "the file system is read-only, choose another place",
            errno.ENOTDIR: "a part of the path is a file, choose another place",
            errno.ENAMETOOLONG: "choose a shorter name",
        }.get(error.errno or 0, "choose another place")
        raise OutputError(f"cannot write {path}: {error.strerror or error}; {remedy}") from error


def write_file(path: Path, content: bytes) -> None:
    """Write a whole file or nothing. A link keeps its place; pipes and devices are written to, never replaced."""
    if path.exists() and not path.is_file():
        with output_errors(path), path.open("wb") as pipe:
            pipe.write(content)
        return
    path = path.resolve()
    temporary = path.with_name(path.name + ".partial")
    with output_errors(path):
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def json_bytes(value: dict[str, Any]) -> bytes:
    """A JSON file; NaN and infinity raise ValueError."""
    return (json.dumps(value, indent=1, allow_nan=False) + "\n").encode()


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises InputError."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); {NO_RUN}") from error
    if not isinstance(value, dict):
        raise InputError(f"{path} is not a JSON object; {NO_RUN}")
    return value


def npz_bytes(planes: PlaneTable) -> bytes:
    """A planes file."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **planes.columns, **planes.origin)  # type: ignore[arg-type]
    return buffer.getvalue()


def parquet_bytes(table: pa.Table) -> bytes:
    """A Parquet file with page checksums."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", write_page_checksum=True)
    return buffer.getvalue()


def read_rows(path: Path, schema: pa.Schema | None = None) -> list[dict[str, Any]]:
    """The rows of a Parquet file. Raises InputError if it is damaged; checksums tell."""
    with _damaged(path):
        table = pq.read_table(path, schema=schema, page_checksum_verification=True)
        rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def read_metadata(path: Path) -> dict[bytes, bytes] | None:
    """What a Parquet file says of itself beside its rows. Raises InputError if it is damaged."""
    with _damaged(path):
        found: dict[bytes, bytes] | None = pq.read_schema(path).metadata
    return found


@contextlib.contextmanager
def _damaged(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise InputError(f"{path} cannot be read ({reason}); {DAMAGED}") from error
