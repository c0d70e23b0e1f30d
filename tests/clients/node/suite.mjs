// Microsoft's JavaScript client (@microsoft/microsoft-graph-client with @azure/identity), as an application would
// use it.
import { ClientSecretCredential } from "@azure/identity";
import { BatchRequestContent, BatchResponseContent, Client, PageIterator } from "@microsoft/microsoft-graph-client";
import { TokenCredentialAuthenticationProvider } from "@microsoft/microsoft-graph-client/authProviders/azureTokenCredentials/index.js";

const scope = "https://graph.microsoft.com/.default";
const site = "/sites/contoso.sharepoint.com:/sites/demo";

function same(what, got, wanted) {
  const [one, other] = [JSON.stringify(got), JSON.stringify(wanted)];
  if (one !== other) throw new Error(`${what}: expected ${other}, got ${one}`);
}

async function refused(promise, status, code) {
  try {
    await promise;
  } catch (error) {
    same("status", error.statusCode, status);
    if (code !== undefined) same("code", error.code, code);
    return;
  }
  throw new Error(`expected ${status}, but the request was accepted`);
}

async function control(method, path, body) {
  const answer = await fetch(`https://graph.microsoft.com/_sim/${path}`, {
    method,
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`control ${path}: ${answer.status} ${text}`);
  return text === "" ? undefined : JSON.parse(text);
}

const credential = new ClientSecretCredential(process.env.SUITE_TENANT, "sim-client", "sim-secret");
const client = Client.initWithMiddleware({
  authProvider: new TokenCredentialAuthenticationProvider(credential, { scopes: [scope] }),
});
const ids = [];
let siteId, list, deltaLink;

const steps = {
  async token() {
    const token = await credential.getToken(scope);
    if (token.token.length < 20) throw new Error("the token is too short");
  },
  async site() {
    const found = await client.api(site).get();
    same("site name", found.name, "demo");
    siteId = found.id;
  },
  async list() {
    const made = await client.api(`/sites/${siteId}/lists`).post({
      displayName: "graph-client",
      columns: [
        { name: "Code", text: { maxLength: 40 }, indexed: true },
        { name: "Amount", number: { decimalPlaces: "two" } },
        { name: "Kind", choice: { choices: ["a", "b"] } },
      ],
      list: { template: "genericList" },
    });
    same("list name", made.displayName, "graph-client");
    list = `/sites/${siteId}/lists/${made.id}`;
  },
  async columns() {
    const made = await client.api(`${list}/columns`).post({ name: "Note", text: { allowMultipleLines: true } });
    same("column name", made.name, "Note");
    const page = await client.api(`${list}/columns`).get();
    const names = page.value.map((column) => column.name);
    for (const name of ["Title", "Code", "Amount", "Kind", "Note"]) {
      if (!names.includes(name)) throw new Error(`column ${name} is missing`);
    }
    const whole = await client.api(list).expand("columns").get();
    same("columns of the list", whole.columns.length, page.value.length);
  },
  async create() {
    for (let number = 0; number < 5; number += 1) {
      const fields = { Title: `row ${number}`, Code: `C${number}`, Amount: number + 0.5, Kind: "a" };
      const made = await client.api(`${list}/items`).post({ fields });
      same("Code", made.fields.Code, `C${number}`);
      ids.push(made.id);
    }
  },
  async read() {
    const item = await client.api(`${list}/items/${ids[1]}`).expand("fields").get();
    same("fields", [item.fields.Title, item.fields.Amount], ["row 1", 1.5]);
  },
  async patch() {
    const changed = await client.api(`${list}/items/${ids[1]}/fields`).patch({ Title: "changed", Amount: null });
    same("Title", changed.Title, "changed");
    const again = await client.api(`${list}/items/${ids[1]}/fields`).get();
    same("cleared Amount", again.Amount, undefined);
  },
  async filter() {
    const page = await client.api(`${list}/items`).expand("fields").filter("fields/Code eq 'C3'").get();
    same("hits", page.value.map((item) => item.id), [ids[3]]);
  },
  async page() {
    const first = await client.api(`${list}/items`).expand("fields").top(2).get();
    same("first page", first.value.length, 2);
    const seen = [];
    await new PageIterator(client, first, (item) => seen.push(item.id)).iterate();
    same("ids", seen, ids);
  },
  async delete() {
    await client.api(`${list}/items/${ids[4]}`).delete();
    await refused(client.api(`${list}/items/${ids[4]}`).get(), 404, "itemNotFound");
  },
  async delta() {
    const first = await client.api(`${list}/items/delta`).expand("fields").get();
    const seen = [];
    const iterator = new PageIterator(client, first, (item) => seen.push(item.id));
    await iterator.iterate();
    same("ids", seen.sort(), ids.slice(0, 4).sort());
    deltaLink = iterator.getDeltaLink();
  },
  async "delta again"() {
    await client.api(`${list}/items/${ids[0]}/fields`).patch({ Title: "newer" });
    await client.api(`${list}/items/${ids[3]}`).delete();
    const page = await client.api(deltaLink).get();
    same("ids", page.value.map((item) => item.id).sort(), [ids[0], ids[3]].sort());
    const gone = page.value.find((item) => item.id === ids[3]);
    same("state of the deleted", gone.deleted.state, "deleted");
  },
  async batch() {
    // Addresses inside a batch are below the version; the client strips the host.
    const path = (rest) => `https://graph.microsoft.com${list}/items${rest}`;
    const headers = { "Content-Type": "application/json" };
    const content = new BatchRequestContent([
      { id: "1", request: new Request(path(`/${ids[0]}`), { method: "GET" }) },
      { id: "2", request: new Request(path(""), { method: "POST", headers, body: JSON.stringify({ fields: { Title: "in a batch" } }) }) },
    ]);
    const answer = new BatchResponseContent(await client.api("/$batch").post(await content.getContent()));
    same("statuses", ["1", "2"].map((id) => answer.getResponseById(id).status), [200, 201]);
    const made = await answer.getResponseById("2").json();
    same("id of the new item", typeof made.id, "string");
  },
  async 412() {
    const item = `${list}/items/${ids[0]}`;
    const before = (await client.api(item).get()).eTag;
    await client.api(`${item}/fields`).patch({ Title: "newest" });
    await refused(client.api(`${item}/fields`).header("If-Match", before).patch({ Title: "too late" }), 412);
    const now = (await client.api(item).get()).eTag;
    await client.api(`${item}/fields`).header("If-Match", now).patch({ Title: "in time" });
  },
  async 429() {
    await control("PUT", "faults", { faults: [{ kind: "throttle", on: ["item_get"], times: 1, retry_after: "1" }] });
    const begun = performance.now();
    const item = await client.api(`${list}/items/${ids[0]}`).get();
    const waited = performance.now() - begun;
    const { faults } = await control("GET", "faults");
    await control("DELETE", "faults");
    same("id", item.id, ids[0]);
    same("throttled requests", faults[0].hits, 1);
    if (waited < 1000) throw new Error("the client did not wait for the second of Retry-After");
  },
};

// Keys that look like numbers come first in an object's own order.
const order = ["token", "site", "list", "columns", "create", "read", "patch", "filter", "page", "delete", "delta",
  "delta again", "batch", "412", "429"];
// Nothing that an earlier client left behind may strike this one.
await control("DELETE", "faults");
for (const step of order) {
  try {
    await steps[step]();
    console.log(JSON.stringify({ step, ok: true }));
  } catch (error) {
    const why = `${error?.name}: ${error?.statusCode ?? ""} ${error?.code ?? ""} ${error?.message ?? error}`;
    console.log(JSON.stringify({ step, ok: false, why: why.slice(0, 2000), where: String(error?.stack).split("\n").slice(1, 4).join("\n") }));
  }
}
