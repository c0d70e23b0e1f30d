//! Resource units: accounts, why-tags, limits.

use serde_json::{Value, json};
use syncbridge_graph_sim::{Options, Profile, QuotaModel};

use crate::harness::{SITE, Sim, refusal, request};

fn documented(quota: QuotaModel) -> Sim {
    Sim::with(Options {
        profile: Profile::Documented,
        quota,
        ..Options::default()
    })
}

fn tagged(sim: &mut Sim, method: &str, path: &str, body: &Value, tag: u8) -> u16 {
    let id = format!("{tag:02x}000000-0000-8000-8000-000000000000");
    sim.send(request(method, path, body).header("client-request-id", id))
        .response
        .status
}

#[test]
fn units_are_counted_by_kind_and_by_why_tag() {
    let mut sim = Sim::new();
    let list = sim.list("L", json!([]));
    sim.control("POST", "ru/reset", Value::Null);
    let calls = [
        ("POST", "items", json!({ "fields": {} }), 1, 201),
        ("PATCH", "items/1/fields", json!({}), 2, 200),
        ("GET", "items", Value::Null, 7, 200),
        ("GET", "items/1", Value::Null, 3, 200),
        ("GET", "items/delta", Value::Null, 6, 200),
        ("GET", "items/delta?token=latest", Value::Null, 6, 200),
        ("DELETE", "items/9", Value::Null, 200, 404),
    ];
    for (method, path, body, tag, status) in calls {
        assert_eq!(
            tagged(&mut sim, method, &format!("{list}/{path}"), &body, tag),
            status,
            "{method} {path}"
        );
    }
    let part = |id: &str, tag: u8| {
        json!({
            "id": id, "method": "GET", "url": format!("{}/columns", list.strip_prefix("/v1.0").unwrap()),
            "headers": { "client-request-id": format!("{tag:02x}000000-0000-8000-8000-000000000000") },
        })
    };
    sim.batch(json!([part("1", 8), part("2", 9)]));
    let ru = sim.control("GET", "ru", Value::Null).json().unwrap();
    let by_tag = |name: &str| ru["by_tag"][name]["ru"].as_u64().unwrap_or(0);
    assert_eq!(
        (
            by_tag("first_write"),
            by_tag("change"),
            by_tag("scan"),
            by_tag("probe")
        ),
        (2, 2, 2, 1)
    );
    assert_eq!(
        (
            by_tag("delta"),
            by_tag("verify"),
            by_tag("provision"),
            by_tag("untagged")
        ),
        (3, 2, 2, 2)
    );
    assert_eq!(ru["by_kind"]["columns"], json!({ "requests": 2, "ru": 4 }));
    assert_eq!(ru["by_kind"]["batch"], json!({ "requests": 1, "ru": 0 }));
    assert_eq!(ru["ru"], 16);
    assert_eq!(ru["clients"]["sim-client"]["ru"], 16);
    assert_eq!(
        ru["item_writes"],
        json!({ "creates": 1, "patches": 1, "deletes": 0 })
    );
}

#[test]
fn every_model_throttles_after_the_minute_s_units_and_recovers() {
    for model in [QuotaModel::Fixed, QuotaModel::Sliding, QuotaModel::Bucket] {
        let mut sim = documented(model);
        // A request of one unit each: the smallest tenant has 1,250 of them a minute.
        let mut admitted = 0;
        let refused = loop {
            let response = sim.get(SITE);
            if response.status == 429 {
                break response;
            }
            admitted += 1;
            assert!(admitted <= 1_250, "{model:?} throttles too late");
        };
        assert_eq!(admitted, 1_250, "{model:?}");
        assert_eq!(refusal(&refused).1, "activityLimitReached");
        let wait: i64 = refused.headers.get("retry-after").unwrap().parse().unwrap();
        assert!((1..=60).contains(&wait), "{model:?} says {wait}");
        assert_eq!(refused.headers.get("ratelimit-limit"), Some("1250"));
        assert_eq!(refused.headers.get("ratelimit-remaining"), Some("0"));
        sim.pass(wait);
        assert_eq!(sim.get(SITE).status, 200, "{model:?} after waiting {wait} s");
        let ru = sim.control("GET", "ru", Value::Null).json().unwrap();
        assert_eq!(
            (&ru["ru"], &ru["throttled"]),
            (&json!(1_252), &json!(1)),
            "a throttled call counts"
        );
    }
}

#[test]
fn the_rate_headers_come_at_eighty_per_cent() {
    let mut sim = documented(QuotaModel::Fixed);
    for _ in 0..999 {
        assert!(sim.get(SITE).headers.get("ratelimit-remaining").is_none());
    }
    let response = sim.get(SITE);
    assert_eq!(response.headers.get("ratelimit-remaining"), Some("250"));
    assert_eq!(response.headers.get("ratelimit-reset"), Some("25"));
}

#[test]
fn parts_of_a_batch_are_throttled_one_by_one() {
    let mut sim = documented(QuotaModel::Fixed);
    for _ in 0..1_240 {
        sim.get(SITE);
    }
    let part = |id: u32| json!({ "id": id.to_string(), "method": "GET", "url": "/sites/root" });
    let parts: Vec<Value> = (0..20).map(part).collect();
    let response = sim.batch(json!(parts));
    assert_eq!(response.status, 200);
    let body = response.json().unwrap();
    let limited: Vec<&Value> = body["responses"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["status"] == 429)
        .collect();
    assert_eq!(limited.len(), 10);
    assert_eq!(limited[0]["headers"]["Retry-After"], "25");
}

#[test]
fn the_day_has_its_own_limit_below_that_of_its_minutes() {
    let mut sim = Sim::with(Options {
        profile: Profile::Documented,
        token_seconds: 999_999,
        ..Options::default()
    });
    // A day of the directory's clock begins; 1,250 a minute would use 1,200,000 units up after sixteen hours.
    sim.pass(86_400 - sim.now.timestamp().rem_euclid(86_400));
    let part = |id: u32| json!({ "id": id.to_string(), "method": "GET", "url": "/sites/root/lists" });
    let batch = json!((0..20).map(part).collect::<Vec<Value>>());
    let mut spent = 0;
    let wait = loop {
        let body = sim.batch(batch.clone()).json().unwrap();
        let limited = body["responses"]
            .as_array()
            .unwrap()
            .iter()
            .find(|one| one["status"] == 429)
            .cloned();
        if let Some(limited) = limited {
            break limited["headers"]["Retry-After"]
                .as_str()
                .unwrap()
                .parse::<i64>()
                .unwrap();
        }
        spent += 40;
        // Two seconds a batch of forty units: 1,200 a minute stay below the minute's limit.
        sim.pass(2);
    };
    assert_eq!(spent, 1_200_000);
    assert!(
        wait > 3_600,
        "the wait is to the end of the day, not of the minute: {wait}"
    );
}

#[test]
fn the_unlimited_profile_counts_and_never_throttles() {
    let mut sim = Sim::new();
    for _ in 0..2_000 {
        assert_eq!(sim.get(SITE).status, 200);
    }
    assert_eq!(sim.control("GET", "ru", Value::Null).json().unwrap()["ru"], 2_000);
}
