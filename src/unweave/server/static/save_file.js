// Files that the page makes and the browser keeps.

/** Saves `content`, a Blob, text or bytes, as a file of that name. */
export function saveFile(name, content, kind) {
  const blob = content instanceof Blob ? content : new Blob([content], { type: kind });
  const address = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  // The browser reads it after the click has returned.
  setTimeout(() => URL.revokeObjectURL(address), 30_000);
}

/** A text as a file's name: letters, digits and hyphens. */
export function fileName(text, ending) {
  const plain = String(text).normalize("NFKD").toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 80);
  return `${plain || "drawing"}.${ending}`;
}

/** A canvas as a PNG. */
export function pngOf(canvas) {
  return new Promise((resolve, reject) => canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("the browser made no picture"))), "image/png"));
}
