// Colours of drawings, as hexadecimal text, so that a canvas, an SVG and a GIF have the same.

const NAMES = { paper: "--paper", panel: "--panel", ink: "--ink", dim: "--dim", line: "--line", strong: "--strong-line", accent: "--accent", warn: "--warn" };

function part(linear) {
  const value = Math.min(1, Math.max(0, linear <= 0.0031308 ? 12.92 * linear : 1.055 * linear ** (1 / 2.4) - 0.055));
  return Math.round(value * 255).toString(16).padStart(2, "0");
}

/** Lightness, chroma and hue (degrees) of Oklab (Ottosson 2020) as `#rrggbb`; what no screen shows is cut off. */
export function oklch(lightness, chroma, hue) {
  const [a, b] = [chroma * Math.cos((hue * Math.PI) / 180), chroma * Math.sin((hue * Math.PI) / 180)];
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return `#${part(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s)}${part(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s)}${part(-0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s)}`;
}

/** The colour of a value's place among the others, 0 to 1: round the wheel where they come round, else blue to orange. */
export function valueColour(share, cyclic, dark) {
  const hue = cyclic ? 20 + 360 * share : 275 - 225 * share;
  return oklch(dark ? 0.76 : 0.6, 0.14, hue);
}

/** How colours are called, `#rrggbb` of each, from the page's style; `dark` says which scheme that is. */
export function palette(element = document.documentElement) {
  const style = getComputedStyle(element);
  const colours = Object.fromEntries(Object.entries(NAMES).map(([name, variable]) => [name, style.getPropertyValue(variable).trim()]));
  const [r, g, b] = [1, 3, 5].map((at) => parseInt(colours.paper.slice(at, at + 2), 16));
  return { ...colours, dark: r + g + b < 384 };
}

/** The colour of a mark: by name from the palette, as it is, or by a value's place. */
export function colourOf(colour, colours) {
  if (colour && typeof colour === "object") return valueColour(colour.share, colour.cyclic, colours.dark);
  return colours[colour] ?? colour ?? colours.ink;
}
