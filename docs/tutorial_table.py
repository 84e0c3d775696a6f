# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # From a table of your own to a released model
#
# You have a CSV. This tutorial makes one as offices have them: semicolons, decimal commas, a category,
# cells without a value. Read it with your own file in its place: only the job's `data` changes. [The first
# tutorial](tutorial.py) explains each step at more length.

# %% [markdown]
# ## Set up
#
# As in the first tutorial: an environment with the commands, an empty folder.

# %%
import atexit
import json
import os
import socket
import subprocess
from pathlib import Path

import numpy as np
from atelier_client import Client
from IPython.display import Image

# %% tags=["contract"]
assert subprocess.run(["atelier-trainer", "--help"], capture_output=True).returncode == 0

# %% [markdown]
# ## Prepare the data
#
# Which parcels come back? Weight, price, country and the days they took; some days are not known. How the
# answer depends on them is drawn at random below, so nobody can be right always: whoever knew the rule
# would be right in `best` of the cases.

# %%
random = np.random.default_rng(0)
count = 3000
weight, price = random.gamma(2, 1.5, count), random.gamma(3, 20, count)
days = random.integers(1, 15, count)
country = random.choice(["AT", "DE", "FR", "IT"], count)
score = 0.55 * (days - 6) + 0.03 * (price - 60) + np.where(country == "FR", 1.5, -0.5)
returned = random.random(count) < 1 / (1 + np.exp(-score))
best = np.mean((score > 0) == returned)


def decimal(number):
    return f"{number:.2f}".replace(".", ",")


lines = ["id;weight;price;days;country;returned"]
for row in range(count):
    known = "" if random.random() < 0.05 else days[row]
    lines.append(
        f"{row};{decimal(weight[row])};{decimal(price[row])};{known};{country[row]};{'yes' if returned[row] else 'no'}"
    )
Path("parcels.csv").write_text("\n".join(lines) + "\n")
print("\n".join(lines[:4]), best, sep="\n")

# %% tags=["contract"]
assert len(Path("parcels.csv").read_text().splitlines()) == count + 1
assert 0.8 < best < 0.95

# %% [markdown]
# ## Build the model
#
# The job says how the file is written and what its columns are; what is not named is a number. `test` may
# name a test file, else a fifth of the rows is set aside.

# %%
Path("parcels.yaml").write_text("""
name: parcels
model: parcels
data:
  csv: parcels.csv
  label: returned
  separator: ";"
  decimal: ","
  missing: [""]
  columns: {id: ignore, country: category}
network: {hidden: [16]}
optimizer: {name: adam, learning_rate: 0.01}
fit: {batch_size: 64, epochs: 15, seed: 1, validation_split: 0.2}
""")

# %% language="bash"
# atelier-trainer data show parcels.yaml

# %% tags=["contract"]
assert Path("parcels.yaml").exists()

# %% [markdown]
# ## Train
#
# Before anything is trained the table is checked: cells that are no number, columns that tell the label,
# classes that are rare.

# %% language="bash"
# atelier-trainer train parcels.yaml

# %%
Image("runs/parcels/1/history.png")

# %%
card = json.loads(Path("models/parcels/1/assets.extra/model_card.json").read_text())
card["metrics"]["test"]["accuracy"], card["input"]["kinds"]

# %% tags=["contract"]
assert best - 0.08 < card["metrics"]["test"]["accuracy"] < best + 0.05
assert card["input"]["kinds"] == {
    "weight": "number",
    "price": "number",
    "days": "number",
    "country": "category",
}

# %% [markdown]
# ## Overfitting and underfitting
#
# 3,000 rows with four columns are soon learnt by heart by a network of 100,000 weights; a single unit after
# one hundred steps has not seen enough.

# %%
job = Path("parcels.yaml").read_text()
for name, hidden, epochs in (("large", "[256, 256]", 40), ("brief", "[1]", 2)):
    changed = job.replace("name: parcels", f"name: {name}", 1).replace("[16]", hidden)
    Path(f"{name}.yaml").write_text(changed.replace("epochs: 15", f"epochs: {epochs}"))
Path("study.yaml").write_text("jobs: [large.yaml, brief.yaml, parcels.yaml]\n")

# %% tags=["contract"]
assert Path("large.yaml").read_text() != Path("brief.yaml").read_text()

# %% language="bash"
# atelier-trainer study study.yaml > study.json 2> study.log
# grep -v ^epoch study.log

# %%
Image("reports/compare-study.png")

# %% tags=["contract"]
verdicts = {
    item["run"].split("/")[0]: item for item in json.loads(Path("reports/compare-study.json").read_text())
}
assert verdicts["large"]["gap"] > verdicts["parcels"]["gap"]
assert verdicts["brief"]["val_loss"] > verdicts["parcels"]["val_loss"]
assert not verdicts["brief"]["best"]

# %% [markdown]
# ## Evaluate
#
# The card's metrics are those of the exported model, read back from its folder before it was published.
# `atelier-trainer evaluate models/parcels/1` measures them again at any time.

# %%
card["metrics"]["test"]

# %% tags=["contract"]
assert card["metrics"]["test"]["examples"] == 600
assert 0 < card["metrics"]["test"]["loss"] < 0.7

# %% [markdown]
# ## Save and restore

# %% language="bash"
# atelier-trainer save parcels --format keras --to parcels.keras
# atelier-trainer restore --from parcels.keras --evaluate > restored.json

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
# atelier-client metadata

# %% tags=["contract"]
assert server.poll() is None

# %% [markdown]
# ## Ask
#
# The served model has one input a column. A missing number is NaN.

# %%
with Client(os.environ["ATELIER_TARGET"], "parcels") as client:
    prediction = client.predict(
        {"weight": [1.2, 3.0], "price": [20.0, 140.0], "days": [2, np.nan], "country": ["DE", "FR"]}
    )
prediction["label"], prediction["probabilities"].round(3)

# %% tags=["contract"]
assert prediction["label"].tolist() == [b"no", b"yes"]

# %% [markdown]
# Files are asked and measured as they are: the card knows their separator and their decimal sign. `--slice
# country` measures each country by itself.

# %% language="bash"
# atelier-client evaluate --slice country
# atelier-client predict parcels.csv --rows 0:3

# %% tags=["contract"]
report = json.loads(Path("reports/evaluation.json").read_text())
assert abs(report["metrics"]["accuracy"] - card["metrics"]["test"]["accuracy"]) < 0.005

# %% [markdown]
# ## Release

# %% language="bash"
# atelier-client release
# atelier-client history

# %% tags=["contract"]
with Client(os.environ["ATELIER_TARGET"], "parcels") as client:
    assert client.version_of("stable") == 1

# %%
server.terminate()
server.wait()

# %% tags=["contract"]
assert server.returncode is not None
