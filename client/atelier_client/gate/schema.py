"""The schema of gate.yaml's parts. Every function raises `SettingsError` with the place of a mistake."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping

from atelier_client.errors import InputError, SettingsError
from atelier_client.evaluation.expression import Expression
from atelier_client.evaluation.metric_names import METRICS, limits
from atelier_client.gate.place import Place
from atelier_client.gate.rule import (
    DEFAULT,
    LATENCY,
    PAIRED,
    SINGLE,
    SIZE,
    ChangeThreshold,
    Rule,
    ValueThreshold,
    higher_is_better,
)

_RULE_KEYS = ("value_threshold", "change_threshold", "observe")
_NOT_COMPARED = "`evaluate` measures it; the gate does not, for it is not compared example by example."
# Of these a slice would be other examples in one version than in the other.
_ANSWERS = ("predicted", "confidence", "error", "wrong")
# Words of both directions, as TensorFlow Model Analysis has them.
_DIRECTIONS = {True: "higher_is_better", False: "lower_is_better"}


def metrics(place: Place) -> tuple[Rule, ...]:
    """The rules of the key `metrics`, with the default one."""
    hints = {name: _NOT_COMPARED for name in METRICS if name not in (*PAIRED, *SINGLE)}
    named = place.mapping((*PAIRED, *SINGLE), hints)
    rules = [DEFAULT]
    for metric, entry in named.items():
        keys = entry.mapping((*_RULE_KEYS, "slices"))
        if "slices" not in keys or len(keys) > 1:
            rules.append(_rule(metric, entry, keys))
        for text, part in keys["slices"].entries().items() if "slices" in keys else ():
            _check_slice(keys["slices"], text)
            rules.append(_rule(metric, part, part.mapping(_RULE_KEYS), text))
    return tuple(rules)


def budget(place: Place, metric: str) -> Rule:
    """The rule of the latency or of the size."""
    return _rule(metric, place, place.mapping(_RULE_KEYS))


def _rule(metric: str, place: Place, keys: Mapping[str, Place], part: str | None = None) -> Rule:
    observe = "observe" in keys and keys["observe"].truth()
    if not observe and not keys.keys() & {"value_threshold", "change_threshold"}:
        raise SettingsError(
            f"{place.file}: {place.key}: expected value_threshold, change_threshold or `observe: true`."
        )
    if "change_threshold" in keys and metric in SINGLE:
        raise SettingsError(
            f"{place.file}: {keys['change_threshold'].key}: {metric} is not compared example by example. Give a "
            f"value_threshold, or a change_threshold of one of: {', '.join(PAIRED)}."
        )
    return Rule(
        metric,
        part,
        _value(metric, keys["value_threshold"]) if "value_threshold" in keys else None,
        _change(metric, keys["change_threshold"]) if "change_threshold" in keys else None,
        observe,
    )


def _value(metric: str, place: Place) -> ValueThreshold:
    if metric in (LATENCY, SIZE):
        keys = place.mapping(("upper_bound",))
        low, high, words = 0.0, math.inf, "a number from 0"
    else:
        keys = place.mapping(("lower_bound", "upper_bound"))
        low, high = limits(metric)
        words = "a number up to 1" if low < 0 else "a number from 0"
        if (low, high) == (0.0, 1.0):
            words = "a number from 0 to 1 (0.88, not 88)"
    if not keys:
        raise place.wrong("a lower_bound or an upper_bound" if high < math.inf else "an upper_bound")
    bounds = {name: entry.number(low, high, words) for name, entry in keys.items()}
    if bounds.get("lower_bound", low) > bounds.get("upper_bound", math.inf):
        raise SettingsError(
            f"{place.file}: {place.key}: lower_bound {bounds['lower_bound']:g} is above upper_bound "
            f"{bounds['upper_bound']:g}: no value would pass."
        )
    return ValueThreshold(**bounds)


def _change(metric: str, place: Place) -> ChangeThreshold:
    keys = place.mapping(("direction", "absolute", "relative"))
    right = _DIRECTIONS[higher_is_better(metric)]
    if "direction" in keys and keys["direction"].value != right:
        raise keys["direction"].wrong(f"{right}, which is the direction of {metric}")
    if ("absolute" in keys) == ("relative" in keys):
        raise SettingsError(f"{place.file}: {place.key}: expected either absolute or relative.")
    if "relative" in keys:
        words = "a share of stable's value above -1 (-0.01 is one percent less)"
        relative = keys["relative"].number(math.nextafter(-1, 0), math.inf, words)
        return ChangeThreshold(relative=relative)
    if metric in (LATENCY, SIZE) or limits(metric) != (0.0, 1.0):
        return ChangeThreshold(absolute=keys["absolute"].number())
    return ChangeThreshold(
        absolute=keys["absolute"].number(-1, 1, "a number from -1 to 1 (0.01 is one point)")
    )


def _check_slice(place: Place, text: str) -> None:
    try:
        columns = Expression(text).columns
    except InputError as error:
        raise SettingsError(f"{place.file}: {place.key}: {error}") from None
    for name in _ANSWERS:
        if name in columns:
            raise SettingsError(
                f"{place.file}: {place.key}: slice {text!r}: expected columns of the examples, label or row; {name} is "
                "an answer, which differs between the versions that are compared."
            )


def command(place: Place) -> tuple[str, ...]:
    """The words of a command."""
    expected = "a command: a list of words, or a text that is split as a shell would"
    if isinstance(place.value, list):
        words = [
            Place(place.file, word, f"{place.key}[{number}]").text("a text (a number in quotes)")
            for number, word in enumerate(place.value)
        ]
    else:
        text = place.text(expected)
        try:
            words = shlex.split(text)
        except ValueError as error:
            raise place.wrong(expected, f"{error}.") from None
    if not words or not words[0]:
        raise place.wrong(expected)
    return tuple(words)
