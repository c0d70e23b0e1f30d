//! A reader of lists that shares nothing with the product: plain HTTP and JSON.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use syncbridge_end_to_end::{CLIENT_ID, CLIENT_SECRET, TENANT, World};

/// A client of Graph written for these tests alone: token, list by name, items page by page.
pub(crate) struct Reader<'w> {
    world: &'w World,
    http: reqwest::Client,
    token: String,
}

impl<'w> Reader<'w> {
    /// Signs in.
    pub(crate) async fn of(world: &'w World) -> Self {
        let http = reqwest::Client::new();
        let form = format!(
            "grant_type=client_credentials&client_id={CLIENT_ID}&client_secret={CLIENT_SECRET}\
             &scope=https%3A%2F%2Fgraph.microsoft.com%2F.default"
        );
        let answer = http
            .post(format!("{}/{TENANT}/oauth2/v2.0/token", world.sim.base_url()))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form)
            .send()
            .await
            .expect("the simulator answers");
        let answer: Json = answer.json().await.expect("JSON");
        Self {
            world,
            http,
            token: answer["access_token"].as_str().expect("a token").to_owned(),
        }
    }

    async fn get(&self, url: &str) -> Json {
        let answer = self
            .http
            .get(url)
            .bearer_auth(&self.token)
            .send()
            .await
            .expect("the simulator answers");
        assert!(answer.status().is_success(), "GET {url}: {}", answer.status());
        let text = answer.text().await.expect("a text");
        serde_json::from_str(&text).expect("JSON")
    }

    /// Fields of all items by the whole number in `N`.
    pub(crate) async fn items(&self, list: &str) -> BTreeMap<i64, Json> {
        let root = format!("{}/v1.0", self.world.sim.base_url());
        let site = self
            .get(&format!("{root}/sites/contoso.sharepoint.com:/sites/Company"))
            .await;
        let site = site["id"].as_str().expect("an id").replace(',', "%2C");
        let lists = self.get(&format!("{root}/sites/{site}/lists")).await;
        let lists = lists["value"].as_array().expect("lists");
        let id = lists
            .iter()
            .find(|one| one["displayName"] == list)
            .and_then(|one| one["id"].as_str())
            .expect("the list");
        let mut url = Some(format!(
            "{root}/sites/{site}/lists/{id}/items?$expand=fields&$top=50"
        ));
        let mut found = BTreeMap::new();
        while let Some(next) = url {
            let page = self.get(&next).await;
            for item in page["value"].as_array().expect("items") {
                let number = item["fields"]["N"].as_f64().expect("a number");
                #[allow(clippy::cast_possible_truncation)]
                let twice = found.insert(number as i64, item["fields"].clone());
                assert!(twice.is_none(), "two items of row {number}");
            }
            url = page["@odata.nextLink"].as_str().map(str::to_owned);
        }
        found
    }
}
