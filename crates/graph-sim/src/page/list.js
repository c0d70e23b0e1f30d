// One list: its items as a grid, its columns, its recycle bin, its settings.

const PAGE = 50;
let showHidden = false;

const listRoute = (list, tab, options = {}) => {
  const pairs = Object.entries(options).filter(([, value]) => value).map(([key, value]) => key + "=" + segment(value));
  return "list/" + list.id + (tab ? "/" + tab : "") + (pairs.length ? "?" + pairs.join("&") : "");
};
function listHead(list, tab) {
  return [
    el("div", { class: "bar" }, el("h1", { textContent: list.displayName }),
      list.contentApproval ? el("span", { class: "tag warn", textContent: "asks for approval" }) : null,
      el("span", { class: "soft", textContent: list.description }),
      el("span", { class: "push" }),
      button("List settings", () => listSettings(list)),
      button("Delete list", () => confirmed("Delete the list “" + list.displayName + "”?", "Delete", async () => {
        await call("DELETE", "lists/" + list.id);
        location.hash = "#/bin";
      }), "danger")),
    el("div", { class: "tabs" }, link("Items", listRoute(list), tab === ""), link("Columns", listRoute(list, "columns"), tab === "columns"),
      link("Recycle bin (" + list.recycled + ")", listRoute(list, "bin"), tab === "bin")),
  ];
}
function listSettings(list) {
  const name = labelled("displayName", "Name", "", el("input", { type: "text", value: list.displayName }), () => 0);
  const words = labelled("description", "Description", "", el("input", { type: "text", value: list.description }), () => 0);
  const approval = labelled("contentApproval", "Approval", "what is written waits for a person",
    selectOf([["false", "not asked for"], ["true", "asked for"]], String(list.contentApproval)), () => 0);
  dialog("Settings of the list", [name, words, approval], "Save", () => call("PATCH", "lists/" + list.id, {
    displayName: name.control.value, description: words.control.value, contentApproval: approval.control.value === "true" }));
}

