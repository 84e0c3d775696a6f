"""The networks of the jobs, as Keras models on encoded features."""

from __future__ import annotations

import itertools

import keras
import numpy as np
from keras import layers

from atelier_trainer.job import Job, Network, Optimizer
from atelier_trainer.metrics.classification import CROSSENTROPY
from atelier_trainer.metrics.regression import RMSE
from atelier_trainer.training.data_spec import Spec
from atelier_trainer.training.encoding import Encoding

TENTH = 0.1
# The most levels of a learning rate over a run, where Keras has no schedule of the wanted shape.
STAIRS = 100
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
    """An untrained model: features [N,width] to `probabilities` or `prediction` float32, weights from the job's seed.

    Two classes have one sigmoid output [N,1], the probability of class 1; more have a softmax [N,classes]. A regression
    has one linear output [N,1], which a last layer without weights brings to the label's own unit.
    """
    keras.utils.set_random_seed(job.fit.seed)
    network = job.network
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
    return keras.Model(inputs, _last_layers(spec, hidden), name=job.model)


def _last_layers(spec: Spec, hidden: keras.KerasTensor) -> keras.KerasTensor:
    """They are float32 also under mixed precision: a float16 probability has only three digits."""
    if spec.task == "regression":
        mean, deviation = spec.target
        scaled = layers.Dense(1, dtype="float32", name="scaled_prediction")(hidden)
        return layers.Rescaling(deviation, offset=mean, dtype="float32", name=spec.output_name)(scaled)
    classes = len(spec.class_names)
    units, activation = (1, "sigmoid") if classes == 2 else (classes, "softmax")
    return layers.Dense(units, activation=activation, dtype="float32", name=spec.output_name)(hidden)


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
    for index, stage in enumerate(network.convolutions):
        for place, filters in enumerate(stage if isinstance(stage, list) else [stage]):
            # The first convolution has stride 2: at stride 1 it would take most of the time.
            first = index == place == 0
            outputs = layers.Conv2D(
                filters,
                kernel_size=5 if first else 3,
                strides=2 if first else 1,
                padding="same",
                use_bias=False,
                kernel_regularizer=_regularizer(network),
            )(hidden)
            outputs = layers.Activation(network.activation)(layers.BatchNormalization()(outputs))
            # A residual connection (He et al. 2016), where the widths allow it.
            residual = place > 0 and outputs.shape[-1] == hidden.shape[-1]
            hidden = layers.Add()([hidden, outputs]) if residual else outputs
        if index > 0:
            hidden = layers.MaxPooling2D(2, padding="same")(hidden)
    return layers.Dropout(network.dropout)(layers.Flatten()(hidden))


def _regularizer(network: Network) -> keras.regularizers.Regularizer | None:
    return keras.regularizers.L1L2(network.l1, network.l2) if network.l1 or network.l2 else None


def loss_for(spec: Spec) -> str:
    """Keras's name of the loss that fits `build`'s last layer."""
    if spec.task == "regression":
        return "mean_squared_error"
    return "binary_crossentropy" if len(spec.class_names) == 2 else "sparse_categorical_crossentropy"


def loss_weight(spec: Spec) -> float | None:
    """What the loss is multiplied by. Over the labels' variance a squared error has no unit, so that one learning rate
    fits labels of any size."""
    return 1 / spec.target[1] ** 2 if spec.task == "regression" else None


def metrics_for(network: Network, spec: Spec) -> list[keras.metrics.Metric]:
    """Accuracy; with L1 or L2 also the cross entropy, because the loss then includes the penalty.

    Of a regression MAE and RMSE in the label's unit, and R2.
    """
    if spec.task == "regression":
        return [
            keras.metrics.MeanAbsoluteError(name="mae"),
            keras.metrics.RootMeanSquaredError(name=RMSE),
            keras.metrics.R2Score(name="r2"),
        ]
    kinds = (
        (keras.metrics.SparseCategoricalAccuracy, keras.metrics.SparseCategoricalCrossentropy)
        if len(spec.class_names) > 2
        else (keras.metrics.BinaryAccuracy, keras.metrics.BinaryCrossentropy)
    )
    accuracy, crossentropy = kinds
    penalized = bool(network.l1 or network.l2)
    return [accuracy(name="accuracy"), *([crossentropy(name=CROSSENTROPY)] if penalized else [])]


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
    """A constant rate, or one of Keras's own schedules.

    A saved model with a schedule class of ours could be loaded only where the trainer is installed.
    """
    schedules = keras.optimizers.schedules
    peak = settings.learning_rate
    rising = round(steps * settings.warmup)
    falling = max(steps - rising, 1)
    warms_up = rising > 1
    if settings.schedule == "constant" and not warms_up:
        return peak
    if settings.schedule in ("constant", "cosine"):
        floor = 1.0 if settings.schedule == "constant" else 0.0
        if not warms_up:
            return schedules.CosineDecay(peak, falling)
        # The first update has the rate peak / rising, not zero: so Keras's warm-up is one update shorter.
        return schedules.CosineDecay(
            peak / rising, falling + 1, alpha=floor, warmup_target=peak, warmup_steps=rising - 1
        )
    if settings.schedule == "linear":
        fall = schedules.PolynomialDecay(peak, falling, end_learning_rate=0.0)
    elif settings.schedule == "exponential":
        fall = schedules.ExponentialDecay(peak, falling, TENTH)
    else:
        fall = schedules.InverseTimeDecay(peak, falling, 1 / TENTH - 1)
    return _staircase(rising, peak, fall, steps) if warms_up else fall


def _staircase(
    rising: int, peak: float, fall: keras.optimizers.schedules.LearningRateSchedule, steps: int
) -> keras.optimizers.schedules.LearningRateSchedule:
    """A rise to `peak` and then `fall`, in at most `STAIRS` levels. Keras has a warm-up only before a cosine."""
    edges = np.linspace(0, steps, min(steps, STAIRS) + 1).round().astype(int)
    levels = []
    for first, end in itertools.pairwise(edges.tolist()):
        middle = (first + end - 1) / 2
        levels.append(peak * (middle + 1) / rising if middle < rising else float(fall(middle - rising)))
    return keras.optimizers.schedules.PiecewiseConstantDecay((edges[1:-1] - 1).tolist(), levels)
