"""The networks of the jobs, as Keras models on encoded features."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from atelier_trainer.job import Job, Network, Optimizer
from atelier_trainer.training.data_spec import Spec
from atelier_trainer.training.encoding import Encoding
from atelier_trainer.training.run import CROSSENTROPY

TENTH = 0.1
OPTIMIZERS = {
    kind.__name__.lower(): kind
    for kind in (
        keras.optimizers.Adam,
        keras.optimizers.AdamW,
        keras.optimizers.Nadam,
        keras.optimizers.Adamax,
        keras.optimizers.Adagrad,
        keras.optimizers.Adadelta,
        keras.optimizers.RMSprop,
        keras.optimizers.SGD,
        keras.optimizers.Ftrl,
        keras.optimizers.Lion,
    )
}


def build(job: Job, spec: Spec, encoding: Encoding) -> keras.Model:
    """An untrained model: features [N,width] to `probabilities` float32, weights drawn from the job's seed.

    Two classes have one sigmoid output [N,1], the probability of class 1; more have a softmax [N,classes].
    """
    keras.utils.set_random_seed(job.fit.seed)
    network, classes = job.network, len(spec.class_names)
    inputs = keras.Input(
        (encoding.width,), dtype="int32" if network.embedding else "float32", name="features"
    )
    hidden = _first_layers(network, spec, inputs)
    for units in network.hidden:
        hidden = layers.Dense(units, activation=network.activation, kernel_regularizer=_regularizer(network))(
            hidden
        )
        if network.dropout:
            hidden = layers.Dropout(network.dropout)(hidden)
    # The last layer is float32 also under mixed precision: a probability of float16 has three digits.
    units, activation = (1, "sigmoid") if classes == 2 else (classes, "softmax")
    outputs = layers.Dense(units, activation=activation, dtype="float32", name="probabilities")(hidden)
    return keras.Model(inputs, outputs, name=job.model)


def _first_layers(network: Network, spec: Spec, inputs: keras.KerasTensor) -> keras.KerasTensor:
    if network.embedding:
        words = layers.Embedding(network.vocabulary, network.embedding)(inputs)
        return layers.GlobalAveragePooling1D()(words)
    if spec.kind == "table":
        return layers.Normalization(mean=list(spec.mean), variance=list(spec.variance))(inputs)
    if not network.convolutions:
        return inputs
    shape = spec.shape if len(spec.shape) == 3 else (*spec.shape, 1)
    hidden = layers.Reshape(shape)(inputs)
    for index, filters in enumerate(network.convolutions):
        # The first convolution halves the picture itself: at full size it would take most of the time.
        hidden = layers.Conv2D(
            filters,
            kernel_size=5 if index == 0 else 3,
            strides=2 if index == 0 else 1,
            padding="same",
            use_bias=False,
            kernel_regularizer=_regularizer(network),
        )(hidden)
        hidden = layers.Activation(network.activation)(layers.BatchNormalization()(hidden))
        if index > 0:
            hidden = layers.MaxPooling2D(2, padding="same")(hidden)
    return layers.Dropout(network.dropout)(layers.Flatten()(hidden))


def _regularizer(network: Network) -> keras.regularizers.Regularizer | None:
    return keras.regularizers.L1L2(network.l1, network.l2) if network.l1 or network.l2 else None


def loss_for(classes: int) -> str:
    """Keras's name of the loss that fits `build`'s last layer."""
    return "binary_crossentropy" if classes == 2 else "sparse_categorical_crossentropy"


def metrics_for(network: Network, classes: int) -> list[str | keras.metrics.Metric]:
    """Accuracy; of a network with L1 or L2 also the cross entropy, which its loss hides behind the penalty."""
    kinds = keras.metrics.BinaryCrossentropy, keras.metrics.SparseCategoricalCrossentropy
    penalized = bool(network.l1 or network.l2)
    return ["accuracy", *([kinds[classes > 2](name=CROSSENTROPY)] if penalized else [])]


def optimizer(settings: Optimizer, steps: int) -> keras.optimizers.Optimizer:
    """The job's optimizer for a run of `steps` updates."""
    options = {"weight_decay": settings.weight_decay or None}
    if settings.momentum:
        options["momentum"] = settings.momentum
    kind = OPTIMIZERS[settings.name]
    if kind is keras.optimizers.AdamW and not settings.weight_decay:
        del options["weight_decay"]
    return kind(_rate(settings, steps), **options)


def _rate(settings: Optimizer, steps: int) -> float | keras.optimizers.schedules.LearningRateSchedule:
    schedules, peak = keras.optimizers.schedules, settings.learning_rate
    rising = round(steps * settings.warmup)
    falling = max(steps - rising, 1)
    if settings.schedule == "constant" and not rising:
        return peak
    shape: float | keras.optimizers.schedules.LearningRateSchedule = peak
    if settings.schedule == "cosine":
        shape = schedules.CosineDecay(peak, falling)
    elif settings.schedule == "linear":
        shape = schedules.PolynomialDecay(peak, falling, end_learning_rate=0.0)
    elif settings.schedule == "exponential":
        shape = schedules.ExponentialDecay(peak, falling, TENTH)
    elif settings.schedule == "inverse_time":
        shape = schedules.InverseTimeDecay(peak, falling, 1 / TENTH - 1)
    return Warmup(rising, peak, shape) if rising else shape


@keras.saving.register_keras_serializable("atelier")
class Warmup(keras.optimizers.schedules.LearningRateSchedule):
    """From zero to `peak` in `steps` updates; `then` another schedule, or one rate."""

    def __init__(
        self, steps: int, peak: float, then: float | keras.optimizers.schedules.LearningRateSchedule
    ) -> None:
        self.steps, self.peak, self.then = steps, peak, then

    def __call__(self, step: keras.KerasTensor) -> keras.KerasTensor:
        done = keras.ops.cast(step, "float32")
        later = keras.ops.maximum(done - self.steps, 0.0)
        then = self.then if isinstance(self.then, float) else self.then(later)
        return keras.ops.where(done < self.steps, self.peak * (done + 1) / self.steps, then)

    def get_config(self) -> dict[str, object]:
        """What the constructor takes."""
        return {"steps": self.steps, "peak": self.peak, "then": self.then}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Warmup:
        """The schedule of such a configuration."""
        return cls(**{**config, "then": keras.saving.deserialize_keras_object(config["then"])})
