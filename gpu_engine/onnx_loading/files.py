"""An ONNX file on disk: parsing, and stored tensors as exact float64 or integer arrays. Nothing in it is trusted."""

from __future__ import annotations

import os
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np

from gpu_engine.errors import ModelError
from gpu_engine.onnx_loading.values import FLOATS, INTEGERS, Refusal, Value, constant

INSTALL: Final = "pip install onnx"


def read_model(path: Path) -> Any:
    """The ModelProto of a file. Raises ModelError with the path and the remedy."""
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError as error:
        raise ModelError(f"{path} cannot be read without the onnx package: {INSTALL}") from error
    if path.is_dir():
        raise ModelError(f"{path} is a folder; give the ONNX file inside it")
    if not path.exists():
        raise ModelError(f"{path} does not exist; give the path of an ONNX file")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}; check its permissions") from error
    if not content:
        raise ModelError(f"{path} is empty (0 bytes); export the model again")
    try:
        model = onnx.ModelProto.FromString(content)
    except (DecodeError, ValueError) as error:  # ValueError: strings that are no UTF-8
        raise ModelError(
            f"{path} cannot be read as ONNX ({error}); it may be cut short or of another kind. Copy it again, or "
            "export the model again"
        ) from error
    if not model.HasField("graph") or not model.graph.output:
        raise ModelError(f"{path} holds no graph with an output; give an ONNX model")
    return model


class TensorReader:
    """Stored tensors as Values. `stored` collects the kinds of the floating-point tensors that were read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.stored: set[str] = set()

    def read(self, tensor: Any) -> Value:
        """A TensorProto, widened exactly to float64, or integers as int64. Raises Refusal."""
        import onnx
        from onnx import numpy_helper

        shown = f"tensor {tensor.name!r}" if tensor.name else "the tensor"
        kind = dtype_name(tensor.data_type)
        if kind not in (*FLOATS, *INTEGERS, "bool"):
            raise Refusal(
                f"{shown} is stored as {kind}; only {', '.join(FLOATS)} weights are supported. Store the model "
                "unquantised"
            )
        shape = tuple(tensor.dims)
        if any(n < 0 for n in shape):
            raise Refusal(f"{shown} has shape {shape}; export the model again")
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            size = prod(shape) * ITEM_BYTES[kind]
            plain = onnx.TensorProto(name=tensor.name, data_type=tensor.data_type, dims=shape)
            plain.raw_data = self._external(tensor, size, shown)
            tensor = plain
        elif tensor.HasField("raw_data") and len(tensor.raw_data) != prod(shape) * ITEM_BYTES[kind]:
            raise Refusal(
                f"{shown} of shape {shape} holds {len(tensor.raw_data)} bytes; copy or export the model again"
            )
        array = np.asarray(numpy_helper.to_array(tensor))
        if array.shape != shape:
            raise Refusal(f"{shown} of shape {shape} holds numbers of shape {array.shape}; export the model again")
        if kind not in FLOATS:
            return constant(array.astype(bool if kind == "bool" else np.int64), kind)
        self.stored.add(kind)
        with np.errstate(invalid="ignore"):  # of signalling NaNs, refused next
            wide = array.astype(np.float64)
        bad = np.argwhere(~np.isfinite(wide))
        if len(bad):
            place = tuple(int(i) for i in bad[0])
            raise Refusal(
                f"{shown}{list(place)} is {wide[place]}; a network with NaN or infinite weights has no bounds. "
                "Repair or retrain the model"
            )
        return constant(wide, kind)

    def _external(self, tensor: Any, size: int, shown: str) -> bytes:
        """The bytes of a tensor that is stored beside the model, in the model's own folder."""
        entries: Mapping[str, str] = {entry.key: entry.value for entry in tensor.external_data}
        location = entries.get("location", "")
        folder = self._folder.resolve()
        path = (folder / location).resolve()  # symbolic links are followed: where they lead is what counts
        if not location or "\0" in location or path == folder or not path.is_relative_to(folder):
            raise Refusal(
                f"{shown} is stored in {location!r}, outside the model's folder, so it is not opened; keep the weights "
                "in the model or beside it"
            )
        try:
            offset = int(entries.get("offset", "0"))
            length = int(entries.get("length", str(size)))
            if length != size or offset < 0:
                raise Refusal(
                    f"{shown} needs {size} bytes, {location!r} is to give {length} from {offset} on; export again"
                )
            with path.open("rb") as file:
                found = os.fstat(file.fileno()).st_size
                if offset + size > found:
                    raise Refusal(f"{shown} ends behind the end of {location!r} ({found} bytes); copy the file again")
                file.seek(offset)
                return file.read(size)
        except OSError as error:
            raise Refusal(
                f"{shown} is stored in {location!r}, which cannot be read ({error.strerror or error}); copy the file "
                "beside the model"
            ) from error


ITEM_BYTES: Final = {
    **{"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8},
    **{"int32": 4, "int64": 8, "bool": 1},
}


def dtype_name(data_type: int) -> str:
    """ONNX's number of an element type as a name: float32, int64, ..."""
    import onnx

    try:
        name = str(onnx.TensorProto.DataType.Name(data_type)).lower()
    except ValueError:
        return f"element type {data_type}"
    return {"float": "float32", "double": "float64"}.get(name, name)
