//! The client over HTTP against the simulator as a process of its own.
#![allow(
    clippy::disallowed_methods,
    reason = "real time and chance, handed in through the ports as a worker does"
)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where its premise fails"
)]

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde_json::{Value as Json, json};
use syncbridge_devstack::simulator::{GraphSim, Profile, SimOptions};
use syncbridge_domain::clock::{Clock, Entropy, Monotonic};
use syncbridge_domain::facet::Facet;
use syncbridge_domain::failure::Scope;
use syncbridge_domain::identity::{Identity, Key, KeyColumn, SyncKey};
use syncbridge_domain::list_rules::ListRules;
use syncbridge_domain::mapping::{FieldMapping, Mapping, SYNC_KEY_COLUMN, TitleRule};
use syncbridge_domain::pg_type::PgType;
use syncbridge_domain::policy::Direction;
use syncbridge_domain::quota::WhyTag;
use syncbridge_domain::receipt::{
    Fields, Item, ItemId, ItemRead, Lookup, Receipt, Refusal, RowName, TaggedWrite, Write,
};
use syncbridge_target_graph::cloud::Cloud;
use syncbridge_target_graph::column::DesiredList;
use syncbridge_target_graph::egress::EgressRules;
use syncbridge_target_graph::{
    Budget, ClientSettings, Credentials, GraphClient, ListSettings, ListTarget, ReqwestTransport, codes,
};

const SITE: &str = "https://contoso.sharepoint.com/sites/Company";
const SECRET: &str = "planted-client-secret";

struct System(Instant);

impl Clock for System {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic(self.0.elapsed())
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(tokio::time::sleep(duration))
    }
}

impl Entropy for System {
    fn fill(&self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(16) {
            let random = *uuid::Uuid::new_v4().as_bytes();
            chunk.copy_from_slice(&random[..chunk.len()]);
        }
    }
}

fn field(target: &str, facet: Facet) -> FieldMapping {
    FieldMapping {
        column: target.to_lowercase(),
        pg_type: PgType::Text,
        nullable: true,
        target: target.into(),
        display_name: format!("The {target}"),
        facet,
        direction: Direction::Push,
        passive: false,
        conflict: None,
        on_foreign_edit: None,
    }
}

fn mapping() -> Mapping {
    Mapping {
        key: vec![KeyColumn {
            name: "id".into(),
            pg_type: PgType::Int8,
        }],
        fields: vec![
            field("Title", Facet::Text { max_length: 255 }),
            field("Amount", Facet::Number { decimals: Some(2) }),
            field("Notes", Facet::MultiLine),
            field("Done", Facet::Boolean),
            field(
                "Phase",
                Facet::Choice {
                    choices: vec!["Plan".into(), "Build".into()],
                },
            ),
            field("Due", Facet::DateTime),
        ],
        title: TitleRule::Mapped,
        time_zone: chrono_tz::UTC,
    }
}

struct Stack {
    sim: GraphSim,
    clock: Arc<System>,
    client: GraphClient<ReqwestTransport>,
    site: String,
}

async fn simulator(faults: &[&str], profile: Profile) -> GraphSim {
    let options = SimOptions {
        profile,
        faults: faults.iter().map(|fault| (*fault).to_owned()).collect(),
        clients: vec![("app".into(), SECRET.into())],
        sites: vec!["Company".into()],
        ..SimOptions::default()
    };
    GraphSim::start(options).await.unwrap()
}

fn client(sim: &GraphSim, secret: &str) -> (Arc<System>, GraphClient<ReqwestTransport>) {
    let clock = Arc::new(System(Instant::now()));
    let cloud = Cloud::Custom {
        authority: sim.base_url(),
        graph_root: sim.base_url(),
    };
    let rules = EgressRules {
        allow_custom_cloud: true,
        allow_insecure_loopback: true,
    };
    let credentials = Credentials::by_secret("contoso", "app", secret);
    let mut settings = ClientSettings::new(credentials, cloud.endpoints(rules).unwrap(), "0.1.0");
    settings.retry.first_wait = Duration::from_millis(20);
    let budget = Budget::new(None, clock.clone());
    let transport = ReqwestTransport::new().unwrap();
    (
        clock.clone(),
        GraphClient::new(transport, settings, budget, clock.clone(), clock),
    )
}

