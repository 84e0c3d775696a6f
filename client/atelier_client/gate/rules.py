"""All rules of a gate, and the file gate.yaml that holds them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from atelier_client._layout import Task
from atelier_client.gate import schema
from atelier_client.gate.place import Place
from atelier_client.gate.rule import DEFAULT, DEFAULTS, LATENCY, OBSERVED_LATENCY, OBSERVED_SIZE, SIZE, Rule

_KEYS = ("examples", "metrics", LATENCY, SIZE, "hooks")
_HOOKS = ("before_gate", "before_promotion", "after_promotion", "after_rollback", "after_labels")


@dataclass(frozen=True)
class Hooks:
    """Commands of the release, each a tuple of words; an empty one is not run."""

    before_gate: tuple[str, ...] = ()
    before_promotion: tuple[str, ...] = ()
    after_promotion: tuple[str, ...] = ()
    after_rollback: tuple[str, ...] = ()
    after_labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rules:
    """All of gate.yaml. `source` is the file, None for the default rules.

    `examples` are the labelled examples, None for the candidate's own test split. `metrics` may hold
    `DEFAULT`, which `for_task` makes the rule of the task's main metric.
    """

    source: Path | None = None
    examples: Path | None = None
    metrics: tuple[Rule, ...] = (DEFAULT,)
    latency: Rule = OBSERVED_LATENCY
    size: Rule = OBSERVED_SIZE
    hooks: Hooks = field(default_factory=Hooks)

    def for_task(self, task: Task) -> tuple[Rule, ...]:
        """The rules for a model of that task: that of its main metric stands until the file names the metric."""
        default = DEFAULTS[task]
        named = any(rule.metric == default.metric for rule in self.metrics)
        rules = (
            default if rule == DEFAULT else rule for rule in self.metrics if rule != DEFAULT or not named
        )
        return tuple(rules)

    @property
    def slices(self) -> tuple[str, ...]:
        """The expressions of all slices, each once."""
        return tuple(dict.fromkeys(rule.slice for rule in self.metrics if rule.slice is not None))


def read_rules(path: Path | None) -> Rules:
    """The rules of a gate.yaml, or the default ones for None.

    Raises `SettingsError` or `DataError` for a file that is none, cannot be read or breaks the schema.
    """
    if path is None:
        return Rules()
    from atelier_client.gate.yaml_file import read_yaml

    document = read_yaml(path)
    if document is None:
        return Rules(source=path)
    keys = Place(path, document).mapping(_KEYS)
    examples = keys.get("examples")
    hooks = keys["hooks"].mapping(_HOOKS) if "hooks" in keys else {}
    return Rules(
        source=path,
        examples=path.parent / examples.text("the path of labelled examples") if examples else None,
        metrics=schema.metrics(keys["metrics"]) if "metrics" in keys else (DEFAULT,),
        latency=schema.budget(keys[LATENCY], LATENCY) if LATENCY in keys else OBSERVED_LATENCY,
        size=schema.budget(keys[SIZE], SIZE) if SIZE in keys else OBSERVED_SIZE,
        hooks=Hooks(**{name: schema.command(entry) for name, entry in hooks.items()}),
    )
