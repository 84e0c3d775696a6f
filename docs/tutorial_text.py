# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # From texts to a released model: film reviews
#
# You train classifiers of film reviews (IMDB: is the writer content?), see which overfits, serve one, and
# ask it about sentences of your own. [The first tutorial](tutorial.py) explains each step at more length;
# here is what is different with texts.

# %% [markdown]
# ## Set up
#
# As in the first tutorial: an environment with the commands, an empty folder.

# %%
import atexit
import csv
import json
import os
import random
import socket
import subprocess
from pathlib import Path

from atelier_client import Client
from IPython.display import Image

# %% tags=["contract"]
assert subprocess.run(["atelier-trainer", "--help"], capture_output=True).returncode == 0

# %% [markdown]
# ## Prepare the data
#
# The trainer fetches the archive (`ATELIER_IMDB` names a copy) and writes two files of 25,000 reviews:
# `label,text`.

# %% language="bash"
# atelier-trainer data fetch imdb

# %% tags=["contract"]
assert Path("data/imdb/train.csv").stat().st_size > 10_000_000

# %% [markdown]
# This tutorial takes 4,000 reviews to learn from and 1,500 to test with, so that each training takes
# seconds. `data: imdb` in a job takes all of them.


# %%
def take(split, count):
    """Write `count` reviews of the split, drawn at random, with names for the classes."""
    names = {"0": "negative", "1": "positive"}
    with open(f"data/imdb/{split}.csv", newline="", encoding="utf-8") as source:
        drawn = random.Random(0).sample(list(csv.DictReader(source)), count)
    with open(f"{split}.csv", "w", newline="", encoding="utf-8") as target:
        rows = csv.writer(target)
        rows.writerow(["opinion", "review"])
        rows.writerows([names[row["label"]], row["text"]] for row in drawn)


take("train", 4000)
take("test", 1500)
with open("train.csv", newline="", encoding="utf-8") as file:
    print(next(csv.DictReader(file))["review"][:200])

# %% tags=["contract"]
with open("test.csv", newline="", encoding="utf-8") as file:
    opinions = [row["opinion"] for row in csv.DictReader(file)]
assert len(opinions) == 1500
assert 0.4 < opinions.count("positive") / 1500 < 0.6

# %% [markdown]
# ## Build the model
#
# The text itself goes into the model: words are looked up in the served graph. Without an `embedding` a
# review is the set of its words.

# %%
Path("reviews.yaml").write_text("""
name: reviews
model: reviews
data: {csv: train.csv, text: review, label: opinion, test: test.csv}
network: {hidden: [16], vocabulary: 5000, l2: 0.001, dropout: 0.3}
fit: {batch_size: 128, epochs: 6, seed: 1, validation_split: 0.2}
""")

# %% tags=["contract"]
assert Path("reviews.yaml").exists()

# %% [markdown]
# ## Train

# %% language="bash"
# atelier-trainer train reviews.yaml

# %%
Image("runs/reviews/1/history.png")

# %%
card = json.loads(Path("models/reviews/1/assets.extra/model_card.json").read_text())
card["metrics"]["test"]["accuracy"], card["class_names"], card["input"]["text"]

# %% tags=["contract"]
assert 0.78 < card["metrics"]["test"]["accuracy"] < 0.92
assert card["class_names"] == ["negative", "positive"]
assert card["input"]["text"] == "review"

# %% [markdown]
# ## Overfitting and underfitting
#
# A multi-hot vector of thousands of words has a weight for each of them: a network learns 4,000 reviews by
# heart within a few epochs. The study sets the same network without penalties beside it, and one of mean
# word vectors that has not had enough epochs.

# %%
networks = {
    "plain": "hidden: [16, 16], vocabulary: 5000",
    "vectors": "hidden: [16], vocabulary: 5000, embedding: 16",
}
for name, network in networks.items():
    Path(f"{name}.yaml").write_text(f"""
name: {name}
model: reviews
data: {{csv: train.csv, text: review, label: opinion, test: test.csv}}
network: {{{network}}}
fit: {{batch_size: 128, epochs: 12, seed: 1, validation_split: 0.2}}
""")
Path("study.yaml").write_text("jobs: [plain.yaml, vectors.yaml]\n")

# %% tags=["contract"]
assert Path("plain.yaml").exists()

# %% language="bash"
# atelier-trainer study study.yaml > study.json 2> study.log
# grep -v ^epoch study.log

# %%
Image("reports/compare-study.png")

# %% tags=["contract"]
verdicts = {
    item["run"].split("/")[0]: item for item in json.loads(Path("reports/compare-study.json").read_text())
}
assert verdicts["plain"]["overfits_from"] is not None
assert verdicts["plain"]["gap"] > verdicts["vectors"]["gap"]

# %% [markdown]
# ## Evaluate
#
# The card's metrics are those of the exported model, read back from its folder before it was published.
# `atelier-trainer evaluate models/reviews/1` measures them again at any time.

# %%
card["metrics"]["test"]

# %% tags=["contract"]
assert card["metrics"]["test"]["examples"] == 1500
assert 0 < card["metrics"]["test"]["loss"] < 0.7

# %% [markdown]
# ## Save and restore
#
# The vocabulary is saved beside the weights: what is restored answers texts, not vectors.

# %% language="bash"
# atelier-trainer save reviews --format weights --to reviews.weights.h5
# atelier-trainer restore --from reviews.weights.h5 --evaluate > restored.json

# %%
restored = json.loads(Path("restored.json").read_text())
restored["equal"]

# %% tags=["contract"]
assert restored["equal"]

# %% [markdown]
# ## Serve


# %%
def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


port = free_port()
command = [
    "atelier-serving",
    f"--port={port}",
    "--model_config_file=models/models.config",
    "--model_config_file_poll_wait_seconds=1",
    "--allow_version_labels_for_unavailable_models=true",
]
with open("serving.log", "w") as log:
    server = subprocess.Popen(command, stdout=log, stderr=log)
atexit.register(server.terminate)
os.environ["ATELIER_TARGET"] = f"127.0.0.1:{port}"
os.environ["ATELIER_WHO"] = "me"

# %% language="bash"
# atelier-client status --wait 180

# %% tags=["contract"]
assert server.poll() is None

# %% [markdown]
# ## Ask

# %%
sentences = [
    "A wonderful, moving film with brilliant performances. I loved every minute of it.",
    "The worst film I have ever seen: boring, badly acted, a complete waste of time.",
]
with Client(os.environ["ATELIER_TARGET"], "reviews") as client:
    prediction = client.predict(sentences)
prediction["label"], prediction["probabilities"].max(axis=1).round(3)

# %% tags=["contract"]
assert prediction["label"].tolist() == [b"positive", b"negative"]

# %% [markdown]
# From a shell, and measured on the test reviews:

# %% language="bash"
# atelier-client predict --text "Not bad at all."
# atelier-client evaluate

# %% tags=["contract"]
report = json.loads(Path("reports/evaluation.json").read_text())
assert abs(report["metrics"]["accuracy"] - card["metrics"]["test"]["accuracy"]) < 0.002

# %% [markdown]
# ## Release
#
# The first version becomes stable at once. The gate asks each later one to be better beyond chance; with
# 1,500 reviews a small gain is not.

# %% language="bash"
# atelier-client release
# atelier-client history

# %% tags=["contract"]
with Client(os.environ["ATELIER_TARGET"], "reviews") as client:
    assert client.version_of("stable") == 1

# %%
server.terminate()
server.wait()

# %% tags=["contract"]
assert server.returncode is not None
