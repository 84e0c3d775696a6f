// The page Try: gives what was drawn, typed or chosen to the console, and shows its answers.
import { Drawing } from "./drawing.js";
import { paint } from "./pixels.js";

const page = document.getElementById("try");
const texts = JSON.parse(document.body.dataset.texts);
const mostPicture = Number(document.body.dataset.mostPicture);
const status = document.getElementById("status");
const model = encodeURIComponent(page.dataset.model);
const find = (id) => document.getElementById(id);
const say = (key, values) => Object.entries(values ?? {}).reduce((text, [name, value]) => text.replace(`{${name}}`, value), texts[key]);

// While somebody draws or types, a question waits so long for the next change (milliseconds).
const PAUSE = 120;
let waiting = null;
let asked = 0;
let shown = 0;
let current = null;

function tell(sentence, bad = false) {
  status.textContent = sentence;
  status.classList.toggle("bad", bad);
}

function askSoon(input) {
  clearTimeout(waiting);
  waiting = setTimeout(() => ask(input()), PAUSE);
}

async function post(path, body) {
  let answer;
  try {
    answer = await fetch(`/api/models/${model}/${path}`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  } catch (error) {
    throw new Error(say("console_away", { why: error.message }));
  }
  const kind = answer.headers.get("content-type") ?? "";
  if (!kind.startsWith("application/json")) throw new Error(await answer.text());
  const found = await answer.json();
  if (!answer.ok) throw new Error(found.error);
  return found;
}

async function ask(input) {
  if (!input) return;
  // Answers may come back in another order than the questions went: an older one is not shown over a newer one.
  const number = ++asked;
  try {
    const found = await post("ask", input);
    if (number < shown) return;
    shown = number;
    current = input;
    show(found);
  } catch (error) {
    if (number >= shown) tell(error.message, true);
  }
}

function show(found) {
  const first = found.answers[0];
  tell([first.sentence ?? "", found.example_label ?? ""].filter(Boolean).join(". "));
  document.querySelectorAll("[data-answer]").forEach((card, index) => showAnswer(card, found.answers[index]));
  find("difference").textContent = found.difference;
  find("outputs").textContent = first.outputs;
  for (const line of document.querySelectorAll("[data-line]")) {
    const text = found.lines[line.dataset.line];
    line.querySelector("pre").textContent = text ?? "–";
    line.querySelector("button").disabled = text === null;
  }
  if (found.saw) showSeen(found.saw);
}

function showAnswer(card, answer) {
  if (!answer) return;
  card.querySelector(".who").textContent = answer.label ?? card.querySelector(".who").textContent;
  card.querySelector(".which").textContent = answer.which;
  const chosen = card.querySelector(".chosen");
  chosen.textContent = answer.error ?? answer.chosen ?? "–";
  chosen.title = chosen.textContent;
  card.querySelectorAll(".bars li").forEach((row, index) => {
    const [name, value, shown] = answer.top?.[index] ?? ["", null, ""];
    row.querySelector(".bar-name").textContent = name;
    row.querySelector(".bar-name").title = name;
    row.querySelector(".bar span").style.width = `${100 * (value ?? 0)}%`;
    row.querySelector(".bar-value").textContent = shown;
  });
  card.querySelector(".took").textContent = answer.latency ?? "";
}

function showSeen(saw) {
  const canvas = find("saw");
  paint(canvas, saw);
  canvas.setAttribute("aria-label", saw.label);
  find("save").disabled = false;
  find("steps").replaceChildren(...saw.steps.map((step) => Object.assign(document.createElement("li"), { textContent: step })));
}

function setUpPictures() {
  const drawing = new Drawing(find("canvas"), find("pen"), (key) => tell(texts[key]));
  const fill = () => ({ auto: null, yes: true, no: false })[find("fill").value];
  let file = null;
  const input = () => {
    const data = file ?? drawing.data();
    if (data === null) tell(texts.draw_first);
    return data === null ? null : { kind: "picture", data, fill: fill() };
  };
  drawing.changed = () => { file = null; askSoon(input); };
  find("undo").addEventListener("click", () => drawing.undo());
  find("clear").addEventListener("click", () => drawing.clear());
  find("fill").addEventListener("change", () => askSoon(input));
  const take = async (picked) => {
    if (!picked) return;
    if (picked.size > mostPicture) {
      tell(say("file_too_large", { size: Math.ceil(picked.size / 2 ** 20), most: mostPicture / 2 ** 20 }), true);
      return;
    }
    file = await base64(picked);
    await drawing.show(picked);
    tell(say("picture_taken", { name: picked.name }));
    askSoon(input);
  };
  find("file").addEventListener("change", (event) => take(event.target.files[0]));
  const canvas = find("canvas");
  canvas.addEventListener("dragover", (event) => { event.preventDefault(); canvas.classList.add("over"); });
  canvas.addEventListener("dragleave", () => canvas.classList.remove("over"));
  canvas.addEventListener("drop", (event) => { event.preventDefault(); canvas.classList.remove("over"); take(event.dataTransfer.files[0]); });
  document.addEventListener("paste", (event) => {
    const picked = [...event.clipboardData.files].find((item) => item.type.startsWith("image/"));
    if (picked) { event.preventDefault(); take(picked); }
  });
  find("save").addEventListener("click", () => find("saw").toBlob((blob) => {
    const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: "seen.png" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }));
}

function base64(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}

async function setUpExamples() {
  const list = find("examples");
  if (!list) return;
  let found;
  try {
    const answer = await fetch(`/api/models/${model}/examples`);
    found = await answer.json();
    if (!answer.ok) throw new Error(found.error);
  } catch (error) {
    list.replaceChildren(Object.assign(document.createElement("li"), { textContent: error.message }));
    return;
  }
  list.replaceChildren(...found.examples.map((example) => {
    const button = Object.assign(document.createElement("button"), { type: "button" });
    button.setAttribute("aria-label", example.name);
    button.setAttribute("aria-pressed", "false");
    if (example.picture) {
      const canvas = document.createElement("canvas");
      paint(canvas, example.picture);
      canvas.setAttribute("aria-hidden", "true");
      button.append(canvas);
    }
    const cells = example.row && Object.entries(example.row).map(([name, cell]) => `${name}: ${cell}`).join(", ");
    button.append(example.text?.slice(0, 200) ?? cells ?? example.label);
    button.addEventListener("click", () => {
      list.querySelectorAll("button").forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
      if (find("text")) find("text").value = example.text;
      for (const field of find("form")?.querySelectorAll("input") ?? []) field.value = example.row[field.name] ?? "";
      ask({ kind: "example", number: example.number });
    });
    return Object.assign(document.createElement("li"), {}).appendChild(button).parentElement;
  }));
}

function setUpForms() {
  find("text")?.addEventListener("input", () => askSoon(() => (find("text").value.trim() ? { kind: "text", text: find("text").value } : null)));
  const row = () => ({ kind: "row", values: Object.fromEntries([...find("form").querySelectorAll("input")].map((field) => [field.name, field.value])) });
  find("form")?.addEventListener("submit", (event) => { event.preventDefault(); ask(row()); });
  find("form")?.addEventListener("input", () => {
    if ([...find("form").querySelectorAll("input")].every((field) => field.value.trim())) askSoon(row);
  });
  const signature = find("signature");
  const begin = () => { find("json-text").value = signature.selectedOptions[0]?.dataset.example ?? ""; };
  signature.addEventListener("change", begin);
  begin();
  find("json").addEventListener("submit", (event) => {
    event.preventDefault();
    ask({ kind: "json", signature: signature.value, text: find("json-text").value });
  });
  for (const line of document.querySelectorAll("[data-line]")) {
    line.querySelector("button").addEventListener("click", async () => {
      await navigator.clipboard.writeText(line.querySelector("pre").textContent);
      tell(texts.copied);
    });
  }
}

function setUpFeedback() {
  const said = find("feedback-status");
  find("feedback")?.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!current) { said.textContent = texts.feedback_first; return; }
    if (current.kind === "json") { said.textContent = texts.feedback_none; return; }
    try {
      const predicted = document.querySelector("[data-answer='0'] .chosen").textContent;
      said.textContent = (await post("feedback", { input: current, label: find("right").value, predicted })).saved;
      said.classList.remove("bad");
    } catch (error) {
      said.textContent = error.message;
      said.classList.add("bad");
    }
  });
}

if (page.dataset.kind === "image") setUpPictures();
setUpForms();
setUpFeedback();
await setUpExamples();
page.dataset.ready = "yes";
