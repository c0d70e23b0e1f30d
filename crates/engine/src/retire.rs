//! The last run of a definition: its items go, or are marked, as if every row were gone. Each is an effect like
//! any other, so that it can be interrupted and gone on with, and the guard asks first.

use syncbridge_domain::effect::Subject;
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::feed::{Cursor, Mark};
use syncbridge_domain::identity::Identity;
use syncbridge_domain::ledger::LedgerState;
use syncbridge_domain::quota::WhyTag;
use syncbridge_domain::row::Presence;
use syncbridge_domain::run::Retire;

use crate::ports::{Ledger, PortResult, Progress, Step};
use crate::session::{Session, World};
use crate::work::{Heard, Held, Work};

impl<W: World> Session<'_, W> {
    /// Takes leave of every live item. The feed begins anew should the definition ever come back.
    pub(crate) async fn retire(&mut self, how: Retire) -> PortResult<()> {
        let live = self.ports.ledger.live_rows().await?;
        let allowance = self.delete_allowance(live).await?;
        if live > allowance {
            return Err(guarded(how, live, allowance));
        }
        // The source is not asked in a farewell, so that sentinels have no say in it.
        if let Some(frozen) = self.frozen() {
            return Err(frozen);
        }
        self.allowance = Some(allowance);
        self.deletes_left = live;
        self.ports.progress.step(Step::Applying);
        // First, so that a definition that comes back after half a farewell looks at every row.
        self.ports
            .ledger
            .mark_dirty(self.fence(), &[], Some(&Cursor::default()))
            .await?;
        let mut after: Option<Identity> = None;
        loop {
            self.check()?;
            let page = self
                .ports
                .ledger
                .digests(after, None, self.spec.limits.page_rows)
                .await?;
            let Some(last) = page.last() else { break };
            after = Some(last.identity);
            let ids: Vec<Identity> = page
                .iter()
                .filter(|row| row.state == LedgerState::Live)
                .map(|row| row.identity)
                .collect();
            let rows = self.ports.ledger.rows(&ids).await?;
            let works = rows.into_iter().flatten().map(|row| Work {
                subject: Subject {
                    identity: row.identity,
                    key: row.key.clone(),
                },
                source: Presence::None,
                // Older than anything the source will ever show: whatever comes back is newer.
                mark: Mark::default(),
                base: Some(row),
                target: Presence::Unseen,
                dirty: None,
                why: WhyTag::Change,
                heard: Heard::default(),
                held: Held::No,
                rounds: 0,
                search: None,
                resolutions: Vec::new(),
                turns: Vec::new(),
                newcomer: None,
            });
            self.apply(works.collect()).await?;
        }
        self.disarm().await
    }
}

fn guarded(how: Retire, live: u64, allowance: u64) -> Failure {
    let (word, flag) = match how {
        Retire::Delete => ("deleted", "delete"),
        Retire::Archive => ("marked as archived", "archive"),
    };
    Failure::new(
        Scope::List,
        "guard.items",
        format!(
            "{live} items would be {word}, more than the guard lets pass ({allowance}); nothing was written"
        ),
        format!("if all of them are meant, say so: `--items {flag} --allow-deletes {live}`"),
    )
}
