# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # From a data set to a released model: Fashion-MNIST
#
# You train two classifiers of 28 x 28 pictures of clothes, see what over- and underfitting look like, serve
# the first one, ask it over gRPC, and replace it by the better one without an interruption. Everything here
# is done with the installed commands and with the client's library. `make up` runs the same loop in one go.

# %% [markdown]
# ## Set up
#
# `make venv` makes `.venv` with all commands; activate it (`. .venv/bin/activate`), and start the notebook
# in an empty folder. What the commands write goes there: `data`, `runs`, `models`, `reports`.

# %%
import atexit
import json
import os
import socket
import subprocess
import urllib.request
from pathlib import Path

import numpy as np
from atelier_client import Client, __version__
from IPython.display import Image

print("atelier-client", __version__)

# %% tags=["contract"]
assert __version__.count(".") == 2
for command in ("atelier-trainer", "atelier-serving", "atelier-client", "atelier-console"):
    assert subprocess.run([command, "--help"], capture_output=True).returncode == 0, command

# %% [markdown]
# ## Prepare the data
#
# The trainer fetches Fashion-MNIST, checks every file by its digest, and keeps it in `data`. If you have a
# copy, name its folder in `ATELIER_FASHION_MNIST`. `data show` draws the first 25 training pictures.

# %% language="bash"
# atelier-trainer data show fashion-mnist

# %%
Image("reports/fashion-mnist-examples.png")

# %% tags=["contract"]
assert Path("reports/fashion-mnist-examples.png").stat().st_size > 20_000
assert Path("data/fashion-mnist/train-images-idx3-ubyte").stat().st_size == 16 + 60_000 * 28 * 28

# %% [markdown]
# The files are IDX: a header, then bytes. numpy reads them in two lines. The pixels are whole numbers from
# 0 to 255, and stay so: scaling them is a part of the model, so that whoever asks it need not know of it.


# %%
def images_and_labels(split):
    """The pictures uint8 [N,28,28] and the classes uint8 [N], of `train` or `t10k`."""
    folder = Path("data/fashion-mnist")
    pixels = np.fromfile(folder / f"{split}-images-idx3-ubyte", np.uint8)[16:].reshape(-1, 28, 28)
    return pixels, np.fromfile(folder / f"{split}-labels-idx1-ubyte", np.uint8)[8:]


train_images, train_labels = images_and_labels("train")
test_images, test_labels = images_and_labels("t10k")
train_images.shape, test_images.shape

# %% tags=["contract"]
assert train_images.shape == (60_000, 28, 28)
assert test_images.shape == (10_000, 28, 28)
assert np.bincount(test_labels).tolist() == [1000] * 10

# %% [markdown]
# ## Build the model
#
# A job says what is trained, on what, and how; Keras' network follows from it. This one has a single hidden
# layer of 32 and looks at the training pictures once. [The trainer](trainer.md) lists all keys.

# %%
Path("first.yaml").write_text("""
name: first
model: fashion          # the name it is published and served under
data: fashion-mnist
network: {hidden: [32]}
optimizer: {name: adam, learning_rate: 0.002}
fit: {batch_size: 512, epochs: 1, seed: 1}
""")

# %% tags=["contract"]
assert Path("first.yaml").read_text().startswith("\nname: first\n")

# %% [markdown]
# ## Train
#
# Training ends with a published version: a SavedModel with its model card, golden examples and warm-up
# requests, in `models/fashion/1`. The metrics are those of the exported model on the test pictures.

# %% language="bash"
# atelier-trainer train first.yaml

# %%
card = json.loads(Path("models/fashion/1/assets.extra/model_card.json").read_text())
card["metrics"]["test"]

# %% tags=["contract"]
assert 0.76 < card["metrics"]["test"]["accuracy"] < 0.87
assert card["metrics"]["test"]["examples"] == 10_000
assert card["data"]["train"]["examples"] == 60_000
assert {"saved_model.pb", "assets.extra/golden.npz"} <= set(card["files"])
assert Path("runs/first/1/history.csv").exists()

