// Editors by the type of a column. Each has `node`, `value()` (undefined: unchanged) and `fail(words)`.

const KINDS = ["text", "number", "currency", "boolean", "dateTime", "choice", "lookup", "personOrGroup", "calculated", "geolocation"];
const kindOf = (column) => KINDS.find((kind) => column[kind]) || "";
function kindLabel(column) {
  const kind = kindOf(column), facet = column[kind] || {};
  if (kind === "text") return facet.textType === "richText" ? "rich text" : facet.allowMultipleLines ? "multi-line text" : "text";
  if (kind === "boolean") return "yes/no";
  if (kind === "dateTime") return facet.format === "dateOnly" ? "date" : "date and time";
  if (kind === "choice") return facet.displayAs === "checkBoxes" ? "multi-choice" : "choice";
  if (kind === "lookup") return facet.allowMultipleValues ? "lookup, several" : "lookup";
  if (kind === "personOrGroup") return facet.allowMultipleSelection ? "people" : "person";
  return kind || "not shown by Graph";
}
const NEVER = ["ContentType", "Attachments", "Edit", "ID"];
const editable = (column) => (!column.builtIn || column.name === "Title") && !column.readOnly &&
  !NEVER.includes(column.name) && !["", "calculated", "geolocation"].includes(kindOf(column));
const isLookup = (column) => ["lookup", "personOrGroup"].includes(kindOf(column));

/** The text of a cell in the grid. */
function cellText(column, item, zone) {
  const value = item.fields[column.name];
  if (value === undefined || value === null) return "";
  if (isLookup(column)) return (item.shown[column.name] || []).join(", ");
  if (column.dateTime) return shownDate(value, column.dateTime.format === "dateOnly", zone);
  if (column.boolean) return value ? "Yes" : "No";
  return Array.isArray(value) ? value.join(", ") : String(value);
}

const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);
/** A value for a write: nothing where it did not change. */
const changed = (before, after) => (same(before, after) ? undefined : after);

function plainField(column, control, hint, before, read) {
  return labelled(column.name, column.displayName, hint, control, () => {
    const after = read(control.value);
    return changed(before, after);
  });
}
function selectOf(options, chosen) {
  return el("select", {}, options.map(([value, label]) => el("option", { value, textContent: label, selected: value === chosen })));
}
function boxes(options, chosen, several, group) {
  return options.map(([value, label]) => el("label", {}, el("input", { type: several ? "checkbox" : "radio", name: group, value,
    checked: chosen.includes(value) }), text(" " + label)));
}

function field(list, column, item, zone) {
  const before = item ? item.fields[column.name] : undefined;
  const was = before === undefined ? null : before;
  const kind = kindOf(column), facet = column[kind];
  const hint = kindLabel(column) + (column.hidden ? ", hidden" : "") + (column.required ? ", required" : "");
  if (kind === "text") {
    const control = facet.allowMultipleLines ? el("textarea", { value: was || "" })
      : el("input", { type: "text", value: was || "" });
    return plainField(column, control, facet.maxLength ? hint + ", at most " + facet.maxLength : hint, was, (given) => given === "" && was === null ? null : given === "" ? null : given);
  }
  if (kind === "number" || kind === "currency") {
    const control = el("input", { type: "text", inputMode: "decimal", value: was === null ? "" : String(was) });
    return plainField(column, control, hint, was, (given) => {
      if (given.trim() === "") return null;
      const number = Number(given.trim());
      if (!Number.isFinite(number)) throw new Error("Field '" + column.name + "': write a number, such as 12.5");
      return number;
    });
  }
  if (kind === "boolean") {
    const control = selectOf([["", "no value"], ["true", "Yes"], ["false", "No"]], was === null ? "" : String(was));
    return plainField(column, control, hint, was, (given) => (given === "" ? null : given === "true"));
  }
  if (kind === "dateTime") {
    const dateOnly = facet.format === "dateOnly";
    const clock = was === null ? "" : wall(new Date(was), zone).slice(0, dateOnly ? 10 : 19);
    const control = el("input", { type: dateOnly ? "date" : "datetime-local", value: clock });
    if (!dateOnly) control.step = "1";
    return labelled(column.name, column.displayName, hint + ", " + zone, control, () => {
      if (control.validity.badInput) throw new Error("Field '" + column.name + "': the date is not complete");
      const given = control.value;
      if (given === clock || (given.length === 16 && given + ":00" === clock)) return undefined;
      return given === "" ? null : dateOnly ? given : instant(given, zone);
    });
  }
  if (kind === "choice" && facet.displayAs === "checkBoxes") {
    const chosen = was || [];
    const known = [...new Set([...facet.choices, ...chosen])];
    const control = el("div", { class: "options" }, boxes(known.map((one) => [one, one]), chosen, true, column.name));
    return labelled(column.name, column.displayName, hint, control, () => {
      const after = [...control.querySelectorAll("input:checked")].map((one) => one.value);
      return changed(chosen, after);
    }, true);
  }
  if (kind === "choice") {
    let control;
    if (facet.allowTextEntry) {
      const id = "choices" + ++labels;
      control = el("input", { type: "text", value: was || "" });
      control.setAttribute("list", id);
      document.body.append(el("datalist", { id }, facet.choices.map((one) => el("option", { value: one }))));
    } else {
      const known = was !== null && !facet.choices.includes(was) ? [was, ...facet.choices] : facet.choices;
      control = selectOf([["", "no value"], ...known.map((one) => [one, one])], was || "");
    }
    return plainField(column, control, hint, was, (given) => (given === "" ? null : given));
  }
  return pickField(list, column, item, hint, was);
}

