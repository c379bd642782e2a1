/** A chart on a canvas: lines, or areas that are stacked, over the last minutes. Knows nothing of the console. */

/** Pixels that the labels of the two axes take. */
const LEFT = 44;
const BOTTOM = 22;
/** Above the highest line. */
const TOP = 8;

/** A round step for at most `count` lines up to `max`: 1, 2 or 5 times a power of ten. @param {number} max @param {number} count */
function step(max, count) {
  const rough = max / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  return power * ([1, 2, 5].find((factor) => factor * power >= rough) ?? 10);
}

/** Seconds at a place of the chart. @param {HTMLCanvasElement} canvas @param {number} x @param {Admin.Plot} plot */
export const secondsAt = (canvas, x, { from, to }) => from + ((x - LEFT) / (canvas.clientWidth - LEFT)) * (to - from);

/** @param {HTMLCanvasElement} canvas @param {Admin.Plot} plot */
export function draw(canvas, { times, values, colors, from, to, isStacked, pointed, label, ink, line }) {
  const { clientWidth: width, clientHeight: height } = canvas;
  const context = canvas.getContext("2d");
  if (!context || !width) return;
  const scale = devicePixelRatio;
  if (canvas.width !== Math.round(width * scale)) canvas.width = Math.round(width * scale);
  if (canvas.height !== Math.round(height * scale)) canvas.height = Math.round(height * scale);
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);

  /** The upper edge of each line: stacked, its value and those below it. @type {(number | null)[][]} */
  const edges = [];
  for (const row of values) {
    const below = isStacked ? edges.at(-1) : undefined;
    edges.push(row.map((value, at) => (value === null ? null : value + (below?.[at] ?? 0))));
  }
  const max = Math.max(0, ...edges.flat().map((value) => value ?? 0)) * 1.1 || 1;
  /** @param {number} at */
  const x = (at) => LEFT + ((at - from) / (to - from)) * (width - LEFT);
  /** @param {number} value */
  const y = (value) => TOP + (1 - value / max) * (height - TOP - BOTTOM);

  context.font = "12px system-ui, sans-serif";
  context.fillStyle = ink;
  context.strokeStyle = line;
  context.lineWidth = 1;
  context.textAlign = "right";
  context.textBaseline = "middle";
  const every = step(max, 4);
  for (let value = 0; value <= max; value += every) {
    const at = Math.round(y(value)) + 0.5;
    context.beginPath();
    context.moveTo(LEFT, at);
    context.lineTo(width, at);
    context.stroke();
    context.fillText(label(value), LEFT - 6, at);
  }
  context.textAlign = "center";
  for (let at = Math.ceil(from / 60) * 60; at < to; at += 60) {
    const place = x(at);
    if (place > LEFT + 18 && place < width - 18)
      context.fillText(new Date(at * 1000).toTimeString().slice(0, 5), place, height - BOTTOM / 2);
  }

  context.save();
  context.beginPath();
  context.rect(LEFT, 0, width - LEFT, height);
  context.clip();
  // The topmost area first, the others over it.
  for (const [index, edge] of [...edges.entries()].reverse()) {
    context.strokeStyle = context.fillStyle = colors[index] ?? ink;
    context.lineWidth = 2;
    for (const run of runs(times, edge)) {
      context.beginPath();
      for (const [at, value] of run) context.lineTo(x(at), y(value));
      if (isStacked) {
        context.lineTo(x(run.at(-1)?.[0] ?? 0), y(0));
        context.lineTo(x(run[0]?.[0] ?? 0), y(0));
        context.fill();
      } else {
        context.stroke();
      }
    }
  }
  if (pointed !== null) {
    context.fillStyle = ink;
    context.fillRect(x(times[pointed] ?? from), 0, 1, height - BOTTOM);
  }
  context.restore();
}

/**
 * The points of a line, in runs: a second without figures is a gap.
 * @param {number[]} times
 * @param {(number | null)[]} edge
 */
function runs(times, edge) {
  /** @type {[at: number, value: number][][]} */
  const all = [];
  /** @type {[at: number, value: number][] | null} */
  let run = null;
  for (const [index, value] of edge.entries()) {
    if (value === null) {
      run = null;
      continue;
    }
    if (!run) {
      run = [];
      all.push(run);
    }
    run.push([times[index] ?? 0, value]);
  }
  return all;
}
