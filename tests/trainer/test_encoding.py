"""Text in the graph: words, vocabulary and vectors are what plain Python makes of the same reviews."""

import re

import numpy as np
import tensorflow as tf
from atelier_trainer.training.encoding import FIRST_WORD, TextEncoding, split_words, vocabulary_of
from hypothesis import given, settings
from hypothesis import strategies as st

TEXTS = np.array(
    [b"The film. The END", b"the film<br /><br />isn't bad", "Größe über".encode(), b""], dtype=object
)


def plain_words(text: bytes) -> list[bytes]:
    lowered = re.sub(r"<br\s*/?>", " ", text.decode().lower())
    return [
        word.encode()
        for word in re.sub(r"[\x00-\x26\x28-\x2f\x3a-\x60\x7b-\x7f]+", " ", lowered).split(" ")
        if word
    ]


def test_words_are_lower_case_without_markup_and_punctuation() -> None:
    words = [part.tolist() for part in split_words(tf.constant(list(TEXTS))).numpy()]
    assert words[0] == [b"the", b"film", b"the", b"end"]
    assert words[1] == [b"the", b"film", b"isn't", b"bad"]
    assert words[2] == ["größe".encode(), "über".encode()]
    assert words[3] == []


@settings(max_examples=60, deadline=None)
# From 1: TensorFlow's lower() ends a text at a NUL.
@given(st.text(st.characters(codec="ascii", min_codepoint=1), max_size=60))
def test_words_are_those_of_plain_python(text: str) -> None:
    words = split_words(tf.constant([text.encode()]))[0].numpy().tolist()
    assert words == plain_words(text.encode())


def test_the_vocabulary_is_by_frequency_then_by_name_and_counts_the_two_special_numbers() -> None:
    assert vocabulary_of(TEXTS, 5) == [b"the", b"film", b"bad"]


def test_a_multi_hot_vector_marks_each_known_word_once_and_the_unknown() -> None:
    encoding = TextEncoding([b"the", b"film"], None)
    vectors = encoding.features(encoding.stored(tf.constant(list(TEXTS)))).numpy()
    assert vectors.shape == (4, 2 + FIRST_WORD)
    assert vectors.tolist() == [[0, 1, 1, 1], [0, 1, 1, 1], [0, 1, 0, 0], [0, 0, 0, 0]]
    empty = encoding.features(encoding.stored(tf.constant([], tf.string)))
    assert empty.shape == (0, 4)


def test_word_numbers_keep_the_end_of_a_text_and_are_filled_up() -> None:
    encoding = TextEncoding([b"the", b"film"], 3)
    numbers = encoding.features(encoding.stored(tf.constant([b"the film the end", b"film"]))).numpy()
    assert numbers.tolist() == [[3, 2, 1], [3, 0, 0]]
