//! Records of runs.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde_json::json;
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::feed::FeedKind;
use syncbridge_domain::ids::{DefinitionId, RunId, WorkspaceId};
use syncbridge_domain::list_rules::ListRules;
use syncbridge_domain::mapping::{Mapping, TitleRule};
use syncbridge_domain::policy::Policies;
use syncbridge_domain::quota::{Lane, Ru, Spending, WhyTag};
use syncbridge_domain::run::{
    Counters, Limits, RunKind, RunOptions, RunOutcome, RunSpec, RunState, SPEC_SCHEMA, SourceSpec,
    TargetSpec, Verification,
};
use syncbridge_meta_store::runs::{self, Filter};
use syncbridge_meta_store::{Error, definitions};

use crate::fixture::{ACTOR, LIST, World, run};

fn spec(definition: DefinitionId, kind: RunKind) -> RunSpec {
    RunSpec {
        schema: SPEC_SCHEMA,
        workspace: WorkspaceId::DEFAULT,
        definition,
        definition_name: "d".into(),
        run: run(),
        kind,
        namespace: "d".into(),
        source: SourceSpec {
            schema: "public".into(),
            table: "t".into(),
            feed: FeedKind::FullScan,
            watermark: None,
            sweep: None,
        },
        target: TargetSpec {
            site: "s".into(),
            list: LIST.into(),
            rules: ListRules::default(),
        },
        mapping: Mapping {
            key: vec![],
            fields: vec![],
            title: TitleRule::Key,
            time_zone: Tz::UTC,
        },
        direction: syncbridge_domain::policy::Direction::Push,
        policies: Policies::default(),
        sentinels: Vec::new(),
        history: syncbridge_domain::history::HistoryRule::default(),
        limits: Limits::default(),
        lane: Lane::Scheduled,
        range: syncbridge_domain::verification::KeyRange::default(),
        options: RunOptions::default(),
        list_is_new: false,
    }
}

fn outcome(state: RunState) -> RunOutcome {
    let mut spending = Spending::default();
    spending.add(WhyTag::Change, Ru(4));
    RunOutcome {
        state,
        counters: Counters {
            read: 5,
            patched: 2,
            ..Counters::default()
        },
        spending,
        failure: Some(Failure::new(Scope::Outage, "x.y", "cause", "fix")),
        verification: Some(Verification {
            rows: 5,
            equal: 5,
            ..Verification::default()
        }),
        prediction: None,
        notices: vec!["a remark".into()],
        ended: DateTime::<Utc>::UNIX_EPOCH,
    }
}

#[tokio::test]
async fn a_run_goes_from_queued_to_its_end_once() {
    let world = World::new().await;
    let id = world.definition("d", LIST).await;
    let mut connection = world.store.acquire().await.unwrap();
    let spec = spec(id, RunKind::Push);
    runs::create(&mut connection, &spec, ACTOR).await.unwrap();
    let queued = runs::get(&mut connection, spec.run).await.unwrap();
    assert_eq!(
        (queued.state, queued.started, queued.ended),
        (RunState::Queued, None, None)
    );
    assert_eq!(
        (queued.counters, queued.requested_by.as_str()),
        (Counters::default(), ACTOR)
    );
    assert!(runs::start(&mut connection, spec.run).await.unwrap());
    assert!(
        !runs::start(&mut connection, spec.run).await.unwrap(),
        "only once"
    );
    let expected = outcome(RunState::CompletedWithErrors);
    runs::progress(
        &mut connection,
        spec.run,
        &Counters {
            read: 1,
            ..Counters::default()
        },
        &expected.spending,
    )
    .await
    .unwrap();
    let running = runs::get(&mut connection, spec.run).await.unwrap();
    assert_eq!((running.state, running.counters.read), (RunState::Running, 1));
    assert!(runs::finish(&mut connection, spec.run, &expected).await.unwrap());
    assert!(
        !runs::finish(&mut connection, spec.run, &outcome(RunState::Failed))
            .await
            .unwrap()
    );
    runs::progress(
        &mut connection,
        spec.run,
        &Counters::default(),
        &Spending::default(),
    )
    .await
    .unwrap();
    let ended = runs::get(&mut connection, spec.run).await.unwrap();
    assert_eq!(ended.state, RunState::CompletedWithErrors);
    assert_eq!(
        (ended.counters, ended.spending, ended.failure),
        (expected.counters, expected.spending, expected.failure)
    );
    assert_eq!(
        (ended.verification, ended.prediction),
        (expected.verification, None)
    );
    assert_eq!(ended.notices, expected.notices);
    assert!(ended.ended >= ended.started && ended.started.is_some());
    assert_eq!(runs::spec(&mut connection, spec.run).await.unwrap(), spec);
    runs::add_event(&mut connection, spec.run, "applying", &json!({"rows": 5}))
        .await
        .unwrap();
    assert_eq!(world.count("SELECT count(*) FROM run_events").await, 1);
    let summary = definitions::summaries(&mut connection, WorkspaceId::DEFAULT)
        .await
        .unwrap()
        .remove(0);
    assert_eq!(
        summary.last_run.map(|last| (last.id, last.state)),
        Some((spec.run, ended.state))
    );
}

