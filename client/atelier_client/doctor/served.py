"""What the server says of the model: its name, the states of its versions, labels and signatures."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path

from atelier_client.client import Client
from atelier_client.doctor.finding import Finding, error, ok, warning
from atelier_client.doctor.trial_requests import check_golden, check_limits
from atelier_client.doctor.version_names import is_version
from atelier_client.errors import ClientError, DataError, ModelNotFound, NotSupported
from atelier_client.messages.tensors import BY_NAME
from atelier_client.model_config import read_config
from atelier_client.responses import State, VersionStatus
from atelier_client.signature import Signature

# Texts of TensorFlow's errors while loading, and what to do about each.
_KNOWN_FAILURES = (
    (
        "Op type not registered",
        "The server is older than the TensorFlow that wrote the version: serve with the release it was trained with.",
    ),
    (
        "Could not find meta graph def",
        "The SavedModel has no graph tagged `serve`: export it with tf.saved_model.save or model.export.",
    ),
    ("warmup", "Its warm-up requests fail (assets.extra/tf_serving_warmup_requests): publish it again."),
    ("Read less bytes", "Its files are cut short: it was copied into place. Publish it again."),
    ("DATA_LOSS", "Its files are damaged: publish it again."),
    (
        "NOT_FOUND",
        "A file of it is missing: it was copied into place, or is being deleted. Publish it again.",
    ),
    ("OOM", "The server's memory does not hold it beside the others: give it more, or serve fewer versions."),
)


def check_served(
    client: Client, models: Path | None, version: int | None, label: str | None
) -> Iterator[Finding]:
    """All findings about the served model, until nothing further can be checked."""
    try:
        entries = client.status()
    except ModelNotFound:
        yield _unknown_model(client.model, models)
        return
    except NotSupported as problem:
        yield error(
            "model name", f"The server is no model server: {problem}", "Another gRPC server has this port."
        )
        return
    except ClientError as problem:
        yield error("status", str(problem), "Until this works nothing else can.")
        return
    yield ok("model name", f"the server knows {client.model}")
    answering = [entry.version for entry in entries if entry.state is State.AVAILABLE]
    yield from _states(client.model, entries, answering, models)
    if not answering:
        return
    chosen = version
    if label is not None:
        try:
            chosen = client.version_of(label)
            yield ok("labels", f"{label} stands for version {chosen}")
        except ClientError as problem:
            yield error(
                "labels",
                f"The label {label!r} is not served: {problem}",
                "Labels are set in models.config (version_labels), and only for versions that are AVAILABLE.",
            )
            return
    if chosen is not None and chosen not in answering:
        yield error(
            "version states",
            f"Version {chosen} does not answer; {', '.join(map(str, sorted(answering)))} do.",
            "Leave --version out, or publish it (see version states above).",
        )
        return
    chosen = chosen if chosen is not None else max(answering)
    yield from _config_labels(client, models)
    try:
        signatures = client.metadata(version=chosen)
    except ClientError as problem:
        yield error("signatures", str(problem), "See the server's log.")
        return
    yield from _signatures(chosen, signatures)
    yield from check_limits(client, chosen, signatures)
    if models is not None:
        yield from check_golden(client, chosen, models)


def _unknown_model(model: str, models: Path | None) -> Finding:
    known: list[str] = []
    try:
        config = read_config(models) if models else None
        known = [entry.name for entry in config.model_config_list.config] if config else []
    except DataError:
        # The checks of the folder report this already.
        pass
    near = difflib.get_close_matches(model, known, n=1)
    hint = f" models.config lists {', '.join(known)}." if known else ""
    return error(
        "model name",
        f"The server has no model {model!r}.{hint}" + (f" Did you mean {near[0]!r}?" if near else ""),
        "Give its name (--model), the one of --model_name or models.config; a folder's name alone does not count.",
    )


def _states(
    model: str, entries: Sequence[VersionStatus], answering: Sequence[int], models: Path | None
) -> Iterator[Finding]:
    check = "version states"
    for entry in entries:
        if entry.error:
            advice = next(
                (text for mark, text in _KNOWN_FAILURES if mark in entry.error), "See the server's log."
            )
            kind = warning if answering else error
            yield kind(check, f"{model} version {entry.version} failed to load: {entry.error}", advice)
    if not answering:
        states = ", ".join(f"{entry.version} {entry.state.name}" for entry in entries) or "none"
        yield error(
            check,
            f"No version of {model} is AVAILABLE ({states}).",
            "LOADING and START pass: atelier-client status --wait 60. END is over: publish a version.",
        )
        return
    yield ok(check, f"AVAILABLE: {', '.join(map(str, sorted(answering)))}")
    folder = models / model if models else None
    on_disk = (
        [int(item.name) for item in folder.iterdir() if is_version(item.name)]
        if folder and folder.is_dir()
        else []
    )
    if not any(answering):
        # Its versions have no numbers (the Open Inference Protocol asks for none).
        return
    if on_disk and max(on_disk) > max(answering) and _is_candidate(models, model, max(on_disk)):
        release = f"atelier-client release {max(on_disk)}"
        yield ok(
            check, f"Version {max(on_disk)} is a candidate, which models.config does not list: {release}"
        )
    elif on_disk and max(on_disk) > max(answering):
        yield warning(
            check,
            f"{folder} holds version {max(on_disk)}, the newest that answers is {max(answering)}.",
            "It may still be loading, or the server reads another folder (its base_path), or does not poll "
            "(--file_system_poll_wait_seconds).",
        )


def _is_candidate(models: Path | None, model: str, version: int) -> bool:
    """True for a version that models.config leaves out: a release decides whether it is served."""
    try:
        config = read_config(models) if models else None
    except DataError:
        # The checks of the folder report this already.
        return False
    policies = [
        entry.model_version_policy
        for entry in (config.model_config_list.config if config else ())
        if entry.name == model
    ]
    return any(one.HasField("specific") and version not in one.specific.versions for one in policies)


def _config_labels(client: Client, models: Path | None) -> Iterator[Finding]:
    """Ask the server for each label of models.config."""
    try:
        config = read_config(models) if models else None
    except DataError:
        return
    for entry in config.model_config_list.config if config else ():
        if entry.name != client.model:
            continue
        for label, version in sorted(entry.version_labels.items()):
            try:
                served = client.version_of(label)
            except NotSupported:
                # The Open Inference Protocol does not tell it.
                continue
            except ClientError as problem:
                yield error(
                    "labels",
                    f"models.config sets {label} -> {version}, the server does not: {problem}",
                    "The version must be AVAILABLE before its label is set; the server reads the file again with "
                    "--model_config_file_poll_wait_seconds.",
                )
                continue
            if served != version:
                yield warning(
                    "labels",
                    f"models.config sets {label} -> {version}, the server answers {served}.",
                    "It has not read the file again (--model_config_file_poll_wait_seconds).",
                )
            else:
                yield ok("labels", f"{label} -> {version}")


def _signatures(version: int, signatures: dict[str, Signature]) -> Iterator[Finding]:
    if not signatures:
        yield error("signatures", f"Version {version} has none.", "Export the model with signatures=...")
        return
    if "serving_default" not in signatures:
        yield warning(
            "signatures",
            f"Version {version} has no serving_default; it has {', '.join(signatures)}.",
            "Clients that name none ask for it: give --signature, or export with it.",
        )
    for name, signature in signatures.items():
        inputs = "; ".join(str(info) for info in signature.inputs.values())
        unknown = [
            info
            for info in (*signature.inputs.values(), *signature.outputs.values())
            if info.dtype not in BY_NAME and info.dtype != "string"
        ]
        if unknown:
            yield warning(
                "signatures",
                f"{name}: {'; '.join(map(str, unknown))}.",
                "This client cannot send or read that dtype; export with another.",
            )
        elif not signature.splittable:
            yield warning(
                "signatures",
                f"{name} takes {inputs}: the first dimension is fixed, so rows cannot be sent together.",
                "Export with a free batch dimension (None).",
            )
        else:
            yield ok("signatures", f"{name} takes {inputs}")
