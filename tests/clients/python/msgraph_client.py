"""Microsoft's own Python client (msgraph-sdk with azure-identity), as an application would use it."""

import asyncio

from azure.identity.aio import ClientSecretCredential
from kiota_abstractions.api_error import APIError
from kiota_abstractions.base_request_configuration import RequestConfiguration
from msgraph import GraphServiceClient
from msgraph.generated.models.boolean_column import BooleanColumn
from msgraph.generated.models.choice_column import ChoiceColumn
from msgraph.generated.models.column_definition import ColumnDefinition
from msgraph.generated.models.date_time_column import DateTimeColumn
from msgraph.generated.models.field_value_set import FieldValueSet
from msgraph.generated.models.list_ import List_
from msgraph.generated.models.list_info import ListInfo
from msgraph.generated.models.list_item import ListItem
from msgraph.generated.models.number_column import NumberColumn
from msgraph.generated.models.text_column import TextColumn
from msgraph.generated.sites.item.lists.item.items.delta.delta_request_builder import DeltaRequestBuilder
from msgraph.generated.sites.item.lists.item.items.item.list_item_item_request_builder import (
    ListItemItemRequestBuilder,
)
from msgraph.generated.sites.item.lists.item.items.items_request_builder import ItemsRequestBuilder
from msgraph_core.requests.batch_request_builder import BatchRequestBuilder
from msgraph_core.requests.batch_request_content import BatchRequestContent
from msgraph_core.requests.batch_request_item import BatchRequestItem

import steps
from steps import same


def fields(**values):
    return FieldValueSet(additional_data=values)


