// Marks painted on a canvas, and written as SVG.

import { visibleText } from "./characters.js";
import { colourOf } from "./scene_colours.js";

const FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', sans-serif";

function trace(context, points) {
  context.beginPath();
  points.forEach(([x, y], at) => (at ? context.lineTo(x, y) : context.moveTo(x, y)));
}

const PAINT = {
  area(context, mark, colour) {
    trace(context, mark.points);
    context.closePath();
    context.fillStyle = colour;
    context.fill();
    context.globalAlpha = mark.edge;
    context.strokeStyle = colour;
    context.lineWidth = 0.7;
    context.stroke();
  },
  line(context, mark, colour) {
    trace(context, mark.points);
    context.strokeStyle = colour;
    context.lineWidth = mark.width;
    context.lineCap = mark.alpha < 1 || mark.dash ? "butt" : "round";
    context.setLineDash(mark.dash ?? []);
    context.stroke();
    context.setLineDash([]);
  },
  dot(context, mark, colour, colours) {
    context.beginPath();
    context.arc(mark.x, mark.y, mark.radius, 0, 2 * Math.PI);
    context.fillStyle = mark.hollow ? colours.paper : colour;
    context.fill();
    if (mark.hollow || mark.ring) {
      context.strokeStyle = mark.ring ? colourOf(mark.ring, colours) : colour;
      context.lineWidth = mark.ring ? 2 : 1.5;
      context.stroke();
    }
  },
  text(context, mark, colour, colours) {
    context.font = `${mark.size}px ${FONT}`;
    context.textAlign = mark.anchor;
    context.lineJoin = "round";
    context.strokeStyle = colours.paper;
    context.lineWidth = 3;
    context.strokeText(visibleText(mark.text), mark.x, mark.y);
    context.fillStyle = colour;
    context.fillText(visibleText(mark.text), mark.x, mark.y);
  },
};

/** Paints marks on a canvas of `width` by `height` at `scale` pixels for each of them, over the paper's colour. */
export function paint(canvas, marks, colours, { width, height, scale = 1 }) {
  const [wide, high] = [Math.round(width * scale), Math.round(height * scale)];
  // Setting a size clears a canvas, and makes it slow where it has that size already.
  if (canvas.width !== wide) canvas.width = wide;
  if (canvas.height !== high) canvas.height = high;
  const context = canvas.getContext("2d", { willReadFrequently: scale !== (globalThis.devicePixelRatio ?? 1) });
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.globalAlpha = 1;
  context.fillStyle = colours.paper;
  context.fillRect(0, 0, width, height);
  for (const mark of marks) {
    context.globalAlpha = mark.alpha ?? 1;
    PAINT[mark.shape](context, mark, colourOf(mark.colour, colours), colours);
  }
  context.globalAlpha = 1;
}

/** Text as XML has it: without the characters that it may not hold. */
export function escaped(text) {
  return visibleText(String(text))
    .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, "\ufffd")
    .replace(/[&<>"']/g, (one) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" })[one]);
}

const fixed = (value) => String(Number(value.toFixed(2)));
const path = (points) => points.map(([x, y], at) => `${at ? "L" : "M"}${fixed(x)} ${fixed(y)}`).join("");
const faint = (mark) => ((mark.alpha ?? 1) < 1 ? ` opacity="${fixed(mark.alpha)}"` : "");

const WRITE = {
  area: (mark, colour) => `<path d="${path(mark.points)}Z" fill="${colour}" fill-opacity="${fixed(mark.alpha)}" stroke="${colour}" stroke-opacity="${fixed(mark.edge)}" stroke-width="0.7"/>`,
  line: (mark, colour) => `<path d="${path(mark.points)}" fill="none" stroke="${colour}" stroke-width="${fixed(mark.width)}" stroke-linecap="${mark.alpha < 1 || mark.dash ? "butt" : "round"}"${mark.dash ? ` stroke-dasharray="${mark.dash.join(" ")}"` : ""}${faint(mark)}/>`,
  dot: (mark, colour, colours) => {
    const edge = mark.ring || mark.hollow ? ` stroke="${mark.ring ? colourOf(mark.ring, colours) : colour}" stroke-width="${mark.ring ? 2 : 1.5}"` : "";
    const name = mark.name ? `<title>${escaped(mark.name)}</title>` : "";
    return `<circle cx="${fixed(mark.x)}" cy="${fixed(mark.y)}" r="${fixed(mark.radius)}" fill="${mark.hollow ? colours.paper : colour}"${edge}${faint(mark)}>${name}</circle>`;
  },
  text: (mark, colour, colours) => `<text x="${fixed(mark.x)}" y="${fixed(mark.y)}" font-size="${mark.size}" text-anchor="${mark.anchor}" fill="${colour}" stroke="${colours.paper}" stroke-width="3" stroke-linejoin="round" paint-order="stroke">${escaped(mark.text)}</text>`,
};

/** The marks as an SVG file, with the same projection, and a title and a description for who does not see them. */
export function toSvg(marks, colours, { width, height }, title, description = "") {
  const body = marks.map((mark) => WRITE[mark.shape](mark, colourOf(mark.colour, colours), colours)).join("\n");
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" font-family="${FONT}">
<title>${escaped(title)}</title>
<desc>${escaped(description)}</desc>
<rect width="${width}" height="${height}" fill="${colours.paper}"/>
${body}
</svg>
`;
}
