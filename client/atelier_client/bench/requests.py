"""The requests of a load test: rows of the user, or random rows that fit the served signature."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from atelier_client._files import require_file
from atelier_client.client import Client
from atelier_client.errors import DataError, InputError
from atelier_client.messages.requests import predict_requests
from atelier_client.messages.tensors import BY_NAME
from atelier_client.responses import Prediction
from atelier_client.signature import Signature, TensorInfo
from atelier_client.transports.base import Method

_TEXT = b"a text of some words to be classified"


def read_rows(path: Path) -> dict[str, NDArray[Any]] | NDArray[Any]:
    """The rows of an .npy file, or of an .npz file whose array names are the inputs. Raises `DataError`."""
    try:
        require_file(path)
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            return {name: loaded[name] for name in loaded.files}
    except FileNotFoundError:
        raise DataError(f"{path} does not exist. Expected an .npy or .npz file.") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} cannot be read as a NumPy file: {error}.") from None


class Requests:
    """The requests of a load test: rows of `inputs`, repeated when needed; without `inputs`, random rows."""

    def __init__(
        self,
        client: Client,
        signature: str,
        version: int | None,
        label: str | None,
        inputs: Mapping[str, ArrayLike] | ArrayLike | None = None,
    ) -> None:
        self._client = client
        self._asked: dict[str, Any] = {"signature": signature, "version": version, "label": label}
        self._protocol = client._core.protocol
        self._signature = self._protocol.choose(client.metadata(version=version, label=label), signature)
        self._frame = self._protocol.frame(client.model, signature, version, label, ())
        if not self._signature.splittable:
            raise InputError(
                f"{signature} has inputs without a free first dimension; a load test needs a batch dimension."
            )
        if self._signature.ragged:
            raise InputError(
                f"{signature} has a ragged input ({', '.join(self._signature.ragged)}): its rows have no size to send."
            )
        self._rows = self._signature.check(inputs) if inputs is not None else _random(self._signature)
        if not len(next(iter(self._rows.values()))):
            raise InputError("There are no rows to send.")

    def row_bytes(self) -> int:
        """The size of a request with one row, in bytes."""
        return len(self.of(1))

    def of(self, batch: int) -> bytes:
        """A serialized request with `batch` rows."""
        return predict_requests(self._frame, self._signature, self._arrays(batch), batch)[0]()

    @property
    def method(self) -> Method:
        """The method of `of`."""
        return self._protocol.predict

    def idle(self) -> tuple[bytes, Method]:
        """A serialized request that the server responds to without running the model, and its method."""
        return self._protocol.idle_request(self._client.model), self._protocol.idle

    def ask(self, batch: int) -> Prediction:
        """Send one request with `batch` rows. Raises as `Client.predict`."""
        return self._client.predict(self._arrays(batch), rows_per_request=batch, **self._asked)

    def _arrays(self, batch: int) -> dict[str, NDArray[Any]]:
        return {
            name: np.resize(array, (batch, *array.shape[1:])) if len(array) < batch else array[:batch]
            for name, array in self._rows.items()
        }


def _random(signature: Signature) -> dict[str, NDArray[Any]]:
    generator = np.random.default_rng(0)
    return {info.name: _random_input(info, generator) for info in signature.inputs.values()}


def _random_input(info: TensorInfo, generator: np.random.Generator) -> NDArray[Any]:
    shape = (16, *(1 if size == -1 else size for size in (info.shape or ())[1:]))
    if info.dtype == "string":
        return np.full(shape, _TEXT, object)
    dtype = BY_NAME.get(info.dtype)
    if dtype is None:
        raise InputError(f"Input {info}: there is no random value for it; give rows (--input FILE).")
    if dtype.kind == "f":
        return generator.random(shape).astype(dtype)
    # Small integers are valid as pixels and, in most models, as indices.
    return generator.integers(0, 256 if dtype == np.uint8 else 2, shape).astype(dtype)
