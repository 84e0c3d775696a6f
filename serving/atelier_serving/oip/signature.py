"""A signature as the protocol tells it: each tensor's name, data type and shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from tensorflow.core.protobuf import meta_graph_pb2

from atelier_serving.inference.predict import DEFAULT_SIGNATURE, METHODS
from atelier_serving.models.servable import Servable
from atelier_serving.oip.datatypes import BY_NUMBER, Datatype, name_of
from atelier_serving.status import invalid

_NAMES_SHOWN = 20


@dataclass(frozen=True, slots=True)
class TensorForm:
    """An input or an output. `tensor` is its name in the graph, `shape` has -1 for any size, None for any rank.

    `datatype` is None for a type that the protocol has not.
    """

    name: str
    tensor: str
    datatype: Datatype | None
    type_name: str
    shape: tuple[int, ...] | None

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether a tensor of this shape may be given."""
        known = self.shape
        if known is None or known == shape:
            return True
        if len(known) != len(shape):
            return False
        # A generator would take longer than all the rest of this.
        for size, given in zip(known, shape, strict=True):  # noqa: SIM110
            if size not in (-1, given):
                return False
        return True

    def sizes(self) -> list[int]:
        """The shape as the protocol tells it, which has no word for "of any rank": one dimension of any size."""
        return [-1] if self.shape is None else list(self.shape)


@dataclass(frozen=True, slots=True)
class SignatureForm:
    """The tensors of a signature by name, and the names of the inputs that have a default value."""

    name: str
    method: str
    inputs: Mapping[str, TensorForm]
    outputs: Mapping[str, TensorForm]
    defaults: frozenset[str]
    # The outputs of types that the protocol has not.
    foreign: frozenset[str]


# Fields of protos are slow to read, and each request needs these.
_known: WeakKeyDictionary[Servable, dict[str, SignatureForm]] = WeakKeyDictionary()


def signature_of(servable: Servable, name: str) -> SignatureForm:
    """The signature of this name, `serving_default` for an empty one. Raises `ServingError`."""
    name = name or DEFAULT_SIGNATURE
    forms = _known.get(servable)
    if forms is None:
        forms = _known.setdefault(servable, {})
    form = forms.get(name)
    if form is None:
        signature = servable.signatures.get(name)
        if signature is None:
            raise invalid(
                f'There is no signature "{name}": give one of {listed(servable.signatures)} as the parameter '
                "signature_name."
            )
        form = forms[name] = _form(name, signature)
    if servable.checks_method_names and form.method not in METHODS:
        raise invalid(
            f'The signature "{name}" has the method name "{form.method}", which is none of Predict.'
        )
    return form


def listed(names: Mapping[str, object]) -> str:
    """Names for an error's text."""
    shown = sorted(names)[:_NAMES_SHOWN]
    return ", ".join(shown) + (", ..." if len(names) > len(shown) else "") if names else "none"


def _form(name: str, signature: meta_graph_pb2.SignatureDef) -> SignatureForm:
    inputs, outputs = _tensors(signature.inputs), _tensors(signature.outputs)
    foreign = frozenset(output.name for output in outputs.values() if output.datatype is None)
    return SignatureForm(name, signature.method_name, inputs, outputs, frozenset(signature.defaults), foreign)


def _tensors(infos: Mapping[str, meta_graph_pb2.TensorInfo]) -> dict[str, TensorForm]:
    """The tensors by name, in the order of the names."""
    return {name: _tensor(name, infos[name]) for name in sorted(infos)}


def _tensor(name: str, info: meta_graph_pb2.TensorInfo) -> TensorForm:
    shape = info.tensor_shape
    sizes = None if shape.unknown_rank else tuple(dim.size for dim in shape.dim)
    return TensorForm(name, info.name, BY_NUMBER.get(info.dtype), name_of(info.dtype), sizes)
