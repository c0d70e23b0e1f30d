#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]
use chrono::Utc;
use serde_json::{Value, json};
use std::time::Instant;
use syncbridge_graph_sim::*;
fn main() {
    let mut t = Tenant::new(Options::default()).unwrap();
    let mut r = Request::new(Method::Post, "/contoso/oauth2/v2.0/token");
    r.body =
        "grant_type=client_credentials&client_id=sim-client&client_secret=sim-secret&scope=x/.default".into();
    let tok = t.handle(r, Utc::now()).response.json().unwrap()["access_token"]
        .as_str()
        .unwrap()
        .to_owned();
    let auth = format!("Bearer {tok}");
    let mut cols: Vec<Value> = vec![
        json!({"name":"SyncBridgeKey","text":{},"indexed":true,"enforceUniqueValues":true,"hidden":true}),
    ];
    for i in 0..4 {
        cols.push(json!({"name":format!("T{i}"),"text":{}}));
        cols.push(json!({"name":format!("N{i}"),"number":{}}));
    }
    cols.push(json!({"name":"D","dateTime":{}}));
    let a = t.handle(
        Request::new(Method::Post, "/v1.0/sites/root/lists")
            .header("Authorization", &*auth)
            .json(&json!({"displayName":"L","columns":cols})),
        Utc::now(),
    );
    assert_eq!(a.response.status, 201);
    let n = 100_000u32;
    for patch in [false, true] {
        let reqs: Vec<Request> = (0..n/20).map(|b| {
            let parts: Vec<Value> = (0..20).map(|i| { let id = b*20+i+1;
                let fields = json!({"Title":format!("Row {id}"),"SyncBridgeKey":format!("1aaaaaaaaaaaaaaaaaa{id:08}"),"T0":"hello world","T1":"some text here","T2":"x","T3":"yy","N0":id,"N1":1.5,"N2":2,"N3":3,"D":"2026-01-01T00:00:00Z"});
                if patch { json!({"id":i.to_string(),"method":"PATCH","url":format!("/sites/root/lists/L/items/{id}/fields"),"headers":{"Content-Type":"application/json","client-request-id":"02000000-0000-8000-8000-000000000000"},"body":{"T0":"changed","N0":7}}) }
                else { json!({"id":i.to_string(),"method":"POST","url":"/sites/root/lists/L/items","headers":{"Content-Type":"application/json","client-request-id":"01000000-0000-8000-8000-000000000000"},"body":{"fields":fields}}) }
            }).collect();
            Request::new(Method::Post, "/v1.0/$batch").header("Authorization", &*auth).json(&json!({"requests":parts}))
        }).collect();
        let s = Instant::now();
        let mut bytes = 0;
        for r in reqs {
            let a = t.handle(r, Utc::now());
            bytes += a.response.body.len();
        }
        let e = s.elapsed();
        println!(
            "patch={patch} {} /s, {} B/answer",
            (f64::from(n) / e.as_secs_f64()) as u64,
            bytes / n as usize
        );
    }
    let c = t
        .handle(Request::new(Method::Get, "/_sim/ru"), Utc::now())
        .response
        .json()
        .unwrap();
    println!("{}", c["item_writes"]);
    let s = Instant::now();
    let a = t.handle(
        Request::new(
            Method::Get,
            "/v1.0/sites/root/lists/L/items?$expand=fields&$top=5000",
        )
        .header("Authorization", &*auth),
        Utc::now(),
    );
    println!("page of 5000: {:?} {} bytes", s.elapsed(), a.response.body.len());
    println!(
        "{}",
        std::fs::read_to_string("/proc/self/status")
            .unwrap()
            .lines()
            .find(|l| l.starts_with("VmRSS"))
            .unwrap()
    );
}
