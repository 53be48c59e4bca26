// Which story is told and which others are seen behind it: by arc, topic and kind.

import { h, replace } from "./dom.js";
import { field } from "./parts.js";
import { visibleText } from "./characters.js";

const FILTERS = ["arc", "topic", "kind"];
const NONE = "none";

const valueOf = (story, name) => story[name] || NONE;

/** `changed(choice)` hears `{story, arc, topic, kind}`, where an empty filter is all. */
export class StoryShelf {
  constructor({ stories, choice, changed }) {
    this.stories = stories;
    this.changed = changed;
    this.choice = { story: choice.story ?? "" };
    const known = (name) => [...new Set(stories.map((one) => valueOf(one, name)))];
    this.filters = FILTERS.filter((name) => known(name).length > 1).map((name) => {
      const select = h("select", { on: { change: () => this.narrow(name, select.value) } }, h("option", { value: "" }, "all"), known(name).map((value) => h("option", { value }, visibleText(value))));
      select.value = known(name).includes(choice[name]) ? choice[name] : "";
      this.choice[name] = select.value;
      return { name, select };
    });
    this.select = h("select", { "data-first-field": true, on: { change: () => this.choose(this.select.value) } });
    this.root = h("form.filters.shelf", { on: { submit: (event) => event.preventDefault() } },
      field("Story", this.select, "wide"), this.filters.map(({ name, select }) => field(name.charAt(0).toUpperCase() + name.slice(1), select)));
    this.fill();
  }

  /** Whether a story, or a ghost, passes the filters. */
  passes = (story) => FILTERS.every((name) => !this.choice[name] || valueOf(story, name) === this.choice[name]);

  /** Fills the list, and moves to its first story where the present one is not in it. */
  fill() {
    const list = this.stories.filter(this.passes);
    replace(this.select, list.map((one) => h("option", { value: one.id }, visibleText(one.title))));
    if (!list.some((one) => one.id === this.choice.story)) this.choice.story = list[0]?.id ?? "";
    this.select.value = this.choice.story;
    this.select.disabled = !list.length;
  }

  narrow(name, value) {
    this.choice[name] = value;
    this.fill();
    this.changed(this.choice);
  }

  choose(id) {
    this.choice.story = id;
    if (!this.stories.some((one) => one.id === id && this.passes(one))) {
      for (const { name, select } of this.filters) this.choice[name] = select.value = "";
    }
    this.fill();
    this.changed(this.choice);
  }
}
