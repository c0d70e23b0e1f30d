//! A run from its first look to its outcome.

use syncbridge_domain::failure::Failure;
use syncbridge_domain::feed::{Cursor, FeedKind};
use syncbridge_domain::run::{RunKind, RunOutcome, RunSpec, RunState, SPEC_SCHEMA};

use crate::ports::{Ledger, PortResult, Target};
use crate::session::{Session, World, WorldPorts};

/// What a run found beside its counters.
#[derive(Default)]
struct Found {
    verification: Option<syncbridge_domain::run::Verification>,
    prediction: Option<syncbridge_domain::run::Prediction>,
}

/// Runs a definition once. Never fails: what went wrong is part of the outcome.
pub async fn run<W: World>(spec: &RunSpec, ports: WorldPorts<'_, W>) -> RunOutcome {
    let clock = ports.clock;
    let target = ports.target;
    let mut session = match open::<W>(spec, ports).await {
        Ok(session) => session,
        Err(failure) => {
            return RunOutcome {
                state: state_of(&failure),
                counters: Default::default(),
                spending: target.spending(),
                failure: Some(failure),
                verification: None,
                prediction: None,
                notices: Vec::new(),
                ended: clock.now(),
            };
        }
    };
    let mut found = Found::default();
    // One allocation a run, so that no caller has to carry the whole of it on its stack.
    let result = Box::pin(execute(&mut session, &mut found)).await;
    session.report();
    let failure = result.err();
    let state = match &failure {
        Some(failure) => state_of(failure),
        None => finished(&session, &found),
    };
    RunOutcome {
        state,
        counters: session.counters,
        spending: target.spending(),
        failure,
        verification: found.verification,
        prediction: found.prediction,
        notices: session.notices,
        ended: clock.now(),
    }
}

async fn open<'a, W: World>(spec: &'a RunSpec, ports: WorldPorts<'a, W>) -> PortResult<Session<'a, W>> {
    if spec.schema != SPEC_SCHEMA {
        return Err(Failure::new(
            syncbridge_domain::failure::Scope::List,
            "run.worker_too_old",
            format!(
                "the run specification has version {}, this worker knows {SPEC_SCHEMA}",
                spec.schema
            ),
            "upgrade the worker",
        ));
    }
    Session::open(spec, ports).await
}

async fn execute<W: World>(session: &mut Session<'_, W>, found: &mut Found) -> PortResult<()> {
    match session.spec.kind {
        RunKind::Push | RunKind::Pull | RunKind::TwoWay => drive(session).await,
        RunKind::Verify => {
            found.verification = Some(session.verify(false).await?.0);
            Ok(())
        }
        RunKind::Repair => {
            found.verification = Some(session.repair().await?);
            Ok(())
        }
        RunKind::Plan => {
            found.prediction = Some(match session.spec.options.plan {
                Some(plan) => session.rehearse(plan).await?,
                None => session.plan().await?,
            });
            Ok(())
        }
    }
}

pub(crate) async fn drive<W: World>(session: &mut Session<'_, W>) -> PortResult<()> {
    session.refuse_other_hash_key().await?;
    session.remember_layout().await?;
    session.recover().await?;
    if let Some(how) = session.spec.options.retire {
        return session.retire(how).await;
    }
    if let Some(run) = session.spec.options.revert {
        session.revert(run).await?;
        session.disarm().await?;
        return session.conclude().await;
    }
    session.ports.ledger.requeue_due(session.fence()).await?;
    if session.spec.options.approve_unagreed {
        session.ports.ledger.requeue_approved(session.fence()).await?;
    }
    if session.spec.options.reset_cursor {
        session
            .ports
            .ledger
            .mark_dirty(session.fence(), &[], Some(&Cursor::default()))
            .await?;
    }
    let layout = session.layout;
    let hash_key = session.ports.hash_key.id();
    session.stale_rows = session.ports.ledger.stale_rows(layout, hash_key).await?;
    let cursor = session.ports.ledger.cursor().await?;
    let strangers = session.expects_strangers(&cursor).await?;
    session.anchor(&cursor).await?;
    if strangers {
        session.adopt_strangers().await?;
    }
    if session.pulls() {
        // What people did is known before anything is written over it, and before items are made.
        session.take_list_changes().await?;
    }
    follow_source(session, cursor).await?;
    session.drain().await?;
    session.disarm().await?;
    session.conclude().await?;
    // Rows refused earlier and not due yet are not looked at, and still the list is not what it should be.
    session.refused_rows = session.ports.ledger.quarantine_size().await?;
    Ok(())
}

/// Makes what changed in the source dirty, or copies it for the first time.
async fn follow_source<W: World>(session: &mut Session<'_, W>, cursor: Cursor) -> PortResult<()> {
    match cursor {
        Cursor::FirstCopy { after, pending } => {
            let whole = after.is_none();
            session.first_copy(after, pending).await?;
            // A copy over an existing ledger (a reset cursor) does not see what is gone; a scan does.
            let nothing_known = session.counters.unchanged == 0;
            if session.spec.options.full || !nothing_known && session.spec.source.feed == FeedKind::FullScan {
                session.full_scan().await?;
            } else if whole && nothing_known {
                // Nothing can be gone of a table that was never known: that is as good as a comparison.
                let run = session.spec.run;
                let mark = syncbridge_domain::feed::Mark::default();
                session.ports.ledger.swept(session.fence(), run, mark).await?;
            }
        }
        Cursor::Steady { watermark, pending } => {
            let by_watermark = session.spec.source.feed == FeedKind::Watermark && !session.spec.options.full;
            // Rows of another layout do not show in a watermark pass, which sees only what changed since.
            if by_watermark && session.stale_rows == 0 && !session.sweep_is_due().await? {
                session.watermark_pass(watermark, pending).await?;
            } else {
                session.full_scan().await?;
            }
        }
    }
    Ok(())
}

fn finished<W: World>(session: &Session<'_, W>, found: &Found) -> RunState {
    let unequal = match &found.verification {
        // What a repair found is put right by its end, but for what it says it left.
        Some(_) if session.repairs() => session.unrepaired > 0,
        Some(verification) => !verification.is_equal(),
        None => false,
    };
    let counters = &session.counters;
    if counters.quarantined + counters.parked + session.refused_rows > 0 || unequal {
        RunState::CompletedWithErrors
    } else {
        RunState::Completed
    }
}

fn state_of(failure: &Failure) -> RunState {
    match failure.code.as_str() {
        "run.cancelled" => RunState::Cancelled,
        "lease.held" | "list.went_back" => RunState::Refused,
        _ => RunState::Failed,
    }
}
