"use strict";
// Nodes and requests. What comes from a list is only ever set as text, never as markup, and never as an address.

const $ = (id) => document.getElementById(id);

/** A node; `options` sets properties, except `class`, `data` and attributes in `aria`. */
function el(name, options = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(options)) {
    if (value === undefined || value === null) continue;
    if (key === "class") node.className = value;
    else if (key === "aria") for (const [part, given] of Object.entries(value)) node.setAttribute("aria-" + part, String(given));
    else if (key === "on") for (const [event, act] of Object.entries(value)) node.addEventListener(event, act);
    else node[key] = value;
  }
  for (const child of children.flat()) if (child !== null && child !== undefined) node.append(child);
  return node;
}
const text = (value) => document.createTextNode(String(value));
const button = (label, act, kind = "", options = {}) =>
  el("button", { type: "button", class: "do " + kind, textContent: label, on: { click: act }, ...options });
const link = (label, route, current) =>
  el("a", { href: "#/" + route, aria: current ? { current: "page" } : {} }, label);
const empty = (words) => el("div", { class: "empty", textContent: words });
const card = (title, note, ...body) => el("section", { class: "card" },
  el("div", { class: "title" }, el("h2", { textContent: title }), note ? el("span", { class: "soft" }, note) : null), ...body);

/** A table of texts: heads are [text, class], cells are texts or nodes. */
function table(heads, rows, nothing) {
  if (rows.length === 0) return empty(nothing);
  const top = el("tr", {}, heads.map(([name, kind]) => el("th", { class: kind, scope: "col" }, name)));
  const body = rows.map((row) => el("tr", {}, row.map((cell, at) => {
    const shown = cell === null || cell === undefined ? "" : cell;
    return shown instanceof Node
      ? el("td", { class: heads[at][1] }, shown)
      : el("td", { class: heads[at][1], textContent: String(shown), title: String(shown) });
  })));
  return el("div", { class: "scroll" }, el("table", {}, el("thead", {}, top), el("tbody", {}, body)));
}

/** One control. The answer's JSON, or an error whose message is the simulator's own. */
async function call(method, path, body) {
  const options = { method, cache: "no-store", headers: {} };
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  const answer = await fetch("/_sim/" + path, options);
  const shown = answer.status === 204 ? null : await answer.json().catch(() => null);
  if (!answer.ok) throw new Error((shown && shown.error) || "the simulator answered " + answer.status);
  return shown;
}
const segment = encodeURIComponent;

let toastEnds = 0;
function toast(words) {
  $("toast").textContent = words;
  $("toast").classList.add("shown");
  clearTimeout(toastEnds);
  toastEnds = setTimeout(() => $("toast").classList.remove("shown"), 2500);
}
function trouble(words) {
  $("trouble").textContent = words || "";
  $("trouble").hidden = !words;
}
/** Does something for a person, tells how it went, and shows the new state. */
async function act(done, work) {
  try {
    await work();
    trouble("");
    toast(done);
  } catch (error) {
    trouble(error.message);
  }
  await refresh(true);
}

/** A modal form. `save` may throw; its message is shown beside the field it names, or at the top. */
function dialog(title, fields, label, save) {
  const refusal = el("div", { class: "refusal", hidden: true });
  refusal.setAttribute("role", "alert");
  const submit = el("button", { type: "submit", class: "do main", textContent: label });
  const box = el("dialog", { aria: { label: title } });
  const form = el("form", { noValidate: true },
    el("div", { class: "title" }, el("h2", { textContent: title })),
    el("div", { class: "fields" }, refusal, fields.map((field) => field.node)),
    el("div", { class: "foot" }, button("Cancel", () => box.close()), submit));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    submit.disabled = true;
    refusal.hidden = true;
    for (const field of fields) if (field.fail) field.fail("");
    try {
      await save();
      box.close();
      toast("Saved.");
      refresh(true);
    } catch (error) {
      const named = /Field '([^']+)'|column '([^']+)'|\[(.+)\]\.$/.exec(error.message);
      const name = named && (named[1] || named[2] || named[3]);
      const field = name && fields.find((one) => one.fail && [one.name, one.name + "LookupId", one.label].includes(name));
      if (field) field.fail(error.message);
      refusal.textContent = error.message;
      refusal.hidden = false;
      refusal.scrollIntoView({ block: "nearest" });
    }
    submit.disabled = false;
  });
  box.addEventListener("close", () => box.remove());
  box.append(form);
  document.body.append(box);
  box.showModal();
  const first = box.querySelector(".fields input, .fields select, .fields textarea");
  if (first) first.focus();
}
function confirmed(question, label, work) {
  dialog(question, [], label, work);
}

let labels = 0;
/** A labelled control with a place for its error. */
function labelled(name, label, hint, control, value, group) {
  const error = el("div", { class: "error" });
  let node;
  if (group) {
    node = el("fieldset", { class: "field" }, el("legend", {}, label + " ", el("small", { textContent: hint })), control, error);
  } else {
    control.id = "field" + ++labels;
    error.id = control.id + "e";
    control.setAttribute("aria-describedby", error.id);
    node = el("div", { class: "field" },
      el("label", { htmlFor: control.id }, label + " ", el("small", { textContent: hint })), control, error);
  }
  const fail = (words) => {
    error.textContent = words;
    if (words) control.setAttribute("aria-invalid", "true"); else control.removeAttribute("aria-invalid");
  };
  return { name, label, node, value, fail, control };
}