/** People and lookups: what is chosen comes first, then what the search finds. */
function pickField(list, column, item, hint, was) {
  const several = Array.isArray(was) || Boolean(column.lookup ? column.lookup.allowMultipleValues : column.personOrGroup.allowMultipleSelection);
  const before = was === null ? [] : [].concat(was);
  const names = new Map(before.map((id, at) => [id, ((item && item.shown[column.name]) || [])[at] || "#" + id]));
  let chosen = [...before];
  const search = el("input", { type: "search", placeholder: "Search", aria: { label: "Search " + column.displayName } });
  const options = el("div", { class: "options" });
  const group = "pick" + ++labels;
  let asked = 0;
  async function fill() {
    const turn = ++asked;
    const path = "lists/" + list.id + "/columns/" + segment(column.name) + "/targets?limit=30&search=" + segment(search.value);
    let found = [];
    try { found = (await call("GET", path)).targets; } catch (error) { options.replaceChildren(el("div", { class: "error", textContent: error.message })); return; }
    if (turn !== asked) return;
    for (const one of found) names.set(one.id, one.text || "#" + one.id);
    const ids = [...new Set([...chosen, ...found.map((one) => one.id)])];
    const rows = boxes(ids.map((id) => [String(id), names.get(id)]), chosen.map(String), several, group);
    if (!several) rows.unshift(...boxes([["", "no value"]], chosen.length ? [] : [""], false, group));
    options.replaceChildren(...(rows.length ? rows : [el("div", { class: "soft", textContent: "Nothing found." })]));
  }
  search.addEventListener("input", fill);
  options.addEventListener("change", () => {
    chosen = [...options.querySelectorAll("input:checked")].filter((one) => one.value !== "").map((one) => Number(one.value));
  });
  fill();
  const made = labelled(column.name, column.displayName, hint, el("div", {}, search, options), () => {
    if (same(before, chosen)) return undefined;
    return several ? chosen : chosen.length ? chosen[0] : null;
  }, true);
  made.several = several;
  return made;
}

/** What a write sends: only what changed, spelled as Graph wants it. */
function written(columns, fields) {
  const body = {};
  for (const made of fields) {
    const value = made.value();
    if (value === undefined) continue;
    const column = columns.find((one) => one.name === made.name);
    const key = isLookup(column) ? column.name + "LookupId" : column.name;
    if (Array.isArray(value)) body[key + "@odata.type"] = isLookup(column) ? "Collection(Edm.Int32)" : "Collection(Edm.String)";
    body[key] = value;
  }
  return body;
}
