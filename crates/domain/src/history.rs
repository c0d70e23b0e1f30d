//! Why something changed, as the ledger's history keeps it, and how much of it a definition keeps.
//!
//! Every change of what both sides agree on leaves one entry. The entry says what was done by its kind, and why by its
//! [`Cause`]: the decision of [`crate::reconcile`] about the row, and about each field that it was not silent on.

use serde::{Deserialize, Serialize};

use crate::effect::EffectKind;
use crate::ledger::LedgerState;
use crate::mapping::LayoutStamp;
use crate::policy::ConflictPolicy;
use crate::reconcile::{FieldDecision, RowDecision};

/// What a definition keeps of its history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryRule {
    /// Keep values as well, sealed; without them only hashes.
    #[serde(default)]
    pub values: bool,
    /// Seconds after which an entry goes; `None` keeps them for ever.
    #[serde(default = "default_retention")]
    pub retention: Option<u64>,
}

#[allow(clippy::unnecessary_wraps, reason = "the default of an optional setting")]
fn default_retention() -> Option<u64> {
    Some(90 * 86_400)
}

impl Default for HistoryRule {
    fn default() -> Self {
        Self {
            values: false,
            retention: default_retention(),
        }
    }
}

/// What an identity's ledger row held at some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stood {
    /// Bytes of [`crate::agreed::Agreed`].
    pub agreed: Vec<u8>,
    /// Their layout.
    pub layout: LayoutStamp,
    /// What kind of agreement it was; `None` for entries from before that was kept.
    pub state: Option<LedgerState>,
}

/// Which way a change went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// An item was written.
    ToList,
    /// A source row was written.
    ToSource,
    /// An item that was there already was taken over.
    Adopted,
    /// Nothing was written: both sides were found to agree, or what they agree on was let go.
    Agreed,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Happening {
    /// One side was written.
    Wrote(EffectKind),
    /// An item that was there already was taken over.
    Adopt,
    /// What both sides show was agreed on anew without a write.
    Agree,
    /// The row is gone and its item was left standing by policy.
    Leave,
    /// Both are gone.
    Bury,
}

impl Happening {
    /// Every one there is.
    pub const ALL: [Happening; 10] = [
        Happening::Wrote(EffectKind::CreateItem),
        Happening::Wrote(EffectKind::PatchItem),
        Happening::Wrote(EffectKind::DeleteItem),
        Happening::Wrote(EffectKind::InsertRow),
        Happening::Wrote(EffectKind::UpdateRow),
        Happening::Wrote(EffectKind::DeleteRow),
        Happening::Adopt,
        Happening::Agree,
        Happening::Leave,
        Happening::Bury,
    ];

    /// What a decision that was carried out without a write came to.
    #[must_use]
    pub fn without_write(rule: RowDecision) -> Self {
        match rule {
            RowDecision::Adopt => Happening::Adopt,
            RowDecision::LeaveItem => Happening::Leave,
            RowDecision::Bury => Happening::Bury,
            _ => Happening::Agree,
        }
    }

    /// Which way it went.
    #[must_use]
    pub fn way(self) -> Way {
        match self {
            Happening::Wrote(kind) if kind.is_of_row() => Way::ToSource,
            Happening::Wrote(_) => Way::ToList,
            Happening::Adopt => Way::Adopted,
            Happening::Agree | Happening::Leave | Happening::Bury => Way::Agreed,
        }
    }

    /// The name stored and shown.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Happening::Wrote(kind) => kind.name(),
            Happening::Adopt => "adopt",
            Happening::Agree => "agree",
            Happening::Leave => "leave",
            Happening::Bury => "bury",
        }
    }

    /// Reads the stored name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }
}

/// Who or what decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Decider {
    /// Nobody had to: one side changed, and the change travels.
    #[default]
    Change,
    /// The field belongs to one side, whatever the other did.
    Direction,
    /// Both sides changed: the policy of this name.
    SourceWins,
    /// Both sides changed: the policy of this name.
    TargetWins,
    /// Both sides changed: the policy of this name.
    LatestWins,
    /// Both sides changed, and the policy leaves it to a person.
    Manual,
    /// A person chose between the two values.
    Person,
    /// A person approved what nobody had agreed on.
    Approval,
    /// A person had what differs put right.
    Repair,
}

