"""A pool of actors, to which Ray Data hands out the parts of a source one by one."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atelier_client._layout import Layout
from atelier_client.client import Client
from atelier_client.data.open import open_reader
from atelier_client.data.parts import Part, PartsReader, require_parts
from atelier_client.distributed import cluster
from atelier_client.errors import ClientError, DataError

# Ray starts an actor that died again, and gives it the part again, without end. A part that kills so many is given up.
_ATTEMPTS = 4


@dataclass(frozen=True)
class Connection:
    """What `Client` is made with: target, model, and the other settings by name."""

    target: str
    model: str
    settings: Mapping[str, Any]

    def client(self) -> Client:
        """A new client. Raises `SettingsError`."""
        return Client(self.target, self.model, **self.settings)


@dataclass(frozen=True)
class Source:
    """Where examples are, and how a table of them is laid out."""

    path: Path
    layout: Layout

    def reader(self) -> PartsReader:
        """A new reader. Raises `DataError`."""
        return require_parts(open_reader(self.path, self.layout), self.path)


Work = Callable[[Client, PartsReader, Part], bytes]
"""What is done with a part: gives the bytes that the planning process gets."""


class Attempts:
    """An actor that knows how often each part was begun."""

    def __init__(self) -> None:
        self._begun: Counter[int] = Counter()

    def begin(self, part: int) -> int:
        """How often it was begun, now included."""
        self._begun[part] += 1
        return self._begun[part]


class Asker:
    """An actor: it has a client and a reader of its own, and does the work on one part after another."""

    def __init__(
        self, connection: Connection, source: Source, parts: Sequence[Part], work: Work, attempts: Any
    ) -> None:
        self._connection = connection
        self._source = source
        self._parts = parts
        self._work = work
        self._attempts = attempts
        self._ready: tuple[Client, PartsReader] | None = None

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """`row` has the number of a part. An error is an answer too: raised, Ray would wrap or retry it."""
        import ray

        number = int(row["part"])
        begun = ray.get(self._attempts.begin.remote(number))
        try:
            if self._ready is None:
                self._ready = self._connection.client(), self._source.reader()
            if begun > _ATTEMPTS:
                part = self._parts[number]
                raise ClientError(
                    f"{self._ready[1].files[part.file]}, rows {part.before + 1:,} to {part.before + part.rows:,}: the "
                    f"process that asks about them has died {_ATTEMPTS} times, as it does when memory is short."
                )
            return {
                "part": number,
                "done": self._work(*self._ready, self._parts[number]),
                "error": b"",
            }
        except (ClientError, OSError) as error:
            return {"part": number, "done": b"", "error": pickle.dumps(_plain(error))}


def run(
    connection: Connection, source: Source, parts: Sequence[Part], work: Work, actors: int
) -> Iterator[tuple[Part, bytes]]:
    """Each part with what the work gave, in the order in which they end. Raises `ClientError`, also when Ray fails.

    This process is connected to Ray (`cluster.connected`). `work` and what it holds are copied to the actors.
    """
    import ray
    import ray.data
    import ray.data.exceptions

    # Ray makes an object of the class in each actor, and calls it with the rows.
    asker: Any = Asker
    attempts = ray.remote(num_cpus=0)(Attempts).remote()
    rows = ray.data.from_items(
        [{"part": number} for number in range(len(parts))], override_num_blocks=len(parts)
    ).map(
        asker,
        fn_constructor_args=(connection, source, list(parts), work, attempts),
        compute=ray.data.ActorPoolStrategy(size=min(actors, len(parts)), max_tasks_in_flight_per_actor=2),
    )
    try:
        for row in rows.iter_rows():
            if row["error"]:
                # Written by an actor of this run.
                error = pickle.loads(row["error"])
                raise error
            yield parts[row["part"]], row["done"]
    except (ray.exceptions.RayError, ray.data.exceptions.ExecutionTimeoutError) as error:
        raise cluster.failure(error) from None


def _plain(error: ClientError | OSError) -> Exception:
    """The error in a form that can be copied to another process."""
    if isinstance(error, OSError):
        return DataError(f"{error.filename}: {error.strerror}." if error.filename else str(error))
    try:
        pickle.loads(pickle.dumps(error))
    except TypeError:
        return DataError(str(error))
    return error
