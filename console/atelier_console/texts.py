"""Every English sentence of the console: of its pages, its answers and its script. Nothing else holds one.

`{name}` is filled in by `say`.
"""

from __future__ import annotations

from typing import Any

TEXTS: dict[str, str] = {
    # Every page.
    "console": "Atelier console",
    "skip": "Skip to the content",
    "nav_label": "Pages",
    "nav_try": "Try",
    "nav_models": "Models",
    "nav_live": "Live",
    "model": "Model",
    "show": "Show",
    "server": "Model server: {target}",
    # What is wrong.
    "problem": "Something is wrong",
    "no_models": "There is no model to show: {folder} lists none in models.config. Train one (make up), name the "
    "model repository (--models DIR), or name the model (--model NAME).",
    "no_such_model": "There is no model {name!r}. Listed are: {names}.",
    "no_page": "There is no page {path}.",
    "wrong_method": "{path} does not take {method}.",
    "internal": "The console failed ({kind}). Its log, where it was started, says more.",
    "bad_host": "This console answers at its own address alone (http://127.0.0.1:PORT/), not as {host!r}: so no other "
    "web page can reach it through a name of its own.",
    "bad_origin": "This question came from another web page ({origin}), which may not ask this console.",
    "bad_content": "A question to this console is application/json, not {kind!r}.",
    "need_token": "This console asks for its token. Open its address with ?token=TOKEN once, as it was printed at the "
    "start, or send the header Authorization: Bearer TOKEN.",
    "too_much": "The question has more than {most} MB. A picture may have {picture} MB: make it smaller first.",
    "slow": "The question did not arrive within {seconds:.0f} s.",
    "no_json": "The question is no JSON object ({why}).",
    "no_input": 'The question lacks an input, such as {{"kind": "text", "text": ".."}}.',
    "no_such_kind": "There is no input of the kind {kind!r}. Expected one of {kinds}.",
    "lacks": "The input lacks {name!r}, which is {what}.",
    "wrong_kind": "The model {model} takes no {kind}: it takes {takes}. JSON for its signatures is always taken.",
    # Pictures.
    "picture": "the picture",
    "no_picture": "This is no picture: expected a PNG or a JPEG file.",
    "bomb": "The picture has far more points than the {most} million that the console takes.",
    "too_many_points": "The picture has {width} x {height} points, the console takes {most} million: "
    "make it smaller first.",
    "nothing_drawn": "There is nothing to see in the picture of {width} x {height} points: all of them are alike. Draw "
    "a figure, or give another picture.",
    "no_base64": "The picture's bytes are no base64.",
    "step_as_is": "taken as it is: it has {width} x {height} points already",
    "step_not_plain": "not cropped: its background is not plain",
    "step_even": "the background made even",
    "step_contrast": "the contrast raised",
    "step_crop": "cropped to the figure: {wide} x {high} of {width} x {height}",
    "step_fill": "the closed outline filled, as the figures are solid that the model knows",
    "step_scale": "centred and scaled to {width} x {height}, where the figures that the model knows take "
    "{percent} % of the longer side",
    # Other inputs.
    "form": "the form",
    "no_text": "There is no text. Type one, at least a word.",
    "long_text": "The text has {size:,} characters; the console takes {most:,}.",
    "no_columns": "The form has no column {name!r}. The model takes {columns}.",
    "json_name": "the JSON",
    "no_such_signature": "The model has no signature {name!r}. It has: {names}.",
    "json_wrong": "The JSON cannot be read: {why}.",
    "json_examples": "The signature {name} takes examples: a list of objects of features by name, such as "
    '[{{"x": 1.0}}].',
    "no_example": "There is no test example {number}; there are {count}.",
    "no_examples": "There are no test examples: the model has no card that names a test file.",
    # Try: the page.
    "try_title": "Try {model}",
    "try_lead": "Give the model something, and see what it makes of it.",
    "unknown_kind": "The model is none of the known kinds (pictures, texts, tables): write JSON for one of its "
    "signatures.",
    "draw": "Draw",
    "canvas_label": "Drawing area",
    "canvas_help": "Draw with the mouse, a finger or a pen. With the keyboard: the arrow keys move the pen, the space "
    "bar puts it down or lifts it.",
    "pen": "Pen width",
    "undo": "Undo",
    "clear": "Clear",
    "fill": "Fill closed outlines",
    "fill_auto": "Where the model knows solid figures",
    "fill_yes": "Always",
    "fill_no": "Never",
    "choose_picture": "Choose a picture (PNG, JPEG)",
    "drop_help": "Or drop a picture on the drawing area, or paste one.",
    "examples": "Test examples",
    "examples_help": "Ten of those that the model was tested on; it has not been trained on them.",
    "example_name": "Example {number}: {label}",
    "text_label": "Text",
    "text_help": "The answer changes while you type.",
    "form_title": "Values",
    "form_help": "The columns that the model was trained on.",
    "form_missing": "may be empty",
    "form_number": "a number",
    "form_category": "a category",
    "json_title": "JSON for any signature",
    "signature": "Signature",
    "json_label": "Inputs as JSON",
    "json_help": "An object of inputs by name, each with all its rows; for classify and regress a list of examples.",
    "send": "Ask",
    "answers": "Answers",
    "answer_of": "{label}",
    "version": "version {version}",
    "newest": "newest version",
    "no_canary": "No canary is being released.",
    "waiting": "Nothing was asked yet.",
    "latency": "{milliseconds:.1f} ms, as the console measured it",
    "chosen_label": "{label}, {percent:.1f} %",
    "difference": "Difference",
    "one_version": "One version answers; there is nothing to compare it with.",
    "same_label": "Both say {label}. Their probabilities differ by at most {points:.1f} points ({name}).",
    "other_label": "They disagree: {first} says {first_label}, {second} says {second_label}. The largest difference is "
    "{points:.1f} points ({name}).",
    "same_outputs": "Both give the same outputs.",
    "other_outputs": "Their outputs differ: {names}.",
    "not_compared": "They cannot be compared: {why}",
    "saw": "What the model really saw",
    "saw_label": "The picture that the model saw, {width} x {height}",
    "saw_save": "Save it (seen.png)",
    "saw_nothing": "Nothing yet.",
    "steps": "What was done to it",
    "as_given": "nothing: it was given as the model takes it",
    "outputs": "All outputs",
    "lines": "The same request",
    "lines_help": "For a terminal. Where seen.png is named, save the picture above first.",
    "line_curl": "curl",
    "line_python": "Python",
    "line_client": "atelier-client",
    "copy": "Copy",
    "copied": "Copied.",
    "example_label": "Its label among the test examples: {label}.",
    # Script.
    "asking": "Asking ..",
    "console_away": "The console does not answer ({why}). Was it stopped?",
    "file_too_large": "The file has {size} MB; a picture may have {most} MB.",
    "pen_down": "The pen is down.",
    "pen_up": "The pen is up.",
    "picture_taken": "Picture {name}.",
    "draw_first": "Draw something, or give a picture.",
}

# Those that the script of the page Try shows.
SCRIPT = (
    *(
        "asking",
        "console_away",
        "file_too_large",
        "pen_down",
        "pen_up",
        "picture_taken",
        "draw_first",
        "waiting",
    ),
    *("copied", "saw_nothing", "as_given"),
)


def say(key: str, **values: Any) -> str:
    """The sentence of a key, with its values filled in."""
    return TEXTS[key].format(**values)
