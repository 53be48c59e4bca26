// Stories in a file of their own: the page's player over the scenes that the file holds, with no server and no network.

import { append, h, said } from "./dom.js";
import { playerKeys } from "./story_keys.js";
import { storyPictures } from "./story_pictures.js";
import { StoryShelf } from "./story_shelf.js";
import { StoryView } from "./story_view.js";
import { schemeButton } from "./schemes.js";

const scenes = JSON.parse(document.getElementById("scenes").textContent);
const { signal } = new AbortController();
const fragment = decodeURIComponent(window.location.hash.slice(1));
const shelf = new StoryShelf({ stories: scenes.scenes, choice: { story: fragment }, changed: () => show() });
const view = new StoryView({ signal, other: (id) => scenes.scenes.some((one) => one.id === id) && shelf.choose(id) });

function show() {
  const scene = scenes.scenes.find((one) => one.id === shelf.choice.story);
  if (scene) view.show(scenes, scene, { ghosts: shelf.passes });
}

append(document.getElementById("content"), h("div.view", {},
  h("h1", {}, "Stories in ", said(scenes.target)),
  h("p.lead", {}, `Depth ${scenes.layer}; read by `, said(scenes.readout), "."),
  scenes.scenes.length > 1 && shelf.root, view.root, storyPictures(view), scenes.note && h("details", {}, h("summary", {}, "How the stories were read"), h("p.help", {}, said(scenes.note)))));
schemeButton(document.getElementById("scheme"));
playerKeys(view.player, signal);
show();