async function itemsView(list, options) {
  const sort = options.sort || "id", descending = options.desc === "1", page = Math.max(1, Number(options.page) || 1);
  const offset = (page - 1) * PAGE;
  const path = "lists/" + list.id + "/items?limit=" + PAGE + "&offset=" + offset +
    (sort === "id" && !descending ? "" : "&orderby=" + segment(sort) + (descending ? "&descending=true" : ""));
  const [data, defined] = await Promise.all([call("GET", path), call("GET", "lists/" + list.id + "/columns")]);
  const own = defined.columns.filter((column) => column.name === "Title" || !column.builtIn);
  const columns = own.filter((column) => showHidden || !column.hidden);
  const last = Math.max(1, Math.ceil(data.count / PAGE));
  const zone = state.timeZone;
  const head = (name, label, note, kind) => {
    const current = sort === name;
    const order = current ? (descending ? "descending" : "ascending") : "none";
    const go = () => { location.hash = "#/" + listRoute(list, "", { sort: name, desc: current && !descending ? "1" : "" }); };
    return el("th", { class: kind, scope: "col", aria: { sort: order } },
      el("button", { type: "button", on: { click: go }, title: "Sort" }, label + (current ? (descending ? " ▾" : " ▴") : "")),
      el("small", { textContent: note || " " }));
  };
  const numeric = (column) => (column.number || column.currency ? "number" : "");
  const heads = el("tr", {}, head("id", "ID", "", "number"),
    columns.map((column) => head(column.name, column.displayName, kindLabel(column) + (column.hidden ? ", hidden" : ""), numeric(column))),
    head("Modified", "Modified", zone), el("th", { scope: "col" }, "By"), head("counter", "Writes", "", "number"), el("th", { scope: "col" }, "Marks"),
    el("th", { class: "acts", scope: "col", aria: { label: "Actions" } }));
  const rows = data.items.map((item) => el("tr", {},
    el("td", { class: "number", textContent: item.id }),
    columns.map((column) => { const shown = cellText(column, item, zone); return el("td", { class: numeric(column), textContent: shown, title: shown }); }),
    el("td", { textContent: shownDate(item.modified, false, zone) }), el("td", { textContent: item.editorName }),
    el("td", { class: "number", textContent: item.counter }), el("td", {}, marks(list, item)),
    el("td", { class: "acts" },
      button("Edit", () => editItem(list, own, item), "", { ariaLabel: "Edit item " + item.id }),
      button("More", () => moreActs(list, item), "", { ariaLabel: "More for item " + item.id }),
      button("Delete", () => act("Item " + item.id + " is in the recycle bin.", () => call("DELETE", "lists/" + list.id + "/items/" + item.id)), "danger", { ariaLabel: "Delete item " + item.id }))));
  const go = (to) => { location.hash = "#/" + listRoute(list, "", { sort: sort === "id" ? "" : sort, desc: descending ? "1" : "", page: to > 1 ? String(to) : "" }); };
  const shown = data.count === 0 ? "No items" : data.items.length === 0 ? "No items on this page (" + data.count + " in all)"
    : "Items " + (offset + 1) + " to " + (offset + data.items.length) + " of " + data.count.toLocaleString("en");
  const toggle = el("input", { type: "checkbox", checked: showHidden, on: { change: (event) => { showHidden = event.target.checked; refresh(true); } } });
  return [...listHead(list, ""),
    el("div", { class: "bar" }, button("Add item", () => editItem(list, own, null), "main"),
      el("label", { class: "check" }, toggle, text("Show hidden columns")),
      el("span", { class: "push soft", textContent: shown }),
      button("First", () => go(1), "", { disabled: page <= 1 }), button("Previous", () => go(page - 1), "", { disabled: page <= 1 }),
      button("Next", () => go(page + 1), "", { disabled: page >= last }), button("Last", () => go(last), "", { disabled: page >= last })),
    el("div", { class: "card grid" }, rows.length
      ? el("div", { class: "scroll" }, el("table", {}, el("thead", {}, heads), el("tbody", {}, rows)))
      : empty(data.count ? "There is nothing on this page." : "The list is empty. Add an item, or let a program write one."))];
}
function marks(list, item) {
  const tags = [];
  if (list.contentApproval && item.approval !== "approved") tags.push(el("span", { class: "tag warn", textContent: item.approval }));
  if (item.hidden) tags.push(el("span", { class: "tag bad", textContent: "hidden from apps" }));
  if (item.attachments) tags.push(el("span", { class: "tag", textContent: "attachment" }));
  return tags;
}
function editItem(list, columns, item) {
  const fields = columns.filter((column) => editable(column)).map((column) => field(list, column, item, state.timeZone));
  const person = labelled("", "Acts as person", "lookup id, 1 to 100", el("input", { type: "text", inputMode: "numeric", value: "12" }), () => undefined);
  dialog(item ? "Edit item " + item.id : "Add an item", [...fields, person], "Save", () => {
    const body = { fields: written(columns, fields), person: Number(person.control.value) };
    return call("POST", "lists/" + list.id + "/items" + (item ? "/" + item.id : ""), body);
  });
}
/** Approval, permissions of the item, attachments, earlier versions. */
async function moreActs(list, item) {
  const box = el("dialog", { aria: { label: "Item " + item.id } });
  const verb = (label, name, done) => button(label, () => { box.close(); act(done, () => call("POST", "lists/" + list.id + "/items/" + item.id + "/" + name)); });
  const verbs = [];
  if (list.contentApproval) {
    if (item.approval !== "approved") verbs.push(verb("Approve", "approve", "Approved."));
    if (item.approval !== "rejected") verbs.push(verb("Reject", "reject", "Rejected."));
    if (item.approval !== "pending") verbs.push(verb("Take approval back", "unapprove", "Waits for approval."));
  }
  verbs.push(item.hidden ? verb("Show to apps", "show", "Visible to apps.") : verb("Hide from apps", "hide", "Hidden from apps."));
  verbs.push(item.attachments ? verb("Detach the file", "detach", "Detached.") : verb("Attach a file", "attach", "Attached."));
  let versions = [];
  try { versions = (await call("GET", "lists/" + list.id + "/items/" + item.id)).versions; } catch (error) { trouble(error.message); return; }
  const rows = versions.map((one) => [one.version, shownDate(one.modified, false, state.timeZone), one.editorName, JSON.stringify(one.fields)]);
  box.append(el("div", { class: "title" }, el("h2", { textContent: "Item " + item.id })),
    el("div", { class: "fields" }, el("div", { class: "bar" }, verbs), el("p", { class: "soft" }, el("code", { textContent: "eTag " + item.etag })),
      el("h2", { textContent: "Earlier versions" }), table([["version", ""], ["modified", ""], ["by", ""], ["values", ""]], rows, "None are kept.")),
    el("div", { class: "foot" }, button("Close", () => box.close())));
  box.addEventListener("close", () => box.remove());
  document.body.append(box);
  box.showModal();
}

