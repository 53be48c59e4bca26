// The people of a lab and their roles, and who did what. For owners.

import { append, h, replace, said } from "./dom.js";
import { button, doing, plain, when } from "./lab_parts.js";
import { act, look } from "./lab_server.js";
import { field, section, trouble } from "./parts.js";

const ROLES = ["reader", "runner", "reviewer", "owner"];
const MAY = { reader: "sees everything", runner: "also starts, stops and writes", reviewer: "also approves plans and reviews", owner: "also manages people" };
const SHOWN = 100;

function roles(value = "reader") {
  const select = h("select", {}, ROLES.map((role) => h("option", { value: role }, role)));
  select.value = value;
  return select;
}

/** A token that was just made: it is shown this once. */
function fresh(answer) {
  return h("div.problem", { role: "alert" }, h("p", {}, "The token of ", h("b", {}, said(answer.name)), ", shown this once:"), h("pre.code", { tabindex: "0" }, answer.token));
}

function table(people, does, secret) {
  return h("table", { "aria-label": "People" },
    h("thead", {}, h("tr", {}, ["Name", "Role", ""].map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, people.map((one) => {
      const select = roles(one.role);
      select.setAttribute("aria-label", `Role of ${one.name}`);
      select.addEventListener("change", () => does("set-role", { name: one.name, role: select.value }, `${one.name} is a ${select.value}`));
      return h("tr", {}, h("th", { scope: "row" }, said(one.name)), h("td", {}, select),
        h("td.does", {}, button("New token", () => secret("rotate-token", { name: one.name }), { "aria-label": `New token for ${one.name}` }), " ",
          button("Remove", () => does("remove-person", { name: one.name }, `${one.name} removed`), { "aria-label": `Remove ${one.name}` })));
    })));
}

function deedsTable(deeds) {
  if (!deeds.length) return h("p.none", {}, "Nothing was done yet.");
  return h("div.scroll", { tabindex: "0", role: "region", "aria-label": "Who did what" }, h("table", {},
    h("thead", {}, h("tr", {}, ["When", "Who", "What", "To", "Asked"].map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, deeds.map((one) => h("tr", {}, h("td", {}, when(one.at)), h("td", {}, said(one.person), " ", h("span.dim", {}, one.role)), h("td", {}, said(one.deed)), h("td", {}, said(one.subject)),
      h("td", {}, h("details", {}, h("summary", {}, "request"), plain(one.detail))))))));
}

/** A look at whether the lab's store is in order. Repairs are for the command line, beside a backup. */
function store(signal) {
  const place = h("div", { role: "status" });
  const press = button("Examine the store", async () => {
    replace(place, h("p.dim", {}, "Looking …"));
    try {
      const { findings } = await look("doctor", {}, signal);
      replace(place, findings.length ? h("ul", {}, findings.map((one) => h("li", {}, h("code", {}, said(one.where)), " ", said(one.what), h("p.reason", {}, said(one.remedy))))) : h("p", {}, "Nothing is wrong."));
    } catch (error) {
      if (error.name !== "AbortError") replace(place, trouble(error));
    }
  });
  return [h("p.buttons", {}, press), place];
}

/** A button that puts the deeds before these below them. */
function older(place, after, signal) {
  const more = button("Earlier deeds", async () => {
    const answer = await look("deeds", { after, limit: SHOWN }, signal);
    more.replaceWith(deedsTable(answer.deeds));
    if (answer.next !== null) place.append(older(place, answer.next, signal));
  });
  return more;
}

export async function show(page) {
  const { signal, who } = page;
  append(page.root, h("h1", {}, "People"));
  if (!who.may("own")) {
    append(page.root, h("p.none", {}, "This is for owners of the lab."));
    return "People";
  }
  const people = h("div");
  const deeds = h("div");
  const tokens = h("div");
  const draw = async () => {
    const [listed, done] = await Promise.all([look("people", {}, signal), look("deeds", { limit: SHOWN }, signal)]);
    replace(people, listed.people.length ? table(listed.people, does, secret) : h("p.none", {}, "There are no accounts: whoever has the token is the owner."));
    replace(deeds, deedsTable(done.deeds), done.next !== null && older(deeds, done.next, signal));
  };
  const { place, does } = doing(signal, draw);
  const secret = async (operation, request) => {
    try {
      const answer = await act(operation, request, signal);
      replace(tokens, fresh(answer));
      replace(place);
      await draw();
    } catch (error) {
      if (error.name !== "AbortError") replace(place, trouble(error));
    }
  };
  const name = h("input", { pattern: "[a-z0-9][a-z0-9._\\-]{0,99}", maxlength: "100", required: true, autocomplete: "off", spellcheck: "false" });
  const role = roles("runner");
  const submit = async (event) => {
    event.preventDefault();
    await secret("add-person", { name: name.value.trim(), role: role.value });
  };
  append(
    page.root,
    h("ul.roles", {}, ROLES.map((one) => h("li", {}, h("b", {}, one), ` ${MAY[one]}`))),
    place, tokens, section("Accounts", people, h("form.make", { on: { submit } }, field("Name", name), field("Role", role), h("button", {}, "Add"))),
    section("Store", store(signal)),
    section("Who did what", deeds));
  await draw();
  return "People";
}
