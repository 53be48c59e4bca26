// A story's drawing as a file: PNG, SVG, and GIF of the drawing that turns or of the story that is told.

import { h, replace } from "./dom.js";
import { gif } from "./gif.js";
import { trouble } from "./parts.js";
import { moved } from "./scene_math.js";
import { fileName, pngOf, saveFile } from "./save_file.js";

const TURNS = 48;
const SIZE = { width: 560, height: 420 };
const BETWEEN = 3;
const STORY = 90;
const PAUSE = 1600;

function* turning(view) {
  const at = view.player.at;
  for (let turn = 0; turn < TURNS; turn += 1) {
    yield { figure: view.figure(at), camera: moved(view.space.camera, (2 * Math.PI * turn) / TURNS, 0), delay: 80 };
  }
}

function* telling(view) {
  const last = view.scene.sentences.length - 1;
  // A long text is told in larger steps, so that its picture stays small.
  const frames = Math.min(BETWEEN * last, STORY);
  for (let frame = 0; frame < frames; frame += 1) {
    yield { figure: view.figure((last * frame) / frames), camera: view.space.camera, delay: Math.min(300, (1000 * last) / frames) };
  }
  yield { figure: view.figure(last), camera: view.space.camera, delay: PAUSE };
}

/** The frames of a drawing as bytes of a GIF; the page stays awake meanwhile, and `progress(share)` hears how far it is. */
export async function gifOf(space, steps, progress = () => {}) {
  const canvas = document.createElement("canvas");
  const list = [...steps];
  const frames = [];
  for (const { figure, camera, delay } of list) {
    space.picture({ figure, camera, size: SIZE, scale: 1, canvas });
    frames.push({ data: canvas.getContext("2d").getImageData(0, 0, SIZE.width, SIZE.height).data, ...SIZE, delay });
    progress(frames.length / list.length);
    await new Promise((resolve) => setTimeout(resolve));
  }
  return gif(frames);
}

/** Buttons that save the drawing of a story view; `more` are others that stand beside them. */
export function storyPictures(view, more = []) {
  const words = h("span.help", { role: "status" });
  const errors = h("div");
  const name = (ending) => fileName(view.scene.title, ending);
  const button = (title, work) => h("button.quiet", { type: "button", on: { click: (event) => run(event.currentTarget, work) } }, title);
  const run = async (pressed, work) => {
    pressed.disabled = true;
    replace(errors);
    try {
      await work();
    } catch (error) {
      if (error.name !== "AbortError") replace(errors, trouble(error));
    }
    pressed.disabled = false;
    words.textContent = "";
  };
  const animated = (steps, ending) => async () => {
    view.player.pause();
    const bytes = await gifOf(view.space, steps(view), (share) => (words.textContent = `${Math.round(100 * share)} % drawn`));
    saveFile(name(ending), bytes, "image/gif");
  };
  return h("div.save", {}, h("p.buttons", {}, h("span.dim", {}, "Save as"),
    button("PNG", async () => saveFile(name("png"), await pngOf(view.space.picture({ scale: 3 })))),
    button("SVG", () => saveFile(name("svg"), view.space.svg(), "image/svg+xml")),
    button("GIF, turning", animated(turning, "gif")),
    button("GIF, told", animated(telling, "gif")),
    more.map(([title, work]) => button(title, work)), words), errors);
}