# %% [markdown]
# ## Overfitting and underfitting
#
# A network that is large for its data learns the examples by heart: the training loss goes on falling while
# the validation loss rises. One that is small, or trained too briefly, has not yet learned what there is.
# 2,000 pictures show both within seconds. A study trains several jobs on the same data, publishes nothing,
# and draws the curves into one picture.

# %%
few = {"x_train": train_images[:2000], "y_train": train_labels[:2000]}
np.savez("few.npz", **few, x_test=test_images[:2000], y_test=test_labels[:2000])
networks = {
    "small": "hidden: [2]",
    "large": "hidden: [256, 256]",
    "dropout": "hidden: [256, 256], dropout: 0.6",
}
for name, network in networks.items():
    Path(f"{name}.yaml").write_text(f"""
name: {name}
model: few
data: {{npz: few.npz}}
network: {{{network}}}
fit: {{batch_size: 64, epochs: 35, seed: 1, validation_split: 0.3}}
""")
Path("study.yaml").write_text("jobs: [small.yaml, large.yaml, dropout.yaml]\n")

# %% tags=["contract"]
assert np.load("few.npz")["x_train"].shape == (2000, 28, 28)

# %% language="bash"
# atelier-trainer study study.yaml > study.json 2> study.log
# grep -v ^epoch study.log

# %%
Image("reports/compare-study.png")

# %% tags=["contract"]
verdicts = {
    item["run"].split("/")[0]: item for item in json.loads(Path("reports/compare-study.json").read_text())
}
assert verdicts["large"]["overfits_from"] is not None
assert verdicts["large"]["last_val_loss"] > 1.1 * verdicts["large"]["val_loss"]
assert verdicts["large"]["gap"] > verdicts["dropout"]["gap"] + 0.03
assert verdicts["small"]["overfits_from"] is None
assert verdicts["small"]["val_loss"] > 1

# %% [markdown]
# `large` overfits: its validation loss rises from the epoch that the table names. `small` underfits: both
# losses stay high, and more epochs would still help. Dropout keeps the large network from learning by
# heart. More data help most: the 60,000 pictures of the job above.

# %% [markdown]
# ## Evaluate
#
# The published version once more, read from its folder, in a process of its own. The numbers are those of
# the model card.

# %% language="bash"
# atelier-trainer evaluate models/fashion/1 > evaluated.json

# %%
evaluated = json.loads(Path("evaluated.json").read_text())
evaluated["accuracy"], evaluated["macro_f1"]

# %% tags=["contract"]
assert evaluated["accuracy"] == card["metrics"]["test"]["accuracy"]

# %% [markdown]
# ## Save and restore
#
# Every run can be saved for Keras: as one `.keras` file, as weights, as a checkpoint. `restore --evaluate`
# proves that what was saved answers the test pictures as before.

# %% language="bash"
# atelier-trainer save first --format keras --to first.keras
# atelier-trainer restore --from first.keras --evaluate > restored.json

# %%
restored = json.loads(Path("restored.json").read_text())
restored["equal"], restored["max_abs_diff"]

# %% tags=["contract"]
assert restored["equal"]
assert restored["max_abs_diff"] == 0
assert Path("first.keras").stat().st_size > 50_000

# %% [markdown]
# ## Serve
#
# `atelier-serving` speaks TensorFlow Serving's gRPC and REST. Give its `models.config` to
# `tensorflow/serving` instead, and all that follows is the same. The usual ports are 8500 and 8501; this
# notebook takes free ones.


