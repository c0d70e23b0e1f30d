//! What an application cannot see of a list: items that wait for approval, and items with permissions of their own.

use serde::{Deserialize, Serialize};

use crate::list::{Actor, Item, List, Writing};
use crate::options::Role;
use crate::tenant::Tenant;

/// Where an item stands in a list that asks for approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Approval {
    Approved,
    Rejected,
    Pending,
}

impl Approval {
    /// The number in `_ModerationStatus`.
    pub(crate) const fn number(self) -> u16 {
        match self {
            Self::Approved => 0,
            Self::Rejected => 1,
            Self::Pending => 2,
        }
    }
}

impl List {
    /// Where an item stands after a write.
    pub(crate) const fn approval_of_write(&self, writing: Writing<'_>) -> Approval {
        if self.moderated && !writing.may_approve {
            Approval::Pending
        } else {
            Approval::Approved
        }
    }

    /// Whether a reader sees the item; `everything` is a reader who may see all.
    pub(crate) fn shows(&self, item: &Item, everything: bool) -> bool {
        everything || !(item.restricted || (self.moderated && item.approval != Approval::Approved))
    }

    /// A person's verdict on an item; `false` where there is none.
    pub(crate) fn set_approval(&mut self, id: u32, approval: Approval, writing: Writing<'_>) -> bool {
        let Some(item) = self.items.get_mut(&id) else {
            return false;
        };
        item.approval = approval;
        if writing.behaviour.approval_is_a_write {
            item.counter += 1;
            item.modified = writing.now;
            item.editor = writing.actor;
        }
        self.mark_item(id);
        true
    }

    /// Keeps an item from applications, or shows it again; `false` where there is none. The item itself stays as
    /// it is, its counter included.
    pub(crate) fn set_restricted(&mut self, id: u32, restricted: bool) -> bool {
        let Some(item) = self.items.get_mut(&id) else {
            return false;
        };
        item.restricted = restricted;
        self.mark_item(id);
        true
    }

    /// The item's counter rises by itself; `false` where there is none.
    pub(crate) fn move_on(&mut self, id: u32) -> bool {
        let Some(item) = self.items.get_mut(&id) else {
            return false;
        };
        item.counter += 1;
        self.mark_item(id);
        true
    }

    /// Begins or ends asking for approval. What waited becomes visible with the end.
    pub(crate) fn set_moderated(&mut self, moderated: bool) {
        if self.moderated == moderated {
            return;
        }
        self.moderated = moderated;
        let waiting = self
            .items
            .values()
            .filter(|item| item.approval != Approval::Approved);
        let waiting: Vec<u32> = waiting.map(|item| item.id).collect();
        for id in waiting {
            self.mark_item(id);
        }
    }

    /// Makes the item the last change of the list.
    fn mark_item(&mut self, id: u32) {
        let Some(before) = self.items.get(&id).map(|item| item.change) else {
            return;
        };
        let change = self.mark_change(id, Some(before));
        if let Some(item) = self.items.get_mut(&id) {
            item.change = change;
        }
    }
}

impl Tenant {
    /// The role of an application.
    pub(crate) fn role(&self, client: u16) -> Role {
        let name = self.apps.get(usize::from(client)).map_or("", String::as_str);
        let given = self.permissions.clients.get(name);
        let given = given.and_then(|role| Role::parse(role));
        given.unwrap_or(self.options.default_role)
    }

    /// Whether an application sees items that wait for approval or have permissions of their own.
    pub(crate) fn sees_everything(&self, client: u16) -> bool {
        self.role(client) == Role::FullControl
    }

    /// Whether what this writer writes needs no approval.
    pub(crate) fn may_approve(&self, actor: Actor) -> bool {
        match actor {
            Actor::App(client) => self.sees_everything(client),
            Actor::Person(_) => false,
        }
    }
}
