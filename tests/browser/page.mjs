// The simulator's page for people, used as a person does, in a real browser. What a step changes on the page is
// looked up through Graph, and what a program does through Graph is looked for on the page.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const CLIENT = { id: "suite-app", secret: "suite-secret" };
const ROWS = 120;
/** Items that the grid shows at once. */
const PAGE = 50;
const PATIENCE = 10_000;
/** The price of row n: the order by price is another one than the order of the rows. */
const price = (n) => (n * 37) % 1000;

// --- The simulator, and Graph as a program sees it ------------------------------------------------------------

async function simulator() {
  const options = ["--listen", "127.0.0.1:0", "--site", "Company", "--client", `${CLIENT.id}:${CLIENT.secret}`,
    "--site-time-zone", "Europe/Berlin"];
  const child = spawn(process.env.SUITE_SIMULATOR, options, { stdio: ["ignore", "pipe", "inherit"] });
  for await (const line of createInterface({ input: child.stdout })) {
    const ready = /^listening on (http:\S+)$/.exec(line);
    if (ready) return { child, base: ready[1] };
  }
  throw new Error("the simulator did not start");
}

class Graph {
  constructor(base) {
    this.base = base;
  }

  async signIn() {
    const body = new URLSearchParams({ grant_type: "client_credentials", client_id: CLIENT.id,
      client_secret: CLIENT.secret, scope: "https://graph.microsoft.com/.default" });
    const answer = await fetch(`${this.base}/contoso/oauth2/v2.0/token`, { method: "POST", body });
    this.token = (await answer.json()).access_token;
  }

  /** Status and JSON of one request. */
  async ask(method, path, body) {
    const headers = { authorization: `Bearer ${this.token}`, "content-type": "application/json" };
    const answer = await fetch(`${this.base}/v1.0${path}`, { method, headers, body: body && JSON.stringify(body) });
    const text = await answer.text();
    return { status: answer.status, json: text === "" ? null : JSON.parse(text) };
  }

  async done(method, path, body) {
    const { status, json } = await this.ask(method, path, body);
    assert.ok(status < 300, `${method} ${path}: ${status} ${JSON.stringify(json)}`);
    return json;
  }

  async fields(id) {
    return (await this.done("GET", `${this.list}/items/${id}?$expand=fields`)).fields;
  }

  /** A list with a column of each kind that has an editor, and rows whose orders by name and by price differ. */
  async fill() {
    const site = "/sites/contoso.sharepoint.com:/sites/Company:";
    const made = await this.done("POST", `${site}/lists`, {
      displayName: "Projects",
      list: { template: "genericList" },
      columns: [
        { name: "Code", text: { maxLength: 20 } },
        { name: "Price", number: {} },
        { name: "Live", boolean: {} },
        { name: "Due", dateTime: { format: "dateOnly" } },
        { name: "Seen", dateTime: {} },
        { name: "Stand", choice: { choices: ["Plan", "Build", "Done"] } },
        { name: "Tags", choice: { choices: ["red", "green", "blue"], displayAs: "checkBoxes" } },
        { name: "Note", text: { allowMultipleLines: true } },
        { name: "Owner", personOrGroup: {} },
      ],
    });
    this.list = `${site}/lists/${made.id}`;
    // One after the other, so that row n is item n: the parts of a batch are done in any order.
    for (let n = 1; n <= ROWS; n += 1) {
      const fields = { Title: `row ${n}`, Code: `c${String(n).padStart(3, "0")}`, Price: price(n), Live: n % 2 === 0 };
      const item = await this.done("POST", `${this.list}/items`, { fields });
      assert.equal(item.id, String(n));
    }
  }
}

/** All prices, the smallest first. */
const prices = Array.from({ length: ROWS }, (_, at) => price(at + 1)).sort((a, b) => a - b);

// --- The page -------------------------------------------------------------------------------------------------

let page, graph;

const role = (name, options) => page.getByRole(name, options);
const press = (name) => role("button", { name, exact: true }).click();
const follow = (name) => role("navigation", { name: "Sections" }).getByRole("link", { name, exact: true }).click();

/** Waits until the page shows what is wanted; what it showed last is in the failure. */
async function shows(what, look, wanted) {
  const end = Date.now() + PATIENCE;
  let seen;
  do {
    seen = await look();
    if (JSON.stringify(seen) === JSON.stringify(wanted)) return;
    await page.waitForTimeout(25);
  } while (Date.now() < end);
  assert.deepEqual(seen, wanted, what);
}

/** The texts of a column of the grid, by the name it shows. */
function column(name) {
  return page.evaluate((wanted) => {
    const table = document.querySelector(".grid table");
    if (!table) return [];
    const heads = [...table.querySelectorAll("thead th")].map((head) => (head.querySelector("button") || head).textContent.replace(/ [▾▴]$/, ""));
    return [...table.querySelectorAll("tbody tr")].map((row) => row.cells[heads.indexOf(wanted)].textContent);
  }, name);
}
const sorted = (name) => role("columnheader").filter({ has: role("button", { name: new RegExp(`^${name}( [▾▴])?$`) }) }).getAttribute("aria-sort");
const range = () => page.locator("#main .push.soft").textContent();

