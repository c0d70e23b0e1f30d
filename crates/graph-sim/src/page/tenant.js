// The tenant as a whole: overview, deleted lists, what was spent, requests, faults.

async function overview() {
  const cards = state.sites.map((site) => card(site.name, site.webUrl,
    table([["List", ""], ["Items", "number"], ["Columns", "number"], ["Marks", ""], ["Recycle bin", "number"]],
      site.lists.map((list) => [link(list.displayName, listRoute(list)), list.items.toLocaleString("en"), list.columns.length,
        el("span", {}, list.contentApproval ? el("span", { class: "tag warn", textContent: "approval" }) : null), list.recycled]),
      "No lists yet. Add one, or let a program make it.")));
  const roles = ["none", "read", "write", "manage", "fullcontrol"].map((role) => [role, role]);
  const permissions = await call("GET", "permissions");
  const clients = state.clients.map((client) => {
    const pick = selectOf(roles, client.role);
    pick.setAttribute("aria-label", "Role of " + client.id);
    pick.addEventListener("change", () => act("Role changed.", () => call("PUT", "permissions",
      { ...permissions, clients: { ...permissions.clients, [client.id]: pick.value } })));
    return [client.id, pick];
  });
  return [el("div", { class: "bar" }, el("h1", { textContent: "Sites and lists" }), el("span", { class: "push" }), button("Add list", addList, "main")),
    ...cards, card("Applications", "fullcontrol also sees and approves what waits for approval, and items hidden from apps",
      table([["Application", ""], ["Role", ""]], clients, "No application is known."))];
}
function addList() {
  const name = labelled("displayName", "Name", "", el("input", { type: "text" }), () => 0);
  const site = labelled("site", "Site", "", selectOf(state.sites.map((one) => [one.id, one.name]), state.sites[state.sites.length - 1].id), () => 0);
  dialog("Add a list", [name, site], "Add", () => call("POST", "lists", { displayName: name.control.value, site: site.control.value }));
}

async function binView() {
  const { lists } = await call("GET", "recycle-bin");
  const rows = lists.map((list) => [list.displayName, list.site, list.items, shownDate(list.deleted, false, state.timeZone), list.deletedBy, el("span", { class: "acts" },
    button("Restore", () => act("The list is back.", () => call("POST", "recycle-bin/" + list.id + "/restore"))),
    button("Restore older", () => restoreOlder(list)),
    button("Delete for good", () => confirmed("Delete the list “" + list.displayName + "” for good?", "Delete", () => call("DELETE", "recycle-bin/" + list.id)), "danger"))]);
  return [el("div", { class: "bar" }, el("h1", { textContent: "Recycle bin" })), el("div", { class: "card" },
    table([["List", ""], ["Site", ""], ["Items", "number"], ["Deleted", ""], ["By", ""], ["", "acts"]], rows, "No list was deleted. Deleted items are in the recycle bin of their list."))];
}
function restoreOlder(list) {
  const back = labelled("writesBack", "Writes to go back", "counters, and values where versions were kept", el("input", { type: "text", inputMode: "numeric", value: "1" }), () => 0);
  dialog("Restore “" + list.displayName + "” as from a backup", [back], "Restore", () =>
    call("POST", "recycle-bin/" + list.id + "/restore", { writesBack: Number(back.control.value) }));
}

function window_(name, one) {
  const share = one.limit ? one.spent / one.limit : 0;
  const meter = el("meter", { min: 0, max: one.limit, low: one.limit * 0.8, high: one.limit * 0.95, optimum: 0, value: Math.min(one.spent, one.limit), aria: { label: name } });
  return [name, meter, one.spent.toLocaleString("en") + " of " + one.limit.toLocaleString("en"), Math.round(share * 100) + " %", one.resetSeconds + " s"];
}
async function usageView() {
  const [ru, quotas] = await Promise.all([call("GET", "ru"), call("GET", "quotas")]);
  const figure = (label, value, kind) => el("div", {}, el("b", { class: kind || "", textContent: Number(value).toLocaleString("en") }), el("span", { class: "soft", textContent: label }));
  const writes = ru.item_writes;
  const windows = [window_("tenant, 5 minutes", quotas.tenant)];
  for (const [client, both] of Object.entries(quotas.clients)) windows.push(window_(client + ", minute", both.minute), window_(client + ", day", both.day));
  const names = Object.keys(ru.clients), tags = Object.keys(ru.by_tag);
  const count = (number) => number.toLocaleString("en");
  const sums = (map) => Object.entries(map).map(([name, sum]) => [name, count(sum.requests), count(sum.ru)]);
  const byClient = tags.map((tag) => [tag, ...names.map((name) => { const sum = ru.clients[name].by_tag[tag]; return count(sum ? sum.ru : 0); }), count(ru.by_tag[tag].requests), count(ru.by_tag[tag].ru)]);
  return [el("div", { class: "bar" }, el("h1", { textContent: "Usage" }), el("span", { class: "push" }),
      button("Count anew", () => act("Counters are at zero.", () => call("POST", "ru/reset")))),
    card("Sums", "", el("div", { class: "body figures" }, figure("resource units", ru.ru), figure("requests", ru.requests), figure("throttled", ru.throttled, ru.throttled ? "bad" : ""),
      figure("items created", writes.creates), figure("changed", writes.patches), figure("deleted", writes.deletes))),
    card("Quotas", (quotas.enforced ? "enforced" : "counted, not enforced") + ", " + quotas.model + " windows",
      table([["window", ""], ["", ""], ["units", "number"], ["share", "number"], ["as new in", "number"]], windows, "Nothing spent yet.")),
    card("Resource units by why-tag and application", "", table([["why", ""], ...names.map((name) => [name, "number"]), ["requests", "number"], ["RU", "number"]], byClient, "Nothing spent yet.")),
    card("By kind of request", "", table([["kind", ""], ["requests", "number"], ["RU", "number"]], sums(ru.by_kind), "Nothing spent yet."))];
}