impl From<ConflictPolicy> for Decider {
    fn from(policy: ConflictPolicy) -> Self {
        match policy {
            ConflictPolicy::SourceWins => Decider::SourceWins,
            ConflictPolicy::TargetWins => Decider::TargetWins,
            ConflictPolicy::LatestWins => Decider::LatestWins,
            ConflictPolicy::Manual => Decider::Manual,
        }
    }
}

impl Decider {
    fn is_change(&self) -> bool {
        *self == Decider::Change
    }
}

/// Why one field changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldCause {
    /// Source column.
    pub column: String,
    /// What was decided about it.
    pub rule: FieldDecision,
    /// Who decided.
    #[serde(default, skip_serializing_if = "Decider::is_change")]
    pub by: Decider,
}

/// What a write was made for beside the decision about its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Beside {
    /// The item of a person got its sync key.
    SyncKey,
    /// An earlier write of ours could still land, and this one takes its ground away.
    Fence,
    /// The definition takes leave of its items.
    Retire,
    /// A person had what differs put right.
    Repair,
    /// What an earlier run did was put back, and both sides are the same again.
    Revert,
    /// What an earlier run did was put back, and the other side still shows it: the row is held as it stands.
    RevertHeld,
    /// What an earlier run did was put back, and one side stands without the other: the row is held as it stands.
    RevertAlone,
}

impl Beside {
    /// Whether what an earlier run did was put back.
    #[must_use]
    pub fn reverts(self) -> bool {
        matches!(self, Beside::Revert) || self.holds()
    }

    /// Whether the row is held once it is done.
    #[must_use]
    pub fn holds(self) -> bool {
        matches!(self, Beside::RevertHeld | Beside::RevertAlone)
    }
}

/// Why something changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// What was decided about the row.
    pub rule: RowDecision,
    /// Who decided that.
    #[serde(default, skip_serializing_if = "Decider::is_change")]
    pub by: Decider,
    /// What else it was for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beside: Option<Beside>,
    /// Fields that something was decided about; empty for whole rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldCause>,
}

impl Cause {
    /// A decision about a row as a whole.
    #[must_use]
    pub fn of(rule: RowDecision) -> Self {
        Self {
            rule,
            by: Decider::default(),
            beside: None,
            fields: Vec::new(),
        }
    }

    /// What was decided about a field.
    #[must_use]
    pub fn field(&self, column: &str) -> Option<&FieldCause> {
        self.fields.iter().find(|field| field.column == column)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_happening_is_read_back_by_its_name_and_goes_one_way() {
        for one in Happening::ALL {
            assert_eq!(Happening::parse(one.name()), Some(one));
        }
        let way = |name| Happening::parse(name).map(Happening::way);
        assert_eq!(way("delete_item"), Some(Way::ToList));
        assert_eq!(way("delete_row"), Some(Way::ToSource));
        assert_eq!(way("adopt"), Some(Way::Adopted));
        assert_eq!(way("bury"), Some(Way::Agreed));
    }

    /// Causes stand in histories for years.
    #[test]
    fn a_cause_is_stored_in_few_words_and_read_back() {
        let whole = Cause::of(RowDecision::CreateItem);
        assert_eq!(
            serde_json::to_value(&whole).unwrap(),
            json!({"rule": "create_item"})
        );
        let cell = Cause {
            beside: Some(Beside::SyncKey),
            fields: vec![
                FieldCause {
                    column: "budget".into(),
                    rule: FieldDecision::ConflictToTarget,
                    by: Decider::LatestWins,
                },
                FieldCause {
                    column: "name".into(),
                    rule: FieldDecision::ToTarget,
                    by: Decider::Change,
                },
            ],
            ..Cause::of(RowDecision::Fields)
        };
        let stored = json!({"rule": "fields", "beside": "sync_key", "fields": [
            {"column": "budget", "rule": "conflict_to_target", "by": "latest_wins"},
            {"column": "name", "rule": "to_target"}]});
        assert_eq!(serde_json::to_value(&cell).unwrap(), stored);
        assert_eq!(serde_json::from_value::<Cause>(stored).unwrap(), cell);
    }
}
