// Paints a picture of the console (bytes row by row, in base64) on a canvas of its size.
export function paint(canvas, { width, height, channels, bytes }) {
  canvas.width = width;
  canvas.height = height;
  const raw = atob(bytes);
  const image = new ImageData(width, height);
  for (let point = 0; point < width * height; point++) {
    for (let part = 0; part < 3; part++) image.data[4 * point + part] = raw.charCodeAt(point * channels + (channels < 3 ? 0 : part));
    image.data[4 * point + 3] = channels === 4 ? raw.charCodeAt(4 * point + 3) : 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}