async function columnsView(list) {
  const { columns } = await call("GET", "lists/" + list.id + "/columns");
  const path = (column) => "lists/" + list.id + "/columns/" + segment(column.name);
  const own = columns.filter((column) => !column.builtIn || column.name === "Title");
  const rows = [...own, ...columns.filter((column) => !own.includes(column))].map((column) => {
    const flags = [["hidden", column.hidden], ["read-only", column.readOnly], ["indexed", column.indexed], ["unique", column.enforceUniqueValues], ["required", column.required], ["built in", column.builtIn]];
    const acts = column.builtIn && column.name !== "Title" ? "" : el("span", { class: "acts" },
      button("Change", () => changeColumn(list, column), "", { ariaLabel: "Change " + column.displayName }),
      button(column.hidden ? "Show" : "Hide", () => act(column.hidden ? "Shown." : "Hidden.", () => call("PATCH", path(column), { hidden: !column.hidden }))),
      column.builtIn ? null : button("Delete", () => confirmed("Delete the column “" + column.displayName + "” with its values?", "Delete", () => call("DELETE", path(column))), "danger"));
    return [column.displayName, column.name, kindLabel(column), el("span", {}, flags.filter(([, on]) => on).map(([name]) => el("span", { class: "tag", textContent: name }))), acts];
  });
  return [...listHead(list, "columns"), el("div", { class: "bar" }, button("Add column", () => addColumn(list), "main")),
    el("div", { class: "card" }, table([["Name", ""], ["Internal name", ""], ["Type", ""], ["Marks", ""], ["", "acts"]], rows, "No columns."))];
}
const choicesOf = (control) => control.value.split("\n").map((one) => one.trim()).filter((one) => one !== "");
function changeColumn(list, column) {
  const name = labelled(column.name, "Name", "", el("input", { type: "text", value: column.displayName }), () => 0);
  const fields = [name];
  const choices = column.choice && labelled("choices", "Choices", "one a line", el("textarea", { value: column.choice.choices.join("\n") }), () => 0);
  if (choices) fields.push(choices);
  dialog("Change the column " + column.name, fields, "Save", () => {
    const body = { displayName: name.control.value };
    if (choices) body.choice = { choices: choicesOf(choices.control) };
    return call("PATCH", "lists/" + list.id + "/columns/" + segment(column.name), body);
  });
}
const TYPES = {
  "text": ["text", () => ({ text: {} })], "lines": ["multi-line text", () => ({ text: { allowMultipleLines: true } })],
  "number": ["number", () => ({ number: {} })], "boolean": ["yes/no", () => ({ boolean: {} })],
  "date": ["date", () => ({ dateTime: { format: "dateOnly" } })], "time": ["date and time", () => ({ dateTime: {} })],
  "choice": ["choice", (choices) => ({ choice: { choices } })], "choices": ["multi-choice", (choices) => ({ choice: { choices, displayAs: "checkBoxes" } })],
  "person": ["person", () => ({ personOrGroup: {} })], "people": ["people", () => ({ personOrGroup: { allowMultipleSelection: true } })],
  "lookup": ["lookup", (_, listId) => ({ lookup: { listId, columnName: "Title" } })],
  "lookups": ["lookup, several", (_, listId) => ({ lookup: { listId, columnName: "Title", allowMultipleValues: true } })],
};
function addColumn(list) {
  const name = labelled("displayName", "Name", "", el("input", { type: "text" }), () => 0);
  const type = labelled("type", "Type", "", selectOf(Object.entries(TYPES).map(([key, [label]]) => [key, label]), "text"), () => 0);
  const choices = labelled("choices", "Choices", "one a line", el("textarea", {}), () => 0);
  const site = state.sites.find((one) => one.lists.some((other) => other.id === list.id));
  const target = labelled("listId", "Looks up", "a list of the same site", selectOf(site.lists.map((one) => [one.id, one.displayName]), list.id), () => 0);
  const fit = () => { const kind = type.control.value; choices.node.hidden = !kind.startsWith("choice"); target.node.hidden = !kind.startsWith("lookup"); };
  type.control.addEventListener("change", fit);
  fit();
  dialog("Add a column", [name, type, choices, target], "Add", () => {
    const facet = TYPES[type.control.value][1](choicesOf(choices.control), target.control.value);
    return call("POST", "lists/" + list.id + "/columns", { displayName: name.control.value, ...facet });
  });
}

async function listBinView(list) {
  const { items } = await call("GET", "lists/" + list.id + "/recycle-bin");
  const path = (item) => "lists/" + list.id + "/recycle-bin/" + item.id;
  const rows = items.map((item) => [item.id, item.fields.Title, shownDate(item.deleted, false, state.timeZone), item.deletedBy, el("span", { class: "acts" },
    button("Restore", () => act("Item " + item.id + " is back.", () => call("POST", path(item) + "/restore")), "", { ariaLabel: "Restore item " + item.id }),
    button("Delete for good", () => confirmed("Delete item " + item.id + " for good?", "Delete", () => call("DELETE", path(item))), "danger"))]);
  return [...listHead(list, "bin"), el("div", { class: "card" },
    table([["ID", "number"], ["Title", ""], ["Deleted", ""], ["By", ""], ["", "acts"]], rows, "The recycle bin of this list is empty."))];
}
