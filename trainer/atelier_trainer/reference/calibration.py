"""How often the model is right at each confidence: what accuracy without labels is estimated from (CBPE).

Confidence-based performance estimation: the mean, over requests, of the probability that the model is right, which its
confidence gives after calibration on examples with labels.
"""

from __future__ import annotations

import numpy as np

BINS = 20


def calibration(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, list[float]]:
    """Up to `BINS` bins of about equally many examples: mean `confidence`, `accuracy` (never falling), `counts`.

    `probabilities` float32 [N,C], `labels` int64 [N].
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == labels
    # Equal confidences share a bin, so that the means rise.
    edges = np.unique(np.quantile(confidence, np.arange(1, BINS + 1) / BINS, method="inverted_cdf"))
    place = np.searchsorted(edges, confidence, side="left")
    counts = np.bincount(place).tolist()
    hits = np.bincount(place, weights=right).tolist()
    means = (np.bincount(place, weights=confidence) / counts).tolist()
    return {"confidence": means, "accuracy": rising(hits, counts), "counts": counts}


def rising(hits: list[float], counts: list[int]) -> list[float]:
    """Isotonic regression of hits / counts by pooling adjacent violators (Barlow et al. 1972)."""
    blocks: list[list[float]] = []
    for hit, count in zip(hits, counts, strict=True):
        blocks.append([hit, count, 1])
        while len(blocks) > 1 and blocks[-2][0] * blocks[-1][1] > blocks[-1][0] * blocks[-2][1]:
            hit_above, count_above, length = blocks.pop()
            blocks[-1] = [blocks[-1][0] + hit_above, blocks[-1][1] + count_above, blocks[-1][2] + length]
    return [hit / count for hit, count, length in blocks for _ in range(int(length))]
