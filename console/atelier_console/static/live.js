// The page Live: asks the console for its figures again and again, and draws them.
const page = document.getElementById("live");
const texts = JSON.parse(document.body.dataset.texts);
const status = document.getElementById("status");
const model = encodeURIComponent(page.dataset.model);
const [WIDTH, HEIGHT] = [300, 56];
const SVG = "http://www.w3.org/2000/svg";

function tell(sentence, bad) {
  // Said once, not every two seconds: a screen reader reads each change.
  if (status.textContent === sentence) return;
  status.textContent = sentence;
  status.classList.toggle("bad", bad);
}

function draw(tile) {
  const box = document.querySelector(`[data-tile="${tile.key}"]`);
  const now = box.querySelector(".now");
  now.replaceChildren(...(tile.now.length ? tile.now : ["–"]).map((sentence) => Object.assign(document.createElement("span"), { textContent: sentence })));
  const picture = box.querySelector("svg");
  picture.setAttribute("aria-label", `${box.querySelector("h2").textContent}: ${tile.now.join(", ") || "–"}`);
  picture.replaceChildren(...tile.lines.map((line, index) => {
    const drawn = document.createElementNS(SVG, "polyline");
    drawn.setAttribute("class", `line-${(index % 2) + 1}`);
    drawn.setAttribute("points", line.points.map(([at, value]) => `${(at * WIDTH).toFixed(1)},${(HEIGHT - (HEIGHT * value) / (tile.top || 1)).toFixed(1)}`).join(" "));
    return drawn;
  }));
}

async function ask() {
  try {
    const answer = await fetch(`/api/models/${model}/live`);
    const found = await answer.json();
    if (!answer.ok) throw new Error(found.error);
    found.tiles.forEach(draw);
    tell(found.problem ?? texts.live_running, found.problem !== null);
    page.dataset.ready = "yes";
  } catch (error) {
    tell(texts.console_away.replace("{why}", error.message), true);
  }
  setTimeout(ask, 1000 * Number(page.dataset.interval));
}

ask();
