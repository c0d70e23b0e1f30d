//! `cursor show` and `cursor reset`: how far a definition's table, and in both directions its list, were taken over.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::feed::Cursor;
use syncbridge_domain::ids::RunId;
use syncbridge_meta_store::ledger::DeltaPosition;
use syncbridge_meta_store::{DefinitionStore, audit, leases, ledger};
use uuid::Uuid;

use crate::Operations;
use crate::actor::Actor;
use crate::definition;
use crate::error::Result;

/// How long a reset may take; it is one small transaction.
const TERM: Duration = Duration::from_secs(30);

/// Where a definition's feed stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CursorView {
    /// The definition.
    pub definition: String,
    /// `first_copy` or `steady`.
    pub phase: &'static str,
    /// The key up to which the first copy is done; key values, as PostgreSQL prints them.
    pub copied_up_to: Option<Vec<String>>,
    /// The watermark up to which everything is taken over.
    pub watermark: Option<String>,
    /// Newer watermarks that wait for transactions to end before they count.
    pub waiting: Vec<String>,
    /// When the cursor last moved.
    pub moved: Option<DateTime<Utc>>,
    /// When the whole table was last compared.
    pub last_sweep: Option<DateTime<Utc>>,
    /// Where the list's own feed of changes stands; absent where it was never asked.
    pub list: Option<ListFeedView>,
}

/// Where the list's own feed of changes stands. Its token is not shown: it may hold what looks like a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListFeedView {
    /// `first_pass` until the list was read to its end once, then `steady`; `whole_pass` while it is read as a whole
    /// again.
    pub phase: &'static str,
    /// Whether a pass stopped on its way; the next run goes on there.
    pub under_way: bool,
    /// When the cursor last moved.
    pub moved: DateTime<Utc>,
}

/// Which of a definition's two feeds is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CursorFeed {
    /// The table's.
    Table,
    /// The list's own feed of changes.
    List,
}

impl CursorFeed {
    fn name(self) -> &'static str {
        match self {
            CursorFeed::Table => "source",
            CursorFeed::List => "delta",
        }
    }
}

impl From<DeltaPosition> for ListFeedView {
    fn from(position: DeltaPosition) -> Self {
        Self {
            phase: match (position.token, position.whole) {
                (false, _) => "first_pass",
                (true, true) => "whole_pass",
                (true, false) => "steady",
            },
            under_way: position.under_way,
            moved: position.moved,
        }
    }
}

impl Operations {
    /// How far a definition's table was taken over.
    ///
    /// # Errors
    /// `manifest.unknown`, with the names there are.
    pub async fn cursor_show(&self, name: &str) -> Result<CursorView> {
        let mut connection = self.store.acquire().await?;
        let id = definition::id(&mut connection, self.workspace, name).await?;
        let found = ledger::position(&mut connection, id).await?;
        let (phase, copied_up_to, watermark, pending) = match found.cursor {
            Cursor::FirstCopy { after, pending } => {
                let texts = after.as_ref().and_then(|key| key.texts().ok());
                let texts = texts.map(|texts| texts.into_iter().map(str::to_owned).collect());
                ("first_copy", texts, None, pending)
            }
            Cursor::Steady { watermark, pending } => ("steady", None, watermark, pending),
        };
        Ok(CursorView {
            definition: name.to_owned(),
            phase,
            copied_up_to,
            watermark,
            waiting: pending.into_iter().map(|pending| pending.value).collect(),
            moved: found.moved,
            last_sweep: found.swept,
            list: found.delta.map(ListFeedView::from),
        })
    }

    /// Forgets how far one feed of a definition was taken over: its next run looks at every row of the table, or
    /// reads the list as a whole. The ledger stays, so that unchanged rows cost nothing.
    ///
    /// # Errors
    /// `lease.held` while a run drives the definition; `run.no_list` where it never ran.
    pub async fn cursor_reset(&self, actor: &Actor, name: &str, feed: CursorFeed) -> Result<CursorView> {
        let mut connection = self.store.acquire().await?;
        let id = definition::id(&mut connection, self.workspace, name).await?;
        drop(connection);
        let memory = DefinitionStore::open(&self.store, &self.ring, id).await?;
        let run = RunId::from_uuid(Uuid::now_v7());
        let holder = format!("cursor reset by {}", actor.name());
        let fence = match leases::acquire(&self.store, id, &holder, run, TERM).await? {
            leases::Lease::Acquired(acquired) => acquired.fence,
            leases::Lease::Held(held) => return Err(driven(name, &held.by).into()),
        };
        let reset = match feed {
            CursorFeed::Table => memory.mark_dirty(fence, &[], Some(&Cursor::default())).await,
            CursorFeed::List => memory.forget_delta(fence).await,
        };
        leases::release(&self.store, fence).await?;
        reset?;
        let mut tx = self.store.begin().await?;
        let entry = audit::NewEntry {
            actor: actor.name(),
            action: "cursor_reset",
            object_kind: "SyncDefinition",
            object_id: &id.to_string(),
            object_name: name,
            detail: &json!({ "feed": feed.name() }),
        };
        audit::append(&mut tx, self.workspace, entry).await?;
        tx.commit().await.map_err(syncbridge_meta_store::Error::from)?;
        self.cursor_show(name).await
    }
}

fn driven(name: &str, by: &str) -> Failure {
    Failure::new(
        Scope::List,
        "lease.held",
        format!("{by} drives definition `{name}` just now"),
        "wait until that run ends, then reset the cursor again",
    )
}