# %%
def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(*command):
    """Start a program beside the notebook; it ends with it. Its log goes into a file."""
    with open(f"{command[0]}.log", "w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    atexit.register(process.terminate)
    return process


grpc, rest = free_port(), free_port()
server = start(
    "atelier-serving",
    f"--port={grpc}",
    f"--rest_api_port={rest}",
    "--model_config_file=models/models.config",
    "--model_config_file_poll_wait_seconds=1",
    "--allow_version_labels_for_unavailable_models=true",
)
# The commands ask here from now on, and the record of releases names you so.
os.environ["ATELIER_TARGET"] = f"127.0.0.1:{grpc}"
os.environ["ATELIER_WHO"] = "me"

# %% language="bash"
# atelier-client status --wait 180

# %% tags=["contract"]
assert server.poll() is None
with Client(os.environ["ATELIER_TARGET"], "fashion") as client:
    assert client.newest_available() == 1

# %% [markdown]
# The console is a page on the served model: draw a shirt and read what the model makes of it.
#
# ![The page Try](console-try.png)

# %%
port = free_port()
console = start("atelier-console", f"--port={port}", f"--rest=http://127.0.0.1:{rest}")
print(f"http://127.0.0.1:{port}/")

# %% tags=["contract"]
import time

for _ in range(600):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
            assert answer.status == 200
        break
    except OSError:
        time.sleep(0.2)
else:
    raise AssertionError("the console does not answer")

# %% [markdown]
# ## Ask
#
# The client needs no TensorFlow. It checks what you send against the served signature, splits any number of
# rows into requests, and gives the answers back in your order.

# %%
with Client(os.environ["ATELIER_TARGET"], "fashion") as client:
    prediction = client.predict(test_images)
labels = [label.decode() for label in prediction["label"][:5]]
accuracy = float((prediction["class_id"] == test_labels).mean())
labels, accuracy

# %% tags=["contract"]
assert len(prediction["label"]) == 10_000
assert abs(accuracy - card["metrics"]["test"]["accuracy"]) < 0.0005
assert set(labels) <= set(card["class_names"])

# %% [markdown]
# `atelier-client evaluate` does that with 95 % intervals, by class and by slice, compares the golden
# examples, and writes a report (`reports/evaluation.html`) with the worst mistakes.

# %% language="bash"
# atelier-client evaluate --slice "label == 'Shirt'"

# %% tags=["contract"]
report = json.loads(Path("reports/evaluation.json").read_text())
assert report["metrics"]["accuracy"] == accuracy
assert Path("reports/evaluation.html").stat().st_size > 30_000

# %% [markdown]
# ## Release
#
# The first version becomes `stable` without a contest. What is trained after it is a candidate: it is
# loaded beside it, measured against it on the same pictures, and becomes stable when it is better beyond
# chance.

# %% language="bash"
# atelier-client release

# %%
Path("second.yaml").write_text("""
name: second
model: fashion
data: fashion-mnist
network: {hidden: [128]}
optimizer: {name: adam, learning_rate: 0.01, schedule: cosine, warmup: 0.2}
fit: {batch_size: 512, epochs: 4, seed: 1}
""")

# %% language="bash"
# atelier-trainer train second.yaml
# atelier-client release

# %% language="bash"
# atelier-client history

# %% tags=["contract"]
with Client(os.environ["ATELIER_TARGET"], "fashion") as client:
    assert client.version_of("stable") == 2
    assert client.version_of("previous") == 1
    better = (client.predict(test_images, label="stable")["class_id"] == test_labels).mean()
assert better > accuracy + 0.01
assert better > 0.85

# %% [markdown]
# Going back is one step, without a gate, because both versions are loaded.

# %% language="bash"
# atelier-client rollback --reason "to see that it works"

# %% tags=["contract"]
with Client(os.environ["ATELIER_TARGET"], "fashion") as client:
    assert client.version_of("stable") == 1

# %%
console.terminate()
server.terminate()
console.wait(), server.wait()

# %% tags=["contract"]
assert server.returncode is not None

# %% [markdown]
# Next: [the same with film reviews](tutorial_text.py), [the same with a table](tutorial_table.py),
# [releases](releases.md) with gates, ramps and hooks, and [what to watch](observe.md).