class Suite:
    def __init__(self):
        self.credential = ClientSecretCredential(steps.TENANT, steps.CLIENT_ID, steps.SECRET)
        self.client = GraphServiceClient(self.credential, ["https://graph.microsoft.com/.default"])
        self.ids = []

    def items(self):
        return self.client.sites.by_site_id(self.site.id).lists.by_list_id(self.list.id).items

    async def token(self):
        token = await self.credential.get_token("https://graph.microsoft.com/.default")
        if len(token.token) < 20:
            raise steps.Differs("the token is too short")

    async def find_site(self):
        self.site = await self.client.sites.by_site_id(f"{steps.SITE_HOST}:{steps.SITE_PATH}").get()
        same("site name", self.site.name, "demo")
        same("parts of the site id", len(self.site.id.split(",")), 3)

    async def make_list(self):
        wanted = List_(
            display_name="msgraph-sdk",
            columns=[
                ColumnDefinition(name="Code", text=TextColumn(max_length=40), indexed=True),
                ColumnDefinition(name="Amount", number=NumberColumn(decimal_places="two")),
                ColumnDefinition(name="Active", boolean=BooleanColumn()),
                ColumnDefinition(name="Kind", choice=ChoiceColumn(choices=["a", "b"])),
                ColumnDefinition(name="When", date_time=DateTimeColumn(format="dateTime")),
            ],
            list_=ListInfo(template="genericList"),
        )
        self.list = await self.client.sites.by_site_id(self.site.id).lists.post(wanted)
        same("list name", self.list.display_name, "msgraph-sdk")
        same("template", self.list.list_.template, "genericList")

    async def columns(self):
        builder = self.client.sites.by_site_id(self.site.id).lists.by_list_id(self.list.id).columns
        made = await builder.post(ColumnDefinition(name="Note", text=TextColumn(allow_multiple_lines=True)))
        same("column name", made.name, "Note")
        page = await builder.get()
        names = {column.name: column for column in page.value}
        for name in ["Title", "Code", "Amount", "Active", "Kind", "When", "Note"]:
            if name not in names:
                raise steps.Differs(f"column {name} is missing")
        same("facet of Code", names["Code"].text.max_length, 40)
        same("choices of Kind", names["Kind"].choice.choices, ["a", "b"])

    async def create(self):
        for number in range(5):
            values = fields(
                Title=f"row {number}", Code=f"C{number}", Amount=number + 0.5, Active=number % 2 == 0,
                Kind="a", When="2026-03-01T10:00:00Z",
            )
            made = await self.items().post(ListItem(fields=values))
            same("Code", made.fields.additional_data["Code"], f"C{number}")
            self.ids.append(made.id)

    async def read(self):
        query = ListItemItemRequestBuilder.ListItemItemRequestBuilderGetQueryParameters(expand=["fields"])
        item = await self.items().by_list_item_id(self.ids[1]).get(RequestConfiguration(query_parameters=query))
        same("Title", item.fields.additional_data["Title"], "row 1")
        same("Amount", item.fields.additional_data["Amount"], 1.5)
        same("Active", item.fields.additional_data["Active"], False)
        same("id", item.id, self.ids[1])

    async def patch(self):
        builder = self.items().by_list_item_id(self.ids[1]).fields
        changed = await builder.patch(fields(Title="changed", Amount=None))
        same("Title", changed.additional_data["Title"], "changed")
        again = await builder.get()
        same("cleared Amount", again.additional_data.get("Amount"), None)

    async def filter(self):
        query = ItemsRequestBuilder.ItemsRequestBuilderGetQueryParameters(
            expand=["fields"], filter="fields/Code eq 'C3'"
        )
        page = await self.items().get(RequestConfiguration(query_parameters=query))
        same("hits", [item.id for item in page.value], [self.ids[3]])

    async def page(self):
        query = ItemsRequestBuilder.ItemsRequestBuilderGetQueryParameters(expand=["fields"], top=2)
        page = await self.items().get(RequestConfiguration(query_parameters=query))
        sizes, ids = [len(page.value)], [item.id for item in page.value]
        while page.odata_next_link:
            page = await self.items().with_url(page.odata_next_link).get()
            sizes.append(len(page.value))
            ids.extend(item.id for item in page.value)
        same("page sizes", sizes, [2, 2, 1])
        same("ids", ids, self.ids)

    async def delete(self):
        await self.items().by_list_item_id(self.ids[4]).delete()
        try:
            await self.items().by_list_item_id(self.ids[4]).get()
        except APIError as error:
            same("status", error.response_status_code, 404)
            same("code", error.error.code, "itemNotFound")
        else:
            raise steps.Differs("the deleted item is still there")

    async def delta(self):
        query = DeltaRequestBuilder.DeltaRequestBuilderGetQueryParameters(expand=["fields"])
        ids, page = [], await self.items().delta.get(RequestConfiguration(query_parameters=query))
        while True:
            ids.extend(item.id for item in page.value)
            if not page.odata_next_link:
                break
            page = await self.items().delta.with_url(page.odata_next_link).get()
        same("ids", sorted(ids), sorted(self.ids[:4]))
        self.delta_link = page.odata_delta_link

    async def delta_again(self):
        await self.items().by_list_item_id(self.ids[0]).fields.patch(fields(Title="newer"))
        await self.items().by_list_item_id(self.ids[3]).delete()
        page = await self.items().delta.with_url(self.delta_link).get()
        seen = {item.id: item for item in page.value}
        same("ids", sorted(seen), sorted([self.ids[0], self.ids[3]]))
        same("Title", seen[self.ids[0]].fields.additional_data["Title"], "newer")
        same("state of the deleted", seen[self.ids[3]].deleted.state, "deleted")

    async def batch(self):
        content = BatchRequestContent()
        # add_request_information gives ids of its own (msgraph-core 1.5.2), whatever id it is told.
        for item in self.ids[:2]:
            information = self.items().by_list_item_id(item).to_get_request_information()
            content.add_request(item, BatchRequestItem(information, item))
        information = self.items().to_post_request_information(ListItem(fields=fields(Title="in a batch")))
        content.add_request("new", BatchRequestItem(information, "new"))
        answer = await BatchRequestBuilder(self.client.request_adapter).post(content)
        same("statuses", {key: answer.get_response_by_id(key).status for key in [*self.ids[:2], "new"]},
             {self.ids[0]: 200, self.ids[1]: 200, "new": 201})
        # The client reads no body that is a JSON object (msgraph-core 1.5.2), so the new item is read by its place.
        place = answer.get_response_by_id("new").headers["Location"]
        made = await self.items().by_list_item_id(place.rsplit("/", 1)[1]).fields.get()
        same("Title", made.additional_data["Title"], "in a batch")

    async def precondition(self):
        builder = self.items().by_list_item_id(self.ids[0])
        before = (await builder.get()).e_tag
        await builder.fields.patch(fields(Title="newest"))
        configuration = RequestConfiguration()
        configuration.headers.add("If-Match", before)
        try:
            await builder.fields.patch(fields(Title="too late"), configuration)
        except APIError as error:
            same("status", error.response_status_code, 412)
        else:
            raise steps.Differs("a stale eTag was accepted")
        configuration = RequestConfiguration()
        configuration.headers.add("If-Match", (await builder.get()).e_tag)
        await builder.fields.patch(fields(Title="in time"), configuration)

    async def throttle(self):
        begun = steps.throttle_once("item_get")
        item = await self.items().by_list_item_id(self.ids[0]).get()
        same("id", item.id, self.ids[0])
        steps.throttled_once(begun)


async def main():
    steps.begin()
    suite = Suite()
    acts = [suite.token, suite.find_site, suite.make_list, suite.columns, suite.create, suite.read, suite.patch,
            suite.filter, suite.page, suite.delete, suite.delta, suite.delta_again, suite.batch,
            suite.precondition, suite.throttle]
    for name, act in zip(steps.STEPS, acts, strict=True):
        try:
            await act()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the result of the step
            steps.report(name, error)
        else:
            steps.report(name)
    await suite.credential.close()


asyncio.run(main())
