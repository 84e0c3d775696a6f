"""Changes what models.config says of one model; comments and the entries of other models stay as they were written."""

from __future__ import annotations

from google.protobuf import text_format

from atelier_client.errors import DataError
from atelier_client.protos import serving_pb2 as pb
from atelier_client.release.served_versions import ServedVersions
from atelier_client.release.text_proto import Edit, Element, Field, apply, insertion, parse, removal


def read(text: str, path: object) -> pb.ModelServerConfig:
    """The configuration. Raises `DataError` for what is no list of models, a model twice, and fields not known.

    A field that is not known would be lost when the configuration is sent to the servers.
    """
    config = pb.ModelServerConfig()
    try:
        text_format.Parse(text, config)
    except text_format.ParseError as problem:
        if text.startswith("\ufeff"):
            raise DataError(
                f"{path} begins with a byte order mark, which no server takes. Save it as UTF-8 without one."
            ) from None
        raise DataError(
            f"{path} is not a ModelServerConfig text proto: {str(problem).rstrip('.')}."
        ) from None
    names = [entry.name for entry in config.model_config_list.config]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise DataError(
            f"{path} lists the model {twice} twice, which no server takes. Keep one of its entries."
        )
    return config


def lists_models(text: str) -> bool:
    """Whether it is a configuration with a model in it."""
    try:
        return bool(text_format.Parse(text, pb.ModelServerConfig()).model_config_list.config)
    except text_format.ParseError:
        return False


def entry_of(config: pb.ModelServerConfig, model: str) -> pb.ModelConfig | None:
    """A model's entry."""
    return next((entry for entry in config.model_config_list.config if entry.name == model), None)


def changed(text: str, path: object, model: str, base_path: str, wanted: ServedVersions) -> str:
    """The text after the change: the model has these versions and labels. An entry that is missing is added."""
    config = read(text, path)
    entry = entry_of(config, model)
    edits = _added(text, config, model, base_path) if entry is None else []
    if edits:
        text = apply(text, edits)
        config = read(text, path)
        entry = entry_of(config, model)
    assert entry is not None
    element = _element(text, list(config.model_config_list.config).index(entry))
    _set(entry, wanted)
    edited = apply(text, [*_labels(text, element, wanted), *_policy(text, element, wanted)])
    if _says(edited, config):
        return edited
    # Written in a way that the edits do not know: this entry is written anew, without its comments.
    addition = f"{{\n{text_format.MessageToString(entry, indent=4)}  }}"
    edited = apply(text, [Edit(element.start, element.end, addition)])
    if not _says(edited, config):
        raise DataError(
            f"{path} is written in a way that cannot be changed in place. Write one field a line."
        )
    return edited


def _says(text: str, wanted: pb.ModelServerConfig) -> bool:
    try:
        found = text_format.Parse(text, pb.ModelServerConfig())
    except text_format.ParseError:
        return False
    for config in (found, wanted := _copy(wanted)):
        for entry in config.model_config_list.config:
            if entry.model_version_policy.HasField("specific"):
                # The order of the versions says nothing.
                versions = sorted(entry.model_version_policy.specific.versions)
                entry.model_version_policy.specific.versions[:] = versions
    return bool(found == wanted)


def _copy(config: pb.ModelServerConfig) -> pb.ModelServerConfig:
    copy = pb.ModelServerConfig()
    copy.CopyFrom(config)
    return copy


def _set(entry: pb.ModelConfig, wanted: ServedVersions) -> None:
    assert wanted.versions is not None
    entry.model_version_policy.Clear()
    entry.model_version_policy.specific.versions[:] = sorted(wanted.versions)
    entry.version_labels.clear()
    for label, version in wanted.labels.items():
        entry.version_labels[label] = version


def _added(text: str, config: pb.ModelServerConfig, model: str, base_path: str) -> list[Edit]:
    entry = pb.ModelConfig(name=model, base_path=base_path, model_platform="tensorflow")
    lines = f"config {{\n{text_format.MessageToString(entry, indent=2)}}}"
    whole = parse(text)
    lists = whole.of("model_config_list")
    if lists:
        return [insertion(text, lists[-1].elements[-1], lines)]
    indented = "\n".join(f"  {line}" for line in lines.splitlines())
    return [insertion(text, whole, f"model_config_list {{\n{indented}\n}}")]


def _element(text: str, number: int) -> Element:
    """The entry of a number, in the order of the text, which is that of the parsed list."""
    lists = [element for one in parse(text).of("model_config_list") for element in one.elements]
    entries = [element for part in lists for one in part.of("config") for element in one.elements]
    return entries[number]


def _policy(text: str, entry: Element, wanted: ServedVersions) -> list[Edit]:
    """The edits for the versions: a number is taken away or added, and what stands around it stays."""
    assert wanted.versions is not None
    policies = entry.of("model_version_policy")
    specific = [one for policy in policies for element in policy.elements for one in element.of("specific")]
    if not specific:
        lines = "".join(f"    versions: {version}\n" for version in sorted(wanted.versions))
        added = insertion(text, entry, f"model_version_policy {{\n  specific {{\n{lines}  }}\n}}")
        return [*(removal(text, one.start, one.end) for one in policies), added]
    edits = []
    seen: set[int] = set()
    for message in (element for one in specific for element in one.elements):
        for one in message.of("versions"):
            numbers = [int(element.text, 0) for element in one.elements]
            kept = [number for number in numbers if number in wanted.versions and number not in seen]
            seen.update(kept)
            if not kept:
                edits.append(removal(text, one.start, one.end))
            elif kept != numbers:
                edits.append(Edit(one.start, one.end, f"versions: [{', '.join(map(str, kept))}]"))
    missing = sorted(wanted.versions - seen)
    if missing:
        last = specific[-1].elements[-1]
        edits.append(insertion(text, last, "\n".join(f"versions: {version}" for version in missing)))
    return edits


def _labels(text: str, entry: Element, wanted: ServedVersions) -> list[Edit]:
    """The edits for the labels: a label's number is changed, a label is added or taken away."""
    edits = []
    missing = dict(wanted.labels)
    for one in entry.of("version_labels"):
        if one.listed:
            # A list in brackets is not worth its own rules: its labels are written one by one.
            edits.append(removal(text, one.start, one.end))
            continue
        edits += _label(text, one, missing)
    if missing:
        lines = [
            f"version_labels {{\n  key: {_quoted(label)}\n  value: {version}\n}}"
            for label, version in sorted(missing.items())
        ]
        edits.append(insertion(text, entry, "\n".join(lines)))
    return edits


def _label(text: str, one: Field, missing: dict[str, int]) -> list[Edit]:
    element = one.elements[0]
    label = _text(element.scalar("key"))
    version = missing.pop(label, None)
    if version is None:
        return [removal(text, one.start, one.end)]
    value = element.scalar("value")
    if value is None:
        return [insertion(text, element, f"value: {version}")]
    return [] if int(value.text, 0) == version else [Edit(value.start, value.end, str(version))]


def _text(element: Element | None) -> str:
    """The text that a string of the file stands for."""
    if element is None:
        return ""
    return text_format.Parse(f"name: {element.text}", pb.ModelConfig()).name


def _quoted(label: str) -> str:
    return (
        text_format.MessageToString(pb.ModelConfig(name=label), as_one_line=True)
        .removeprefix("name: ")
        .strip()
    )
