//! The list's own feed of changes: pages, what they say, and how far they were durably taken over (DESIGN §7).

use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::receipt::{Item, ItemId};

/// Where a delta page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeltaFrom<'a> {
    /// The whole list, as a first pass: every item that is visible, nothing deleted.
    Beginning,
    /// A link that an earlier page gave, followed verbatim: the next page of a pass, or the token a pass ended
    /// with.
    Link(&'a str),
}

/// One entry of a page: the item's latest state, never each of its changes.
#[derive(Clone, Debug, PartialEq)]
pub enum DeltaEntry {
    /// The item as it is.
    Changed(Item),
    /// The item is gone, or may no longer be seen by us: no proof by itself.
    Deleted(ItemId),
}

impl DeltaEntry {
    /// Which item it is about.
    #[must_use]
    pub fn item(&self) -> &ItemId {
        match self {
            DeltaEntry::Changed(item) => &item.id,
            DeltaEntry::Deleted(id) => id,
        }
    }
}

/// What follows a page. Links may hold what looks like a secret and are never logged.
#[derive(Clone, PartialEq, Eq)]
pub enum DeltaNext {
    /// The pass goes on here.
    Page(String),
    /// The pass is complete; the next one begins here.
    Token(String),
}

impl std::fmt::Debug for DeltaNext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            DeltaNext::Page(_) => "Page",
            DeltaNext::Token(_) => "Token",
        })
    }
}

/// A page of changes.
#[derive(Clone, Debug, PartialEq)]
pub struct DeltaPage {
    /// In the list's order. One item may stand there twice: the last one counts.
    pub entries: Vec<DeltaEntry>,
    /// What follows.
    pub next: DeltaNext,
}

/// What asking for a page answered.
#[derive(Clone, Debug, PartialEq)]
pub enum DeltaAnswer {
    /// A page.
    Page(DeltaPage),
    /// The token is no longer served (410): a full pass is needed, and what it does not show is only suspected to
    /// be gone.
    Expired,
    /// The service does not take the token for one of its own (400): somebody changed it, or it was damaged. An
    /// alarm, never a silent full pass.
    Malformed(Failure),
}

/// How far the feed of a list was durably taken over: everything before is applied, dirty or quarantined.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DeltaCursor {
    /// The token that the last complete pass ended with; `None` before the first.
    pub token: Option<String>,
    /// The pass under way, if one is.
    pub pass: Option<DeltaPass>,
}

/// A pass under way.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeltaPass {
    /// Its next page; `None` where the first has not been taken over yet.
    pub page: Option<String>,
    /// It reads the whole list, because there is no token or it is no longer served.
    pub whole: bool,
    /// How often a page of this pass could not be read, in a row; after a few the pass begins anew as a whole one.
    pub failures: u32,
}

impl std::fmt::Debug for DeltaCursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let token = self.token.is_some();
        write!(
            f,
            "DeltaCursor(token: {token}, under way: {})",
            self.pass.is_some()
        )
    }
}

impl std::fmt::Debug for DeltaPass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DeltaPass(whole: {}, failures: {})", self.whole, self.failures)
    }
}
