// Where we are, and keeping it up to date.

let state = null;
let drawn = "";
let turn = 0;

const SECTIONS = [["", "Overview", overview], ["usage", "Usage", usageView], ["requests", "Requests", requestsView], ["faults", "Faults", faultsView], ["bin", "Recycle bin", binView]];

/** The parts of the address: path and options. */
function here() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const options = Object.fromEntries(query.split("&").filter((pair) => pair.includes("=")).map((pair) => {
    const [key, value] = pair.split("=");
    let plain = value;
    try { plain = decodeURIComponent(value); } catch { plain = ""; }
    return [key, plain];
  }));
  return { parts: path.split("/").filter((part) => part), options };
}
function navigation(parts) {
  $("about").textContent = "tenant " + state.tenant + " · seed " + state.seed + " · " + state.timeZone;
  replaced($("sections"), SECTIONS.map(([route, label]) => link(label, route, parts[0] === route || (route === "" && parts.length === 0))));
  const nodes = [];
  for (const site of state.sites) {
    if (!site.lists.length) continue;
    nodes.push(el("h2", { textContent: site.name }));
    for (const list of site.lists) {
      const entry = link(el("span", { textContent: list.displayName, title: list.displayName }), listRoute(list), parts[1] === list.id);
      entry.append(el("span", { class: "soft", textContent: list.items.toLocaleString("en") }));
      nodes.push(entry);
    }
  }
  if (!nodes.length) nodes.push(empty("No lists yet."));
  replaced($("lists"), nodes);
}
async function view(parts, options) {
  if (parts[0] === "list") {
    const list = state.sites.flatMap((site) => site.lists).find((one) => one.id === parts[1]);
    if (!list) return [empty("There is no such list (any more). Deleted lists are in the recycle bin.")];
    if (parts[2] === "columns") return columnsView(list);
    return parts[2] === "bin" ? listBinView(list) : itemsView(list, options);
  }
  const section = SECTIONS.find(([route]) => route === (parts[0] || ""));
  return section ? section[2]() : [empty("There is no such page.")];
}
/** Whether a refresh would tear something out of a person's hands. */
const busy = () => document.querySelector("dialog[open]") !== null ||
  ($("main").contains(document.activeElement) && document.activeElement.matches("input:not([type=checkbox]), select, textarea"));

/** What tells a control from its neighbours, so that the same one has the keyboard's focus after drawing anew. */
function nameOf(node) {
  return node.localName + "|" + (node.ariaLabel || node.textContent.replace(/ [▾▴]$/, ""));
}
function replaced(place, nodes) {
  const focused = place.contains(document.activeElement) && document.activeElement !== place ? nameOf(document.activeElement) : null;
  place.replaceChildren(...nodes);
  if (focused === null) return;
  const again = [...place.querySelectorAll("a, button, input, select")].find((node) => nameOf(node) === focused);
  if (again) again.focus({ preventScroll: true });
}

/** Draws what is there now. Without `wanted`, only where something changed and nobody is at work. */
async function refresh(wanted) {
  const mine = ++turn;
  try {
    const next = await call("GET", "state");
    if (mine !== turn) return;
    const { parts, options } = here();
    const live = ["usage", "requests", "faults", "bin"].includes(parts[0]);
    const mark = location.hash + JSON.stringify(next);
    if (!wanted && (busy() || (mark === drawn && !live))) return;
    state = next;
    const nodes = await view(parts, options);
    if (mine !== turn || (!wanted && busy())) return;
    navigation(parts);
    const scroller = $("main").querySelector(".scroll"), place = scroller ? [scroller.scrollTop, scroller.scrollLeft] : null;
    const same = $("main").dataset.place === location.hash.split("?")[0];
    replaced($("main"), nodes);
    const after = $("main").querySelector(".scroll");
    if (same && place && after) { after.scrollTop = place[0]; after.scrollLeft = place[1]; }
    $("main").dataset.place = location.hash.split("?")[0];
    const title = $("main").querySelector("h1");
    document.title = (title ? title.textContent + " · " : "") + "graph-sim";
    drawn = mark;
    if (!wanted) trouble("");
  } catch (error) {
    if (mine === turn) trouble("Not up to date: " + error.message);
  }
}
window.addEventListener("hashchange", async () => { trouble(""); await refresh(true); });
async function loop() {
  if (!document.hidden) await refresh(state === null);
  setTimeout(loop, 1500);
}
loop();
