"""Office365-REST-Python-Client, as an application would use it."""

import urllib.parse

from office365.graph_client import GraphClient
from office365.onedrive.columns.choice import ChoiceColumn
from office365.runtime.client_request_exception import ClientRequestException
from office365.runtime.retry import retry_after_delay

import steps
from steps import same


class Suite:
    def __init__(self):
        self.client = GraphClient(tenant=steps.TENANT).with_client_secret(steps.CLIENT_ID, steps.SECRET)
        self.ids = []

    def token(self):
        token = self.client.pending_request().authentication_context.acquire_token()
        if len(token.accessToken) < 20:
            raise steps.Differs("the token is too short")

    def find_site(self):
        url = f"https://{steps.SITE_HOST}{steps.SITE_PATH}"
        self.site = self.client.sites.get_by_url(url).get().execute_query()
        same("site name", self.site.name, "demo")
        same("parts of the site id", len(self.site.id.split(",")), 3)

    def make_list(self):
        self.list = self.site.lists.add("office365").execute_query()
        same("list name", self.list.display_name, "office365")
        same("template", self.list.list.template, "genericList")

    def columns(self):
        self.list.columns.add_text("Code", max_length=40).execute_query()
        self.list.columns.add_number("Amount").execute_query()
        self.list.columns.add(name="Kind", choice=ChoiceColumn(choices=["a", "b"])).execute_query()
        for column in self.list.columns.get().execute_query():
            if column.name == "Code":
                column.set_property("indexed", True).update().execute_query()
                break
        else:
            raise steps.Differs("column Code is missing")

    def create(self):
        for number in range(5):
            item = self.list.items.add(Title=f"row {number}", Code=f"C{number}", Amount=number + 0.5, Kind="a")
            item.execute_query()
            same("Code", item.fields.properties["Code"], f"C{number}")
            self.ids.append(item.id)

    def read(self):
        item = self.list.items[self.ids[1]].expand(["fields"]).get().execute_query()
        same("Title", item.fields.properties["Title"], "row 1")
        same("Amount", item.fields.properties["Amount"], 1.5)

    def patch(self):
        fields = self.list.items[self.ids[1]].fields
        fields.set_property("Title", "changed").update().execute_query()
        item = self.list.items[self.ids[1]].expand(["fields"]).get().execute_query()
        same("Title", item.fields.properties["Title"], "changed")

    def filter(self):
        found = self.list.items.filter("fields/Code eq 'C3'").expand(["fields"]).get().execute_query()
        same("hits", [item.id for item in found], [self.ids[3]])

    def page(self):
        sizes = []
        items = self.list.items.get_all(page_size=2, page_loaded=lambda page: sizes.append(len(page.current_page)))
        items.execute_query()
        same("page sizes", sizes, [2, 2, 1])
        same("ids", [item.id for item in items], self.ids)

    def delete(self):
        self.list.items[self.ids[4]].delete_object().execute_query()
        try:
            self.list.items[self.ids[4]].get().execute_query()
        except ClientRequestException as error:
            same("status", error.response.status_code, 404)
            same("code", error.code, "itemNotFound")
        else:
            raise steps.Differs("the deleted item is still there")

    def delta(self):
        changes = self.list.items.delta.get().execute_query()
        same("ids", sorted(item.id for item in changes), sorted(self.ids[:4]))
        # The client drops the deltaLink of a collection (3.3.0), so it is read from the answer as it came.
        path = f"sites/{self.site.id}/lists/{self.list.id}/items/delta"
        answer = self.client.execute_request_direct(path).json()
        same("items in the answer as it came", len(answer["value"]), 4)
        query = urllib.parse.urlsplit(answer["@odata.deltaLink"]).query
        self.token_of_delta = urllib.parse.parse_qs(query)["token"][0]

    def delta_again(self):
        self.list.items[self.ids[0]].fields.set_property("Title", "newer").update().execute_query()
        self.list.items[self.ids[3]].delete_object().execute_query()
        changes = self.list.items.delta.token(self.token_of_delta).get().execute_query()
        seen = {item.id: item for item in changes}
        same("ids", sorted(seen), sorted([self.ids[0], self.ids[3]]))
        same("state of the deleted", seen[self.ids[3]].properties["deleted"]["state"], "deleted")

    def batch(self):
        read = self.list.items[self.ids[0]].expand(["fields"]).get()
        made = self.list.items.add(Title="in a batch")
        self.client.execute_batch()
        same("Title", read.fields.properties["Title"], "newer")
        same("id of the new item", bool(made.id), True)

    def precondition(self):
        # The client has If-Match for upserts only; any request of it can be given headers.
        item = self.list.items[self.ids[0]].get().execute_query()
        before = item.properties["eTag"]
        item.fields.set_property("Title", "newest").update().execute_query()

        def stale(request):
            request.set_header("If-Match", before)

        try:
            item.fields.set_property("Title", "too late").update().before_execute(stale).execute_query()
        except ClientRequestException as error:
            same("status", error.response.status_code, 412)
        else:
            raise steps.Differs("a stale eTag was accepted")

    def throttle(self):
        begun = steps.throttle_once("item_get")
        item = self.list.items[self.ids[0]].get()
        self.client.execute_query_retry(max_retry=3, failure_callback=lambda _, error: retry_after_delay(error))
        same("id", item.id, self.ids[0])
        steps.throttled_once(begun)


steps.begin()
suite = Suite()
ACTS = [suite.token, suite.find_site, suite.make_list, suite.columns, suite.create, suite.read, suite.patch,
        suite.filter, suite.page, suite.delete, suite.delta, suite.delta_again, suite.batch, suite.precondition,
        suite.throttle]
for name, act in zip(steps.STEPS, ACTS, strict=True):
    try:
        act()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the result of the step
        steps.report(name, error)
        # Forgets the request that failed, and with it how to get a token.
        suite.client.clear()
        suite.client.with_client_secret(steps.CLIENT_ID, steps.SECRET)
    else:
        steps.report(name)
