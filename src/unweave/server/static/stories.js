// Stories as a run read them: one at a time, played, turned, saved; and a text of the reader's own, read live.

import { announce, append, h, replace, said } from "./dom.js";
import { count } from "./numbers.js";
import { field, trouble } from "./parts.js";
import { fileName, saveFile } from "./save_file.js";
import { ask, newest } from "./server.js";
import { remember } from "./route.js";
import { playerKeys } from "./story_keys.js";
import { storyPictures } from "./story_pictures.js";
import { StoryShelf } from "./story_shelf.js";
import { StoryView } from "./story_view.js";

const LONGEST = 6000;

function choice(name, values, value, changed) {
  if (values.length < 2) return null;
  const select = h("select", { on: { change: () => changed(select.value) } }, values.map((one) => h("option", { value: one }, String(one))));
  select.value = String(value);
  return field(name, select, values.every((one) => String(one).length < 6) ? "short" : "");
}

/** A form that has a text read by the run's target; `read(scene)` hears the answer. */
function own(overview, wanted, signal, read) {
  if (!overview.reading.available) return h("p.help", {}, "A text of your own cannot be read here: ", said(overview.reading.reason));
  const text = h("textarea", { rows: "5", maxlength: String(LONGEST), placeholder: "A few sentences. The model reads them and says after each what is felt." });
  const who = h("input", { type: "text", maxlength: "60", placeholder: "found in the text", autocomplete: "off" });
  const words = h("span.help", { role: "status" });
  const errors = h("div");
  const press = h("button", { type: "submit" }, "Read it");
  const asked = newest(0, signal);
  const submit = (event) => {
    event.preventDefault();
    if (!text.value.trim()) return;
    replace(errors);
    press.disabled = true;
    words.textContent = "The model reads …";
    const done = () => ((press.disabled = false), (words.textContent = ""));
    asked(async (stop) => {
      read((await ask(overview.id, "stories-read", { text: text.value, protagonist: who.value.trim() || null, ...wanted() }, stop)).scene);
      done();
    }, (error) => (done(), replace(errors, trouble(error))));
  };
  return h("details.own-text", {}, h("summary", {}, "Read a text of your own"),
    h("form", { on: { submit } }, field("Text", text, "wide"), h("p.buttons", {}, field("Whose feelings, by name", who), press, words)), errors);
}

export async function show(page) {
  const { overview, route, signal } = page;
  const wanted = {
    layer: overview.layers.includes(Number(route.query.layer)) ? Number(route.query.layer) : overview.layers[0],
    readout: overview.readouts.includes(route.query.readout) ? route.query.readout : overview.readouts[0],
  };
  let scenes = (await ask(overview.id, "stories-scenes", wanted, signal)).scenes;
  let typed = null;
  const errors = h("div");
  const shelf = new StoryShelf({ stories: scenes.scenes, choice: route.query, changed: (chosen) => {
    typed = null;
    remember({ ...chosen, at: "" });
    draw();
  } });
  const view = new StoryView({ signal, other: (id) => shelf.choose(id), moved: (at) => !typed && remember({ at: at || "" }) });
  const draw = (at = 0) => {
    const scene = typed ?? scenes.scenes.find((one) => one.id === shelf.choice.story);
    if (scene) view.show(scenes, scene, { at, ghosts: shelf.passes });
    if (scene) announce(`${scene.title}, ${count(scene.sentences.length)} sentences`);
  };
  const asked = newest(0, signal);
  const again = (changes) => {
    Object.assign(wanted, changes);
    remember({ layer: wanted.layer === overview.layers[0] ? "" : wanted.layer, readout: wanted.readout === overview.readouts[0] ? "" : wanted.readout });
    asked(async (stop) => {
      scenes = (await ask(overview.id, "stories-scenes", wanted, stop)).scenes;
      // What was typed was read at another depth, or in another way.
      typed = null;
      replace(errors);
      draw(view.player.reached);
    }, (error) => replace(errors, trouble(error)));
  };
  const file = async () => {
    const stories = scenes.scenes.filter(shelf.passes).map((one) => one.id);
    const answer = await ask(overview.id, "stories-file", { stories, ...wanted }, signal);
    saveFile(fileName(overview.title, "html"), answer.html, "text/html");
  };
  append(page.root,
    h("h1", {}, "Stories in ", said(overview.target)),
    h("p.lead", {}, `${count(overview.stories)} stories, ${count(overview.sentences)} sentences. After each sentence the model's state is a point, and what it takes the story's person to feel is read from it.`),
    h("div.shelf-row", {}, shelf.root, h("div.filters", {},
      choice("Depth", overview.layers, wanted.layer, (layer) => again({ layer: Number(layer) })),
      choice("Read by", overview.readouts, wanted.readout, (readout) => again({ readout })))),
    errors,
    view.root,
    storyPictures(view, [["HTML, these stories", file]]),
    own(overview, () => wanted, signal, (scene) => {
      typed = scene;
      draw();
      view.root.scrollIntoView({ block: "start" });
    }),
    scenes.note && h("details", {}, h("summary", {}, "How the stories were read"), h("p.help", {}, said(scenes.note))));
  playerKeys(view.player, signal);
  const at = Number(route.query.at);
  draw(Number.isInteger(at) && at > 0 ? at : 0);
  return "Stories";
}