#[tokio::test]
async fn an_unknown_run_is_named() {
    let world = World::new().await;
    let mut connection = world.store.acquire().await.unwrap();
    let unknown = run();
    let error = runs::get(&mut connection, unknown).await.unwrap_err();
    assert!(
        matches!(&error, Error::NotFound { name, .. } if *name == unknown.to_string()),
        "{error:?}"
    );
    let event = runs::add_event(&mut connection, unknown, "x", &json!({})).await;
    assert!(matches!(event, Err(Error::NotFound { .. })), "{event:?}");
}

#[tokio::test]
async fn runs_are_listed_newest_first_in_pages() {
    let world = World::new().await;
    let (one, two) = (
        world.definition("one", "l1").await,
        world.definition("two", "l2").await,
    );
    let mut connection = world.store.acquire().await.unwrap();
    let mut made: Vec<RunId> = Vec::new();
    for definition in [one, one, two, one] {
        let spec = spec(definition, RunKind::Push);
        runs::create(&mut connection, &spec, ACTOR).await.unwrap();
        made.push(spec.run);
    }
    let mut list = async |filter| -> Vec<RunId> {
        let runs = runs::list(&mut connection, WorkspaceId::DEFAULT, filter)
            .await
            .unwrap();
        runs.into_iter().map(|run| run.id).collect()
    };
    assert_eq!(
        list(Filter {
            limit: 9,
            ..Filter::default()
        })
        .await,
        [made[3], made[2], made[1], made[0]]
    );
    let of_one = Filter {
        definition: Some(one),
        limit: 2,
        before: None,
    };
    assert_eq!(list(of_one).await, [made[3], made[1]]);
    assert_eq!(
        list(Filter {
            before: Some(made[1]),
            ..of_one
        })
        .await,
        [made[0]]
    );
}

#[tokio::test]
async fn a_lost_workers_runs_end_when_another_takes_over() {
    let world = World::new().await;
    let id = world.definition("d", LIST).await;
    let mut connection = world.store.acquire().await.unwrap();
    let specs = [RunKind::Push, RunKind::Verify, RunKind::Push, RunKind::Push].map(|kind| spec(id, kind));
    for (at, spec) in specs.iter().enumerate() {
        runs::create(&mut connection, spec, ACTOR).await.unwrap();
        if at != 2 {
            runs::start(&mut connection, spec.run).await.unwrap();
        }
    }
    let failure = Failure::new(
        Scope::Outage,
        "run.abandoned",
        "its worker was lost",
        "nothing to do",
    );
    let ended = runs::end_abandoned(&mut connection, id, specs[3].run, &failure)
        .await
        .unwrap();
    assert_eq!(
        ended,
        [specs[0].run],
        "not the verification, not the queued one, not our own"
    );
    let lost = runs::get(&mut connection, specs[0].run).await.unwrap();
    assert_eq!((lost.state, lost.failure), (RunState::Failed, Some(failure)));
}
