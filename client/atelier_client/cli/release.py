"""The command `release`."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atelier_client.cli import labelled_examples
from atelier_client.cli.options import add_command, choose_model, connection, each_server, say
from atelier_client.cli.release_gate import judge_candidate, require_examples
from atelier_client.cli.standard_streams import reader_may_leave
from atelier_client.errors import InputError, SettingsError

if TYPE_CHECKING:
    from atelier_client.client import Client
    from atelier_client.gate.rules import Rules
    from atelier_client.release.ramp import Ramp, Steps
    from atelier_client.release.replicas import Replicas
    from atelier_client.release.repository import Repository
    from atelier_client.release.sequence import Outcome

# A server is asked by itself, for there is no way around it; one that is gone must not hold up a rollback.
_ATTEMPTS = 2
_SECONDS = 5.0


def register(commands: Any) -> None:
    """Declare the command."""
    command = add_command(
        commands,
        "release",
        _release,
        "take a published version through the gate to the label stable; 0 promoted, 1 rejected, 4 held",
        "atelier-client release",
        "atelier-client release 3 --gate gate.yaml --ramp 1,10,50,100 --hold 30s",
        "atelier-client release --target a:8500,b:8500 --keep 5",
        "atelier-client release 3 --force --reason 'the old one answers nonsense for boots'",
        version=False,
    )
    command.add_argument(
        "candidate",
        type=int,
        nargs="?",
        metavar="VERSION",
        help="the version (default: the newest one published)",
    )
    add_gate(command)
    command.add_argument(
        "--ramp",
        metavar="PERCENTAGES",
        help="before it is stable, send it these shares of the requests in turn, as 1,10,50,100; it is taken back when "
        "it fails or is slower than the gate allows",
    )
    command.add_argument("--hold", metavar="TIME", help="of each step of the ramp (default: 30s)")
    command.add_argument(
        "--keep", type=int, metavar="N", help="then delete all but the N newest versions, and those in use"
    )
    command.add_argument(
        "--wait",
        type=float,
        default=180.0,
        metavar="SECONDS",
        help="for it to be loaded (default: %(default)g)",
    )
    command.add_argument(
        "--force", action="store_true", help="promote it whatever the gate says; needs --reason"
    )
    command.add_argument("--reason", metavar="TEXT", help="why, for the record")
    command.add_argument(
        "--if-needed",
        action="store_true",
        help="when an earlier release has decided about this version, only wait for the stable one to answer",
    )
    command.add_argument(
        "--require-signature",
        type=Path,
        metavar="KEY",
        help="refuse a version that is not signed with this public key (PEM), in VERSION.sig beside it; needs "
        "model-signing",
    )
    labelled_examples.add_options(command, file=False)


def add_gate(command: argparse.ArgumentParser) -> None:
    """The option for the rules and hooks."""
    default = os.environ.get("ATELIER_GATE")
    command.add_argument(
        "--gate",
        type=Path,
        metavar="FILE",
        default=Path(default) if default else None,
        help="the rules and hooks, docs/releases.md [ATELIER_GATE] (default: what is better in accuracy is promoted)",
    )


@contextlib.contextmanager
def connected(options: argparse.Namespace) -> Iterator[tuple[Client, Replicas]]:
    """A client of all servers, and each of them by itself."""
    from atelier_client._targets import parse_targets
    from atelier_client.client import Client
    from atelier_client.release.replicas import Replicas
    from atelier_client.retry import Retry

    targets = parse_targets(options.target)
    if targets[0].v2:
        raise SettingsError(
            f"{options.target}: releases need TensorFlow Serving's protocol, which tells the states of versions and "
            "what their labels name; the Open Inference Protocol does not. Give the address without v2+ "
            "(--target HOST:PORT)."
        )
    with contextlib.ExitStack() as stack:
        each = each_server(options)
        settings = connection(options)
        whole = stack.enter_context(Client(options.target, options.model, **settings))
        soon = settings | {"timeout": min(_SECONDS, options.timeout)}
        alone, patient = (
            [
                stack.enter_context(Client(address, options.model, retry=Retry(attempts=_ATTEMPTS), **some))
                for address in each
            ]
            for some in (soon, settings)
        )
        yield whole, Replicas(alone, patient, say)


def _release(options: argparse.Namespace) -> int:
    from atelier_client.gate.rules import read_rules
    from atelier_client.release.hooks import Hooks
    from atelier_client.release.ramp import Steps
    from atelier_client.release.record import who
    from atelier_client.release.repository import Repository
    from atelier_client.release.sequence import Plan, Release

    if options.force != bool(options.reason):
        raise SettingsError(
            "--force and --reason TEXT go together: the record says why the gate was passed over."
        )
    if options.keep is not None and options.keep < 1:
        raise SettingsError(f"--keep {options.keep}: expected how many versions to keep, 1 or more.")
    if not 0 < options.wait < float("inf"):
        raise SettingsError(f"--wait {options.wait:g}: expected seconds, more than 0.")
    if options.hold and not options.ramp:
        raise SettingsError(f"--hold {options.hold} says how long a step of the ramp lasts: give --ramp too.")
    steps = Steps.parse(options.ramp, options.hold or "30s") if options.ramp else None
    key = None
    if options.require_signature is not None:
        from atelier_client.release.signature import PublicKey

        key = PublicKey(options.require_signature)
    rules = read_rules(options.gate)
    require_examples(rules)
    options.file = rules.examples
    choose_model(options)
    repository = Repository(options.models, options.model)
    candidate = _candidate(repository, options.candidate)
    if options.if_needed and (before := _decided(repository, candidate)):
        _await_stable(options, repository)
        say(before)
        return 0
    with connected(options) as (client, replicas), repository.releasing(who()):
        plan = Plan(
            gate=lambda version, stable: judge_candidate(options, client, rules, version, stable),
            hooks=Hooks(asdict(rules.hooks), say, options.gate),
            ramp=_ramp(options, client, rules, steps, candidate) if steps else None,
            wait=options.wait,
            force=options.reason,
            key=key,
        )
        outcome = Release(repository, replicas, plan, say).run(candidate)
        if outcome.event == "promoted" and options.keep:
            from atelier_client.release.retirement import retire

            for version in retire(repository, replicas, options.keep, say):
                say(f"Version {version} is deleted.")
    _finish(options, outcome)
    return outcome.exit_code


def _candidate(repository: Repository, asked: int | None) -> int:
    published = repository.versions()
    if asked is None and not published:
        raise InputError(f"{repository.folder} holds no version. Train one first (atelier-trainer train).")
    if asked is not None and asked not in published:
        known = ", ".join(map(str, published)) or "none"
        raise InputError(f"Version {asked} of {repository.model} was not published (there are: {known}).")
    return published[-1] if asked is None else asked


def _await_stable(options: argparse.Namespace, repository: Repository) -> None:
    """Wait until the stable version answers, and rightly: the servers may have been started just now."""
    from atelier_client._model_card import read_golden

    stable = repository.served().stable
    assert stable is not None
    with connected(options) as (_, replicas):
        replicas.wait_available(stable, options.wait, lambda: None)
        replicas.check_golden(stable, read_golden(repository.version_folder(stable)))


def _decided(repository: Repository, candidate: int) -> str | None:
    """A sentence when the last release of this version came to an end that still holds."""
    from atelier_client.release.journal import Journal

    journal = Journal(repository)
    served = repository.served()
    ends = [
        entry
        for entry in journal.entries()
        if entry.to_version == candidate and entry.event in ("promoted", "rejected", "held", "taken_over")
    ]
    if not ends or candidate in journal.unfinished() or (served.stable is None):
        return None
    words = {"rejected": "was rejected", "held": "is held"}.get(ends[-1].event, "was released")
    return f"Version {candidate} {words} on {ends[-1].time[:10]}; version {served.stable} is stable." + (
        f" {ends[-1].reason}" if ends[-1].event in ("rejected", "held") else ""
    )


def _ramp(options: argparse.Namespace, client: Client, rules: Rules, steps: Steps, candidate: int) -> Ramp:
    """The ramp, with the golden examples or the labelled ones as its requests."""
    from atelier_client._model_card import read_golden
    from atelier_client.release.ramp import Ramp
    from atelier_client.release.traffic_file import TrafficFile

    golden = read_golden(options.models / options.model / str(candidate))
    if golden is None:
        raise InputError(
            f"Version {candidate} has no golden examples (assets.extra/golden.npz), which a ramp sends as its "
            "requests. Leave --ramp out."
        )
    count = len(next(iter(golden.inputs.values())))
    rows = [{name: array[row : row + 1] for name, array in golden.inputs.items()} for row in range(count)]
    return Ramp(client, TrafficFile(options.models), steps, rows, rules.latency, say)


def _finish(options: argparse.Namespace, outcome: Outcome) -> None:
    if options.json:
        with reader_may_leave():
            print(json.dumps(asdict(outcome)))
    stays = "" if outcome.stable in (None, outcome.version) else f" Version {outcome.stable} stays stable."
    say(f"{outcome.sentence}{stays}")
