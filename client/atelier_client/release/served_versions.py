"""Which versions of a model are served, and under which labels: what one entry of models.config says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from atelier_client.protos import serving_pb2 as pb

STABLE = "stable"
CANARY = "canary"
PREVIOUS = "previous"


@dataclass(frozen=True)
class ServedVersions:
    """The versions of the policy `specific`, and the labels. `versions` is None for any other policy."""

    versions: frozenset[int] | None
    labels: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def of(cls, entry: pb.ModelConfig | None) -> ServedVersions:
        """What an entry says; without one no version is served."""
        if entry is None:
            return cls(frozenset())
        policy = entry.model_version_policy
        specific = policy.WhichOneof("policy_choice") == "specific"
        versions = frozenset(policy.specific.versions) if specific else None
        return cls(versions, MappingProxyType(dict(entry.version_labels)))

    @property
    def stable(self) -> int | None:
        """The version that answers the users."""
        return self.labels.get(STABLE)

    @property
    def canary(self) -> int | None:
        """The version that is being released."""
        return self.labels.get(CANARY)

    @property
    def previous(self) -> int | None:
        """The version that was stable before."""
        return self.labels.get(PREVIOUS)

    def adding(self, version: int) -> ServedVersions:
        """With one version more. Of a policy that lists none, the labelled versions are listed, for they have users."""
        listed = frozenset(self.labels.values()) if self.versions is None else self.versions
        return ServedVersions(listed | {version}, self.labels)

    def without(self, versions: Iterable[int]) -> ServedVersions:
        """Without some versions. Labelled ones stay."""
        kept = (self.versions or frozenset()) - (set(versions) - set(self.labels.values()))
        return ServedVersions(kept, self.labels)

    def labelled(self, **labels: int | None) -> ServedVersions:
        """With labels moved, or taken away where the version is None."""
        wanted = {**self.labels, **labels}
        kept = {name: version for name, version in wanted.items() if version is not None}
        return ServedVersions(self.versions, MappingProxyType(kept))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ServedVersions):
            return NotImplemented
        return self.versions == other.versions and dict(self.labels) == dict(other.labels)

    def __hash__(self) -> int:
        return hash((self.versions, frozenset(self.labels.items())))

    def __str__(self) -> str:
        if self.versions is None:
            return "the newest version, whichever it is"
        names: dict[int, list[str]] = {version: [] for version in sorted(self.versions)}
        for label, version in sorted(self.labels.items()):
            names.setdefault(version, []).append(label)
        words = [
            f"{version} ({', '.join(labels)})" if labels else str(version)
            for version, labels in names.items()
        ]
        return f"version{'s' if len(words) > 1 else ''} {', '.join(words)}" if words else "no version"