async fn stack(faults: &[&str]) -> Stack {
    let sim = simulator(faults, Profile::Unlimited).await;
    let (clock, client) = client(&sim, SECRET);
    let site = client.site(SITE).await.unwrap().id;
    Stack {
        sim,
        clock,
        client,
        site,
    }
}

impl Stack {
    async fn target(&self) -> ListTarget<ReqwestTransport> {
        let desired = DesiredList::of_mapping("Projects", None, &mapping());
        let made = self.client.provision(&self.site, &desired).await.unwrap();
        let settings = ListSettings {
            page_size: 7,
            ..ListSettings::default()
        };
        ListTarget::open(
            &self.client,
            &self.site,
            &made.list_id,
            &mapping(),
            settings,
            &ListRules::default(),
        )
        .await
        .unwrap()
    }

    fn deadline(&self) -> Monotonic {
        self.clock.monotonic() + Duration::from_secs(30)
    }

    /// One of the simulator's own pages.
    async fn sim_page(&self, path: &str) -> Json {
        sim_page(&self.sim, path).await
    }
}

async fn sim_page(sim: &GraphSim, path: &str) -> Json {
    use syncbridge_target_graph::transport::{HttpRequest, Method, Transport};
    let request = HttpRequest {
        method: Method::Get,
        url: format!("{}/_sim/{path}", sim.base_url()),
        headers: Vec::new(),
        bearer: None,
        leave: None,
        body: None,
        max_answer: 1 << 24,
    };
    let answer = ReqwestTransport::new()
        .unwrap()
        .send(request, Duration::from_secs(30))
        .await
        .unwrap();
    serde_json::from_slice(&answer.body).unwrap()
}

fn name(n: u8) -> RowName {
    RowName {
        sync_key: SyncKey::of(Identity::from_bytes([n; 16])),
        key: Key::from_bytes(b"\x05\0\0\0\x01k".to_vec()).unwrap(),
    }
}

fn key(n: u8) -> SyncKey {
    SyncKey::of(Identity::from_bytes([n; 16]))
}

fn fields(n: u8) -> Fields {
    [
        ("Title".to_owned(), json!(format!("Row {n}: planted-cell-value"))),
        ("Amount".to_owned(), json!(f64::from(n) + 0.25)),
        ("Notes".to_owned(), json!("one\ntwo 'quoted' & ünïcode")),
        ("Done".to_owned(), json!(n.is_multiple_of(2))),
        ("Phase".to_owned(), json!("Build")),
        ("Due".to_owned(), json!("2026-06-03T15:07:35Z")),
        (SYNC_KEY_COLUMN.to_owned(), json!(key(n).as_str())),
    ]
    .into()
}

fn create(n: u8) -> TaggedWrite {
    TaggedWrite {
        write: Write::Create { fields: fields(n) },
        why: WhyTag::FirstWrite,
    }
}

fn patch(item: &Item, fields: Fields) -> TaggedWrite {
    let write = Write::Patch {
        item: item.id.clone(),
        expected: item.version,
        fields,
    };
    TaggedWrite {
        write,
        why: WhyTag::Change,
    }
}

