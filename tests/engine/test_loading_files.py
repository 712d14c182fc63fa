"""Model files: safetensors are read, everything else is refused with its path, no pickle is ever opened."""

import pickle
import re
import struct

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save, save_file

from gpu_engine.errors import ModelError
from gpu_engine.loading import from_state_dict, load_model


def entries(**extra):
    """A good state dict (3 inputs, 2 layers of 4 hidden, 5 classes) of random numbers."""
    generator = torch.Generator().manual_seed(0)
    shapes = {"linear.weight": (5, 4), "linear.bias": (5,)}
    for k, below in ((0, 3), (1, 4)):
        shapes |= {f"lstm.weight_ih_l{k}": (16, below), f"lstm.weight_hh_l{k}": (16, 4)}
        shapes |= {f"lstm.bias_ih_l{k}": (16,), f"lstm.bias_hh_l{k}": (16,)}
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()} | extra


def test_a_file_gives_the_model_that_was_saved(tmp_path):
    stored = entries()
    save_file(stored, tmp_path / "model.safetensors", metadata={"made": "by hand"})
    for path in (tmp_path / "model.safetensors", str(tmp_path / "model.safetensors")):
        assert load_model(path).digest() == from_state_dict(stored).digest()


@pytest.mark.parametrize("start", [b"PK", b"\x80\x02"])
def test_a_good_file_may_start_with_the_bytes_of_a_pickle(tmp_path, start):
    """A safetensors file starts with its header's length, here 0x4b50 or 0x280 bytes."""
    content = save(entries())
    (length,) = struct.unpack("<Q", content[:8])
    wanted = int.from_bytes(start, "little")
    if wanted < length:
        wanted += 0x10000
    padded = struct.pack("<Q", wanted) + content[8 : 8 + length].ljust(wanted) + content[8 + length :]
    assert padded.startswith(start)
    (tmp_path / "model.safetensors").write_bytes(padded)
    assert load_model(tmp_path / "model.safetensors").digest() == from_state_dict(entries()).digest()


def pickled(protocol):
    return pickle.dumps({"linear.weight": [1.0]}, protocol=protocol)


BAD_FILES = {
    "empty.safetensors": (b"", r"is empty \(0 bytes\)"),
    "short.safetensors": (save(entries())[:-9], "cannot be read as safetensors .*cut short"),
    "header.safetensors": (save(entries())[:20], "cannot be read as safetensors .*cut short"),
    "longer.safetensors": (save(entries()) + b"\0", "cannot be read as safetensors"),
    "byte.safetensors": (b"x", "cannot be read as safetensors"),
    "text.safetensors": (b"these are no weights at all", "cannot be read as safetensors"),
    "zip.safetensors": (b"PK\x03\x04" + bytes(60), "pickle .*can run code.*save_file"),
    "model.pt": (save(entries()), "pickle .*can run code.*save_file"),
    "model.PTH": (b"PK\x03\x04", "pickle .*can run code.*save_file"),
    "model.pkl": (pickled(0), "pickle .*can run code.*save_file"),
} | {f"protocol{n}.bin": (pickled(n), "pickle .*can run code.*save_file") for n in range(2, 6)}


@pytest.mark.parametrize("file", BAD_FILES)
def test_bad_files_are_refused_with_path_and_remedy(tmp_path, file):
    content, message = BAD_FILES[file]
    path = tmp_path / file
    path.write_bytes(content)
    with pytest.raises(ModelError, match=message) as caught:
        load_model(path)
    assert str(path) in str(caught.value)
    assert 'safetensors.torch.save_file(model.state_dict(), "model.safetensors")' in str(caught.value)


def test_a_file_that_torch_saved_is_never_unpickled(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("the pickle was opened",))

    for name in ("model.pt", "model.safetensors"):
        torch.save({"linear.weight": Bomb()}, tmp_path / name)
        with pytest.raises(ModelError, match="can run code"):
            load_model(tmp_path / name)