/** The row of the grid that an item has. */
const row = (id) => page.locator(".grid tbody tr").filter({ has: role("button", { name: `Edit item ${id}`, exact: true }) });

/** A figure of the usage page. */
async function figure(label) {
  const text = await page.locator(".figures div", { hasText: label }).locator("b").first().textContent();
  return Number(text.replaceAll(",", ""));
}

/** The rows of the table in a section of the usage page, or of the only one. */
const cells = () => page.evaluate(() => [...document.querySelectorAll("#main tbody tr")].map((one) => [...one.cells].map((cell) => cell.textContent)));

async function saved() {
  await role("dialog").waitFor({ state: "detached", timeout: PATIENCE });
}

const steps = {
  async "the overview leads to a list, whose grid shows typed columns"() {
    await page.goto(graph.base);
    await role("heading", { name: "Sites and lists" }).waitFor();
    await page.locator("#main").getByRole("link", { name: "Projects" }).click();
    await role("heading", { name: "Projects", level: 1 }).waitFor();
    await shows("the first page", range, `Items 1 to ${PAGE} of ${ROWS}`);
    const kinds = await page.locator(".grid thead th small").allTextContents();
    for (const kind of ["text", "number", "yes/no", "date", "date and time", "choice", "multi-choice", "multi-line text", "person"]) {
      assert.ok(kinds.includes(kind), `${kind}: ${kinds}`);
    }
    assert.equal((await column("Code"))[0], "c001");
    assert.equal((await column("Live"))[1], "Yes");
  },

  async "a head sorts by its column, up and then down"() {
    const top = async () => (await column("Price")).slice(0, 5).map(Number);
    await press("Price");
    await shows("cheapest first", top, prices.slice(0, 5));
    assert.equal(await sorted("Price"), "ascending");
    await press("Price ▴");
    await shows("dearest first", top, prices.slice(-5).reverse());
    assert.equal(await sorted("Price"), "descending");
  },

  async "pages are turned, and the order stays"() {
    await press("Next");
    await shows("the second page", range, `Items ${PAGE + 1} to ${2 * PAGE} of ${ROWS}`);
    assert.equal(Number((await column("Price"))[0]), prices[ROWS - 1 - PAGE]);
    await press("Last");
    await shows("the last page", range, `Items ${2 * PAGE + 1} to ${ROWS} of ${ROWS}`);
    assert.equal(Number((await column("Price")).at(-1)), prices[0]);
    assert.ok(await role("button", { name: "Next", exact: true }).isDisabled());
    await press("First");
    await shows("the first page", range, `Items 1 to ${PAGE} of ${ROWS}`);
    await press("ID");
    await shows("by number again", async () => (await column("ID"))[0], "1");
  },

  async "an item is added with an editor for each type, and a wrong value is told beside its field"() {
    await press("Add item");
    const field = (name) => role("dialog").getByLabel(name, { exact: false }).first();
    await field("Title").fill("by hand");
    await field("Code").fill("h-1");
    await field("Price").fill("twelve");
    await field("Live").selectOption({ label: "Yes" });
    await field("Due").fill("2026-03-29");
    await field("Seen").fill("2026-07-01T08:30:05");
    await field("Stand").selectOption({ label: "Build" });
    await role("checkbox", { name: "green" }).check();
    await role("checkbox", { name: "blue" }).check();
    await field("Note").fill("one\ntwo");
    await role("searchbox", { name: "Search Owner" }).fill("Person 17");
    await role("radio", { name: "Person 17", exact: true }).check();
    await press("Save");
    await shows("the field at fault", () => field("Price").getAttribute("aria-invalid"), "true");
    await field("Price").fill("12.5");
    await press("Save");
    await saved();
    const made = await graph.fields(ROWS + 1);
    const wanted = { Title: "by hand", Code: "h-1", Price: 12.5, Live: true, Due: "2026-03-28T23:00:00Z", Seen: "2026-07-01T06:30:05Z",
      Stand: "Build", Tags: ["green", "blue"], Note: "one\ntwo", OwnerLookupId: "17", AuthorLookupId: "12" };
    for (const [name, value] of Object.entries(wanted)) assert.deepEqual(made[name], value, name);
    await shows("one item more", range, `Items 1 to ${PAGE} of ${ROWS + 1}`);
  },

  async "a cell is edited, and nothing but it is written"() {
    const before = await graph.done("GET", `${graph.list}/items/7?$expand=fields`);
    await role("button", { name: "Edit item 7", exact: true }).click();
    await role("dialog").getByLabel("Price").fill("4321.25");
    await press("Save");
    await saved();
    await shows("the new price", () => row(7).textContent().then((text) => text.includes("4321.25")), true);
    const after = await graph.done("GET", `${graph.list}/items/7?$expand=fields`);
    assert.equal(after.fields.Price, 4321.25);
    for (const name of ["Title", "Code", "Live"]) assert.deepEqual(after.fields[name], before.fields[name], name);
    const counter = (item) => Number(/,(\d+)/.exec(item.eTag)[1]);
    assert.equal(counter(after), counter(before) + 1, "one write");
  },

  async "an item is deleted into the recycle bin, and comes back"() {
    await role("button", { name: "Delete item 3", exact: true }).click();
    await shows("it is gone from the grid", async () => (await column("ID")).includes("3"), false);
    assert.equal((await graph.ask("GET", `${graph.list}/items/3`)).status, 404);
    await role("link", { name: "Recycle bin (1)" }).click();
    await role("button", { name: "Restore item 3", exact: true }).click();
    await role("link", { name: "Recycle bin (0)" }).waitFor();
    assert.equal((await graph.fields(3)).Code, "c003");
    await role("link", { name: "Items", exact: true }).click();
    await shows("it is back", async () => (await column("ID")).includes("3"), true);
  },

  async "what a program writes appears by itself"() {
    await graph.done("PATCH", `${graph.list}/items/2/fields`, { Code: "programmed" });
    await shows("the program's text", async () => (await column("Code"))[1], "programmed");
  },

  async "resource units and requests are counted as they are spent"() {
    await follow("Usage");
    await role("heading", { name: "Usage" }).waitFor();
    const [units, requests, changed] = [await figure("resource units"), await figure("requests"), await figure("changed")];
    assert.ok(units > 0 && requests > 0, `${units} units, ${requests} requests`);
    await graph.done("PATCH", `${graph.list}/items/2/fields`, { Code: "once more" });
    await shows("two units, one request and one change more",
      async () => [await figure("resource units"), await figure("requests"), await figure("changed")], [units + 2, requests + 1, changed + 1]);
    await follow("Requests");
    await role("heading", { name: "Requests" }).waitFor();
    await shows("the newest request", async () => (await cells())[0]?.slice(1, 5).filter((_, at) => at !== 1), ["PATCH", "200", "patch"]);
    const shown = await page.locator("#main").textContent();
    assert.ok(!shown.includes("once more") && !shown.includes(CLIENT.secret), "no values and no secrets");
  },

  async "a fault is added, strikes, is seen to have struck, and goes"() {
    await follow("Faults");
    await press("Add rule");
    const field = (name) => role("dialog").getByLabel(name, { exact: false }).first();
    await field("What goes wrong").selectOption("throttle");
    await field("Requests").fill("item_get");
    await field("At most so often").fill("1");
    await field("Retry-After").fill("7");
    await press("Add");
    await saved();
    await shows("the rule, before it struck", async () => (await cells()).map((one) => [one[1], one[4]]), [["throttle", "0"]]);
    assert.equal((await graph.ask("GET", `${graph.list}/items/5`)).status, 429);
    assert.equal((await graph.ask("GET", `${graph.list}/items/5`)).status, 200);
    await shows("the rule, after it struck", async () => (await cells()).map((one) => [one[1], one[4]]), [["throttle", "1"]]);
    await follow("Requests");
    await shows("the throttled request", async () => (await cells()).slice(0, 2).map((one) => one[3]), ["200", "429"]);
    await follow("Usage");
    await shows("it is counted", () => figure("throttled"), 1);
    await follow("Faults");
    await press("Remove rule 1");
    await page.getByText("Nothing goes wrong on purpose.").waitFor();
    assert.deepEqual((await (await fetch(`${graph.base}/_sim/faults`)).json()).faults, []);
  },
};

// --- The run --------------------------------------------------------------------------------------------------

const { child, base } = await simulator();
let browser, failed = 0;
const complaints = [];
try {
  graph = new Graph(base);
  await graph.signIn();
  await graph.fill();
  browser = await chromium.launch({
    executablePath: process.env.SUITE_BROWSER,
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync"],
  });
  page = await browser.newPage({ locale: "en-US", timezoneId: "America/New_York" });
  page.setDefaultTimeout(PATIENCE);
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => {
    // A refused value is an answer that the page shows to the person; the browser calls it an error.
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) complaints.push(message.text());
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(`${base}/`) && !request.url().startsWith("data:")) complaints.push(`a request to ${request.url()}`);
  });
  for (const [name, step] of Object.entries(steps)) {
    const began = Date.now();
    try {
      await step();
      assert.deepEqual(complaints.splice(0), [], "what the browser complained about");
      console.log(`  ok      ${name} (${Date.now() - began} ms)`);
    } catch (error) {
      console.log(`  FAILED  ${name}\n${error.stack}`);
      await page.screenshot({ path: process.env.SUITE_PICTURE }).catch(() => {});
      failed = 1;
      break;
    }
  }
} finally {
  await browser?.close();
  child.kill();
}
process.exit(failed);