async function requestsView() {
  const { requests } = await call("GET", "requests?limit=200");
  const rows = requests.map((one) => [one.time.slice(11, 23), one.method, one.path,
    el("span", { class: one.status >= 400 || !one.status ? "bad" : "good", textContent: one.status || "lost" }), one.kind, one.tag, one.ru, one.client, one.batch ? "batch" : "", one.fault]);
  return [el("div", { class: "bar" }, el("h1", { textContent: "Requests" }), el("span", { class: "soft", textContent: "the last " + requests.length + ", newest first; without bodies and values" })),
    el("div", { class: "card" }, table([["Time (UTC)", ""], ["Method", ""], ["Path", ""], ["Status", "number"], ["Kind", ""], ["Why", ""], ["RU", "number"], ["Application", ""], ["In", ""], ["Fault", ""]], rows, "No requests yet."))];
}

const FAULTS = { lost_answer: "takes effect, the answer is lost", lost_before: "cut before it takes effect", server_error: "a 5xx answer", throttle: "429 with or without Retry-After",
  refuse: "refused", hang: "answers late", new_list_not_found: "a young list answers 404", precondition: "412 without cause", resync: "delta answers 410", delta_duplicate: "older copies first", unauthorized: "401" };
async function faultsView() {
  const { faults } = await call("GET", "faults");
  const rows = faults.map((fault, at) => [at + 1, fault.rule.kind, el("code", { textContent: JSON.stringify(fault.rule) }), fault.matched, fault.hits,
    el("span", { class: "acts" }, button("Remove", () => act("Rule removed.", () => call("DELETE", "faults/" + at)), "danger", { ariaLabel: "Remove rule " + (at + 1) }))]);
  return [el("div", { class: "bar" }, el("h1", { textContent: "Faults" }), el("span", { class: "soft", textContent: "the first rule that strikes wins" }), el("span", { class: "push" }),
      button("Add rule", addFault, "main"), button("Remove all", () => act("No rules are left.", () => call("DELETE", "faults")), "danger", { disabled: rows.length === 0 })),
    el("div", { class: "card" }, table([["#", "number"], ["Kind", ""], ["Rule", "wrap"], ["Matched", "number"], ["Struck", "number"], ["", "acts"]], rows, "Nothing goes wrong on purpose."))];
}
function addFault() {
  const input = (name, label, hint) => labelled(name, label, hint, el("input", { type: "text" }), () => 0);
  const kind = labelled("kind", "What goes wrong", "", selectOf(Object.entries(FAULTS).map(([name, words]) => [name, name + ": " + words]), "throttle"), () => 0);
  const lists = state.sites.flatMap((site) => site.lists).map((list) => [list.id, list.displayName]);
  const list = labelled("list", "List", "", selectOf([["", "any"], ...lists], ""), () => 0);
  const on = input("on", "Requests", "such as create, patch, delta, batch; separated by commas; empty: all but batch and token");
  const numbers = [input("every", "Every n-th", ""), input("probability", "Probability", "0 to 1"), input("after", "After so many", ""), input("times", "At most so often", ""), input("status", "Status", ""), input("millis", "Milliseconds", "hang, new_list_not_found")];
  const retry = input("retry_after", "Retry-After", "seconds, date:SECONDS or missing");
  dialog("Add a fault rule", [kind, list, on, ...numbers, retry], "Add", () => {
    const rule = { kind: kind.control.value };
    if (list.control.value) rule.list = list.control.value;
    const kinds = on.control.value.split(",").map((one) => one.trim()).filter((one) => one);
    if (kinds.length) rule.on = kinds;
    for (const one of numbers) {
      const given = one.control.value.trim();
      if (given === "") continue;
      if (!Number.isFinite(Number(given))) throw new Error("Field '" + one.name + "': write a number");
      rule[one.name] = Number(given);
    }
    if (retry.control.value.trim()) rule.retry_after = retry.control.value.trim();
    return call("POST", "faults", rule);
  });
}