def test_paths_without_a_file_are_refused(tmp_path):
    with pytest.raises(ModelError, match=re.escape(f"{tmp_path} is a folder")):
        load_model(tmp_path)
    with pytest.raises(ModelError, match=r"none\.safetensors does not exist; give the path"):
        load_model(tmp_path / "none.safetensors")


def test_errors_in_a_file_show_its_path_and_the_entry(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file(entries(extra=torch.zeros(2)), path)
    with pytest.raises(ModelError, match=re.escape(f"{path}: extra of shape (2,) is not understood")):
        load_model(path)


@given(cut=st.integers(0, 400), flips=st.lists(st.tuples(st.integers(0, 900), st.integers(1, 255)), max_size=3))
def test_damaged_files_raise_model_errors_only(tmp_path_factory, cut, flips):
    content = bytearray(save(entries()))
    for place, mask in flips:
        content[place] ^= mask
    path = tmp_path_factory.mktemp("damaged") / "model.safetensors"
    path.write_bytes(content[: len(content) - cut])
    try:
        load_model(path)
    except ModelError as error:
        assert str(path) in str(error)
    else:
        assert cut == 0  # a flipped bit in a value cannot be seen; a missing byte always


# what a file says of itself


def speech():
    generator = torch.Generator().manual_seed(1)
    front = {"front.weight": torch.randn(3, 6, generator=generator), "front.bias": torch.randn(3, generator=generator)}
    return entries(**front)


def test_metadata_says_what_entries_do_not(tmp_path):
    path = tmp_path / "model.safetensors"
    said = {"refcert.structure": "front relu lstm linear", "refcert.readout": "mean"}
    save_file(speech(), path, metadata={"format": "pt"} | said)
    wanted = from_state_dict(speech(), structure="front relu lstm linear", readout="mean")
    assert load_model(path).digest() == wanted.digest()
    assert load_model(path, structure="front  relu lstm linear", readout="mean").digest() == wanted.digest()
    save_file(speech(), path)
    assert load_model(path, "front relu lstm linear", "mean").digest() == wanted.digest()


def test_metadata_says_the_cell_of_an_rnn(tmp_path):
    path = tmp_path / "model.safetensors"
    generator = torch.Generator().manual_seed(1)
    stored = {"linear.weight": torch.randn(5, 4, generator=generator)}
    stored |= {f"rnn.weight_{kind}_l0": torch.randn(4, 4, generator=generator) for kind in ("ih", "hh")}
    save_file(stored, path, metadata={"refcert.cell": "rnn_relu"})
    assert load_model(path).layers[0][0].cell == "rnn_relu"
    save_file(stored, path)
    assert load_model(path, cell="rnn_tanh").layers[0][0].cell == "rnn_tanh"
    with pytest.raises(ModelError, match="whose nonlinearity is not stored; give `cell`"):
        load_model(path)


@pytest.mark.parametrize(
    ("metadata", "options", "message"),
    [
        (
            {"refcert.readout": "mean"},
            {"readout": "max"},
            "readout 'max' contradicts the file's own metadata, refcert.rea",
        ),
        (
            {"refcert.structure": "lstm linear"},
            {"structure": "lstm relu linear"},
            "structure 'lstm relu linear' contra",
        ),
        ({"refcert.cell": "lstm"}, {"cell": "gru"}, "cell 'gru' contradicts"),
        (
            {"refcert.activation": "relu"},
            {},
            "metadata key 'refcert.activation' is not known; known: refcert.structure",
        ),
        ({"refcert.readout": "first"}, {}, "readout 'first' is not known"),
        ({"refcert.structure": "lstm selu linear"}, {}, "'selu' in the structure is not known"),
    ],
)
def test_metadata_that_contradicts_or_is_unknown_is_refused(tmp_path, metadata, options, message):
    path = tmp_path / "model.safetensors"
    save_file(entries(), path, metadata=metadata)
    with pytest.raises(ModelError, match=message):
        load_model(path, **options)