fn applied(receipt: &Receipt) -> &Item {
    match receipt {
        Receipt::Applied {
            item: Some(item),
            request_id: Some(_),
        } => item,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_list_is_provisioned_once_and_a_second_time_costs_no_write() {
    let stack = stack(&["new_list_not_found,millis=300"]).await;
    let desired = DesiredList::of_mapping("Projects", Some("From the database".into()), &mapping());
    let before = stack.client.inspect(&stack.site, &desired).await.unwrap();
    assert!(before.list.is_none() && before.missing.len() == 6);
    let made = stack.client.provision(&stack.site, &desired).await.unwrap();
    assert!(made.created && made.title_renamed && made.columns_added.is_empty());
    assert!(
        made.list_web_url.ends_with("/Lists/Projects"),
        "{}",
        made.list_web_url
    );
    let writes = |usage: &Json| {
        let kinds = usage["by_kind"].clone();
        let of = |kind: &str| kinds[kind]["requests"].as_u64().unwrap_or(0);
        of("list_create") + of("column_create") + of("column_update")
    };
    let usage = stack.sim_page("ru").await;
    let first = writes(&usage);
    assert!(first > 0, "{usage}");
    let again = stack.client.provision(&stack.site, &desired).await.unwrap();
    assert_eq!((again.created, &again.list_id), (false, &made.list_id));
    assert_eq!(writes(&stack.sim_page("ru").await), first, "nothing was written");
    assert!(stack.client.inspect(&stack.site, &desired).await.unwrap().fits());
    let (site, list) = stack
        .client
        .by_address(&format!("{SITE}/Lists/Projects/AllItems.aspx"))
        .await
        .unwrap();
    assert_eq!(
        (site.id, list.unwrap().id),
        (stack.site.clone(), made.list_id.clone())
    );
    // A mapping that grew adds what is missing, and one that does not fit stops.
    let mut wider = mapping();
    wider.fields.push(field("Owner", Facet::Text { max_length: 100 }));
    wider.fields[4].facet = Facet::Choice {
        choices: vec!["Build".into(), "Closed".into()],
    };
    let wider = DesiredList::of_mapping("Projects", None, &wider);
    let grown = stack.client.provision(&stack.site, &wider).await.unwrap();
    assert_eq!(
        (grown.columns_added, grown.choices_extended),
        (vec!["Owner".to_owned()], vec!["Phase".to_owned()])
    );
    let mut other = mapping();
    other.fields[1].facet = Facet::Boolean;
    let other = DesiredList::of_mapping("Projects", None, &other);
    assert_eq!(
        stack
            .client
            .provision(&stack.site, &other)
            .await
            .unwrap_err()
            .code,
        codes::COLUMNS_DIFFER
    );
}

#[tokio::test]
async fn items_are_made_changed_found_read_paged_and_deleted_and_every_unit_is_accounted() {
    let stack = stack(&[]).await;
    let target = stack.target().await;
    let receipts = target
        .write((0..20).map(create).collect(), stack.deadline())
        .await;
    let items: Vec<Item> = receipts.iter().map(|receipt| applied(receipt).clone()).collect();
    for (n, item) in (0..20).zip(&items) {
        for (name, value) in fields(n).iter().filter(|(name, _)| *name != SYNC_KEY_COLUMN) {
            assert_eq!(item.value(name), Some(value), "{name}");
        }
    }
    // Alone, and clearing a cell.
    let cleared: Fields = [
        ("Amount".to_owned(), Json::Null),
        ("Title".to_owned(), json!("New")),
    ]
    .into();
    let receipt = target
        .write(vec![patch(&items[0], cleared.clone())], stack.deadline())
        .await;
    let changed = applied(&receipt[0]);
    assert_eq!(
        (changed.value("Amount"), changed.value("Title")),
        (Some(&Json::Null), Some(&json!("New")))
    );
    assert!(changed.version.counter > items[0].version.counter);
    // Together: out of date, deleted, a duplicate.
    let delete = Write::Delete {
        item: items[1].id.clone(),
        expected: items[1].version,
    };
    let writes = vec![
        patch(&items[0], cleared.clone()),
        TaggedWrite {
            write: delete,
            why: WhyTag::Change,
        },
        create(7),
    ];
    let receipts = target.write(writes, stack.deadline()).await;
    assert!(
        matches!(
            receipts[0],
            Receipt::Refused {
                refusal: Refusal::Precondition
            }
        ),
        "{:?}",
        receipts[0]
    );
    assert!(
        matches!(receipts[1], Receipt::Applied { item: None, .. }),
        "{:?}",
        receipts[1]
    );
    assert!(
        matches!(
            receipts[2],
            Receipt::Refused {
                refusal: Refusal::Duplicate(_)
            }
        ),
        "{:?}",
        receipts[2]
    );
    let receipt = target
        .write(vec![patch(&items[1], cleared)], stack.deadline())
        .await;
    assert!(
        matches!(
            receipt[0],
            Receipt::Refused {
                refusal: Refusal::Gone
            }
        ),
        "{:?}",
        receipt[0]
    );

    let found = target
        .lookup(&(0..25).map(name).collect::<Vec<_>>(), WhyTag::Probe)
        .await;
    assert!(
        matches!(&found[2], Lookup::One(item) if item.sync_key() == Some(key(2).as_str()) && item.id == items[2].id)
    );
    assert_eq!((&found[1], &found[24]), (&Lookup::Empty, &Lookup::Empty));
    let reads = target
        .read(
            &[items[1].id.clone(), items[3].id.clone(), ItemId("99999".into())],
            WhyTag::Probe,
        )
        .await;
    assert_eq!((&reads[0], &reads[2]), (&ItemRead::Gone, &ItemRead::Gone));
    assert!(matches!(&reads[1], ItemRead::One(item) if item.version == items[3].version && item.complete));

    let (mut seen, mut next) = (BTreeMap::new(), None);
    loop {
        let page = target.page(next.as_deref(), WhyTag::Scan).await.unwrap();
        assert!(page.items.len() <= 7);
        seen.extend(
            page.items
                .into_iter()
                .map(|item| (item.sync_key().unwrap().to_owned(), item.id)),
        );
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    assert_eq!(seen.len(), 19);
    assert_accounts_agree(&stack, &target).await;
}

/// Our account, reason by reason, is the simulator's.
async fn assert_accounts_agree(stack: &Stack, target: &ListTarget<ReqwestTransport>) {
    let mut ours = stack.client.spending();
    ours.merge(&target.spending());
    let usage = stack.sim_page("ru").await;
    for tag in WhyTag::ALL {
        let theirs = usage["by_tag"][tag.name()]["ru"].as_u64().unwrap_or(0);
        assert_eq!(ours.of(tag).0, theirs, "{}: {usage}", tag.name());
    }
    assert_eq!(usage["by_tag"]["untagged"]["ru"].as_u64().unwrap_or(0), 0);
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_is_unknown_and_found_by_its_key() {
    for fault in [
        "lost_answer,on=batch,times=1",
        "lost_answer,on=create,times=1",
        "server_error,on=create,times=1,status=502,body=html,applied=true",
    ] {
        let stack = stack(&[fault]).await;
        let target = stack.target().await;
        let receipts = target.write((0..4).map(create).collect(), stack.deadline()).await;
        let unknown = receipts
            .iter()
            .filter(|receipt| matches!(receipt, Receipt::Unknown { .. }))
            .count();
        assert_eq!(
            unknown,
            if fault.contains("on=batch") { 4 } else { 1 },
            "{fault}: {receipts:?}"
        );
        for found in target
            .lookup(&(0..4).map(name).collect::<Vec<_>>(), WhyTag::Probe)
            .await
        {
            assert!(matches!(found, Lookup::One(_)), "{fault}: {found:?}");
        }
        assert_accounts_agree(&stack, &target).await;
    }
    // Alone, and through a cut connection.
    let stack = stack(&["lost_answer,on=create,times=1"]).await;
    let target = stack.target().await;
    let receipts = target.write(vec![create(1)], stack.deadline()).await;
    assert!(
        matches!(receipts[0], Receipt::Unknown { .. }),
        "{:?}",
        receipts[0]
    );
    assert!(matches!(
        target.lookup(&[name(1)], WhyTag::Probe).await[0],
        Lookup::One(_)
    ));
}

#[tokio::test]
async fn throttled_parts_wait_and_refused_ones_name_their_reason() {
    let stack = stack(&[
        "throttle,on=create,after=1,times=1,retry_after=0.249",
        "refuse,on=create,field=Title,equals=Row 3: planted-cell-value",
        "unauthorized,on=patch,times=1",
        "server_error,on=items,times=2,status=503,body=empty",
    ])
    .await;
    let target = stack.target().await;
    let receipts = target.write((0..5).map(create).collect(), stack.deadline()).await;
    let throttled = |r: &&Receipt| matches!(r, Receipt::Refused { refusal: Refusal::Throttled(wait) } if *wait == Duration::from_millis(249));
    assert_eq!(receipts.iter().filter(throttled).count(), 1, "{receipts:?}");
    let failed: Vec<_> = receipts
        .iter()
        .filter_map(|r| match r {
            Receipt::Refused {
                refusal: Refusal::Failed(failure),
            } => Some(failure),
            _ => None,
        })
        .collect();
    assert_eq!(failed.len(), 1);
    assert!(
        failed[0].request_id.is_some() && !failed[0].to_string().contains("planted"),
        "{}",
        failed[0]
    );
    let made: Vec<&Item> = receipts
        .iter()
        .filter_map(|r| match r {
            Receipt::Applied { item, .. } => item.as_ref(),
            _ => None,
        })
        .collect();
    assert_eq!(made.len(), 3);
    let fields: Fields = [("Done".to_owned(), json!(true))].into();
    let patched = target
        .write(
            made.iter().map(|item| patch(item, fields.clone())).collect(),
            stack.deadline(),
        )
        .await;
    for receipt in &patched {
        assert!(
            applied(receipt).version.counter > 1,
            "a 401 of a part brought a new token"
        );
    }
    assert_eq!(
        target.page(None, WhyTag::Scan).await.unwrap().items.len(),
        3,
        "read again after faults"
    );
    assert_accounts_agree(&stack, &target).await;
}

#[tokio::test]
async fn a_wrong_secret_an_unknown_site_and_a_missing_list_are_told_apart() {
    let sim = simulator(&[], Profile::Unlimited).await;
    let (_, wrong) = client(&sim, "not-the-secret");
    let failure = wrong.site(SITE).await.unwrap_err();
    assert_eq!(failure.code, codes::BAD_SECRET);
    assert!(!failure.to_string().contains("not-the-secret"));
    let (_, right) = client(&sim, SECRET);
    right.sign_in().await.unwrap();
    let failure = right
        .site("https://contoso.sharepoint.com/sites/Nowhere")
        .await
        .unwrap_err();
    assert_eq!(failure.code, codes::SITE_NOT_FOUND);
    let site = right.site(SITE).await.unwrap();
    let nowhere = "00000000-0000-4000-8000-00000000dead";
    let failure = ListTarget::open(
        &right,
        &site.id,
        nowhere,
        &mapping(),
        ListSettings::default(),
        &ListRules::default(),
    )
    .await
    .unwrap_err();
    assert_eq!(failure.code, codes::LIST_NOT_FOUND);
    let access = right.probe_access(&site.id, Some(nowhere)).await;
    assert!(access.site.is_ok() && access.lists.is_err());
    drop(sim);
    assert_eq!(right.site(SITE).await.unwrap_err().code, codes::UNREACHABLE);
}

#[tokio::test]
async fn after_the_service_throttles_nothing_more_is_sent_for_the_time_it_asked() {
    let sim = simulator(&[], Profile::Documented).await;
    let (clock, client) = client(&sim, SECRET);
    let site = client.site(SITE).await.unwrap().id;
    let stack = Stack {
        sim,
        clock,
        client,
        site,
    };
    let target = stack.target().await;
    let numbered = |n: u64| {
        let fields: Fields = [("Amount".to_owned(), json!(n))].into();
        TaggedWrite {
            write: Write::Create { fields },
            why: WhyTag::FirstWrite,
        }
    };
    // The smallest tenant's minute holds 625 writes; a minute may end in between, two will not.
    let mut throttled = false;
    for round in 0..80 {
        let deadline = stack.clock.monotonic() + Duration::from_secs(5);
        let receipts = target
            .write((0..20).map(|n| numbered(round * 20 + n)).collect(), deadline)
            .await;
        throttled = receipts.iter().any(|r| {
            matches!(
                r,
                Receipt::Refused {
                    refusal: Refusal::Throttled(_)
                }
            )
        });
        if throttled {
            break;
        }
    }
    assert!(throttled, "the documented limits never struck");
    let before = stack.sim_page("ru").await;
    assert!(before["throttled"].as_u64() > Some(0), "{before}");
    // A deadline shorter than any wait: told at once, not tried.
    let soon = stack.clock.monotonic() + Duration::from_millis(1);
    let receipts = target.write(vec![numbered(0), numbered(1)], soon).await;
    for receipt in receipts {
        assert!(
            matches!(
                receipt,
                Receipt::Refused {
                    refusal: Refusal::Throttled(_)
                }
            ),
            "{receipt:?}"
        );
    }
    assert_eq!(stack.sim_page("ru").await["requests"], before["requests"]);
    assert_accounts_agree(&stack, &target).await;
}

/// Everything any layer logs, at the finest level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_12_secrets_cell_values_and_sync_keys_appear_in_no_log_line_of_the_graph_client() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let stack = stack(&["refuse,on=create,every=3", "lost_answer,on=patch,times=1"]).await;
    let target = stack.target().await;
    let receipts = target.write((0..6).map(create).collect(), stack.deadline()).await;
    let item = receipts
        .iter()
        .find_map(|r| match r {
            Receipt::Applied { item, .. } => item.clone(),
            _ => None,
        })
        .unwrap();
    let lost = target
        .write(vec![patch(&item, fields(9))], stack.deadline())
        .await;
    let _ = target.lookup(&[name(0)], WhyTag::Probe).await;
    let _ = target.page(None, WhyTag::Scan).await;
    drop(guard);
    let mut text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(
        text.contains("graph request") && text.contains("/sites/{site}/lists/{list}/items"),
        "{text}"
    );
    text.push_str(&format!("{receipts:?} {lost:?}"));
    for planted in ["planted", "quoted", key(0).as_str(), "Bearer"] {
        assert!(!text.contains(planted), "{planted} in {text}");
    }
}

async fn permit(sim: &GraphSim, permissions: &Json) {
    // A second provider for the same process is refused, and the first is the same one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let url = format!("{}/_sim/permissions", sim.base_url());
    let answer = reqwest::Client::new()
        .put(url)
        .json(permissions)
        .send()
        .await
        .unwrap();
    assert!(answer.status().is_success(), "{answer:?}");
}

#[tokio::test]
async fn a_14_every_missing_permission_names_the_one_to_grant() {
    let stack = stack(&[]).await;
    let target = stack.target().await;
    let desired = DesiredList::of_mapping("Another", None, &mapping());
    permit(&stack.sim, &json!({"clients": {"app": "write"}})).await;
    let failure = stack.client.provision(&stack.site, &desired).await.unwrap_err();
    assert_eq!(failure.code, codes::FORBIDDEN);
    assert!(failure.fix.contains("Sites.Manage.All"), "{failure}");
    permit(&stack.sim, &json!({"clients": {"app": "read"}})).await;
    for writes in [vec![create(1)], vec![create(1), create(2)]] {
        for receipt in target.write(writes, stack.deadline()).await {
            let Receipt::Refused {
                refusal: Refusal::Failed(failure),
            } = receipt
            else {
                panic!("{receipt:?}")
            };
            assert_eq!(
                (failure.code.as_str(), failure.scope),
                (codes::FORBIDDEN, Scope::List)
            );
            assert!(failure.fix.contains("`write`"), "{failure}");
        }
    }
    permit(&stack.sim, &json!({"clients": {"app": "none"}})).await;
    let access = stack.client.probe_access(&stack.site, None).await;
    let failure = access.site.unwrap_err();
    assert_eq!(failure.code, codes::FORBIDDEN);
    assert!(failure.fix.contains("Sites.Selected"), "{failure}");
    assert!(access.lists.is_err() && access.columns.is_err());
}
