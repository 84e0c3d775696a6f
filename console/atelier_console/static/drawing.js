// The drawing area: black lines on white, by mouse, finger, pen or keyboard.
const STEP = 10;
const ARROWS = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };

export class Drawing {
  // `tell` is called with the key of a sentence. `changed` is called after each change.
  constructor(canvas, width, tell) {
    this.canvas = canvas;
    this.width = width;
    this.tell = tell;
    this.changed = () => {};
    this.context = canvas.getContext("2d", { willReadFrequently: true });
    this.before = [];
    this.empty = true;
    this.last = null;
    this.cursor = { x: canvas.width / 2, y: canvas.height / 2, down: false };
    this.wipe();
    canvas.addEventListener("pointerdown", (event) => this.begin(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => { this.last = null; });
    canvas.addEventListener("keydown", (event) => this.key(event));
  }

  wipe() {
    this.context.fillStyle = "#fff";
    this.context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    this.empty = true;
  }

  keep() {
    this.before.push([this.context.getImageData(0, 0, this.canvas.width, this.canvas.height), this.empty]);
    if (this.before.length > 30) this.before.shift();
  }

  point(event) {
    const box = this.canvas.getBoundingClientRect();
    return { x: ((event.clientX - box.left) * this.canvas.width) / box.width, y: ((event.clientY - box.top) * this.canvas.height) / box.height };
  }

  begin(event) {
    if (event.button !== 0) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.keep();
    this.last = this.point(event);
    this.line(this.last, this.last);
  }

  move(event) {
    if (this.last === null) return;
    for (const part of event.getCoalescedEvents?.().length ? event.getCoalescedEvents() : [event]) {
      const next = this.point(part);
      this.line(this.last, next);
      this.last = next;
    }
  }

  line(from, to) {
    Object.assign(this.context, { strokeStyle: "#000", lineCap: "round", lineJoin: "round", lineWidth: Number(this.width.value) });
    this.context.beginPath();
    this.context.moveTo(from.x, from.y);
    this.context.lineTo(to.x, to.y);
    this.context.stroke();
    this.empty = false;
    this.changed();
  }

  key(event) {
    if (event.key === " ") {
      event.preventDefault();
      this.cursor.down = !this.cursor.down;
      this.tell(this.cursor.down ? "pen_down" : "pen_up");
      if (this.cursor.down) { this.keep(); this.line(this.cursor, this.cursor); }
    } else if (ARROWS[event.key]) {
      event.preventDefault();
      const [x, y] = ARROWS[event.key];
      const next = { ...this.cursor, x: Math.min(this.canvas.width, Math.max(0, this.cursor.x + x)), y: Math.min(this.canvas.height, Math.max(0, this.cursor.y + y)) };
      if (this.cursor.down) this.line(this.cursor, next);
      this.cursor = next;
    }
  }

  undo() {
    const [image, empty] = this.before.pop() ?? [];
    if (!image) return;
    this.context.putImageData(image, 0, 0);
    this.empty = empty;
    this.changed();
  }

  clear() {
    this.keep();
    this.wipe();
    this.changed();
  }

  // Shows a picture from a file, as large as it fits; what cannot be decoded is left to the console to name.
  async show(file) {
    this.keep();
    this.wipe();
    try {
      const image = await createImageBitmap(file);
      const scale = Math.min(this.canvas.width / image.width, this.canvas.height / image.height);
      const [width, height] = [image.width * scale, image.height * scale];
      this.context.drawImage(image, (this.canvas.width - width) / 2, (this.canvas.height - height) / 2, width, height);
      this.empty = false;
    } catch {
      this.empty = true;
    }
  }

  // The PNG's bytes in base64; null when nothing is drawn.
  data() {
    return this.empty ? null : this.canvas.toDataURL("image/png").split(",")[1];
  }
}
