// Elements built from data. Strings become text nodes only, so nothing that a model or a file supplies is ever markup.

import { visible, visibleText } from "./characters.js";

const SVG = "http://www.w3.org/2000/svg";

function fill(element, properties, children) {
  for (const [key, value] of Object.entries(properties ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (key === "on") {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    } else if (key === "vars") {
      for (const [name, number] of Object.entries(value)) element.style.setProperty(name, number);
    } else if (key === "href") {
      if (!/^[/#?](?!\/)/.test(value)) throw new Error(`a link must stay on this page's own server: ${value}`);
      element.setAttribute("href", value);
    } else if (key === "value" || key === "checked") {
      element[key] = value;
    } else if (/^on|^style$|^srcdoc$|^src$/i.test(key)) {
      throw new Error(`${key} is not an attribute that data may set`);
    } else {
      element.setAttribute(key, value === true ? "" : value);
    }
  }
  append(element, children);
  return element;
}

/** Adds children to an element; lists are taken apart, and nothing, null and false are left out. */
export function append(element, ...children) {
  for (const child of children.flat(Infinity)) {
    if (child === undefined || child === null || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

/** An HTML element: `h("a.quiet", {href}, "text", child)`. */
export function h(tag, properties, ...children) {
  const [name, ...classes] = tag.split(".");
  const element = document.createElement(name || "div");
  if (classes.length) element.className = classes.join(" ");
  return fill(element, properties, children);
}

/** An SVG element. */
export function s(tag, properties, ...children) {
  const [name, ...classes] = tag.split(".");
  const element = document.createElementNS(SVG, name);
  if (classes.length) element.setAttribute("class", classes.join(" "));
  return fill(element, properties, children);
}

/** Text from a model or a file: isolated in its own direction, with control and bidi characters as visible marks. */
export function said(text, className = "") {
  const parts = visible(String(text ?? "")).map((part) =>
    part.mark ? h("span.mark", { title: part.title }, part.text) : part.text,
  );
  return h(className ? `bdi.said.${className}` : "bdi.said", { dir: "auto" }, parts);
}

/** An SVG from a file as an image: scripts, links and outside files do nothing in one. */
export function picture(svg, description) {
  const image = h("img.picture", { alt: visibleText(description), decoding: "async" });
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`;
  return image;
}

const shown = new WeakMap();

/** Fills `element` with what `draw(data)` gives, unless it shows these data already. */
export function settle(element, data, draw) {
  const now = JSON.stringify(data);
  if (shown.get(element) === now) return element;
  shown.set(element, now);
  return replace(element, draw(data));
}

const lines = new WeakMap();

/**
 * Shows one child of `element` for each of `list`, known by `key(item)`: those that stay are updated where they are, so
 * that what has the focus keeps it. `make(item)` gives `{root, update(item)}`.
 */
export function keyed(element, list, key, make) {
  const before = lines.get(element) ?? new Map();
  const now = new Map(list.map((item) => [key(item), before.get(key(item)) ?? make(item)]));
  for (const [name, line] of before) if (!now.has(name)) line.root.remove();
  lines.set(element, now);
  list.forEach((item, at) => {
    const line = now.get(key(item));
    line.update(item);
    if (element.children[at] !== line.root) element.insertBefore(line.root, element.children[at] ?? null);
  });
  return element;
}

export function replace(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

/** Says something to a screen reader without moving anything. */
export function announce(text) {
  document.getElementById("status").textContent = text;
}
