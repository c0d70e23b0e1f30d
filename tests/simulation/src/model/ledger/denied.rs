//! Why the memory did not do what it was asked. Nothing was written then.

use syncbridge_domain::failure::{Failure, Scope};

/// What stands in the way; the codes are those of the meta-store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// The lease was taken over, given back, or has run out.
    LeaseLost,
    /// The fence is another definition's.
    WrongFence,
    /// An item belongs to another identity.
    ItemOwned,
    /// An effect is not there, or of another identity.
    EffectUnknown,
    /// Another write of the subject or item is open.
    SubjectBusy,
    /// The identity a row turned out to have is held by another open write.
    EffectTaken,
    /// Another run drives the verification.
    TakenOver,
    /// A statement that PostgreSQL would refuse.
    Refused,
    /// There is no such definition.
    NotFound,
}

impl From<Denied> for Failure {
    fn from(denied: Denied) -> Self {
        use Scope::{List, Outage};
        let (scope, code, cause) = match denied {
            Denied::LeaseLost => (Outage, "lease.lost", "the writer lease is lost"),
            Denied::WrongFence => (Outage, "lease.mismatch", "a fence of another definition was used"),
            Denied::ItemOwned => (
                List,
                "ledger.item_owned",
                "the item is linked to another row already",
            ),
            Denied::EffectUnknown => (
                Outage,
                "ledger.effect_unknown",
                "an effect is not there to be settled",
            ),
            Denied::SubjectBusy => (
                Outage,
                "ledger.subject_busy",
                "another write of the same row or item is open",
            ),
            Denied::EffectTaken => (Outage, "effect.taken", "another write of the same row is open"),
            Denied::TakenOver => (
                List,
                "verify.taken_over",
                "another run went on with this verification",
            ),
            Denied::Refused => (Outage, "meta_store.refused", "the memory refused a statement"),
            Denied::NotFound => (List, "configuration.not_found", "there is no such definition"),
        };
        Failure::new(scope, code, cause, "nothing was written")
    }
}
