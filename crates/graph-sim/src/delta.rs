//! Changes of a list: pages, links and tokens.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::fault::FaultKind;
use crate::guid::Guid;
use crate::items::wanted_fields;
use crate::list::{Item, List};
use crate::object::{Object, array};
use crate::options::UnseenInDelta;
use crate::random::hash_text;
use crate::reply::{GraphError, Reply};
use crate::route::Resource;
use crate::show::{Show, Wanted};
use crate::tenant::{Call, Outcome, Tenant};

/// Where a reader of changes stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Everything up to this change is read.
    After(u64),
    /// Inside a first pass over all items: those up to this id are read; changes after `since` come later.
    Items { id: u32, since: u64 },
    /// Inside a pass over changes: those up to `read` are read, the pass ends at `until`.
    Changes { read: u64, until: u64 },
}

/// An opaque token: format, list, time of issue, place, and a check that it was not damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Token {
    list: Guid,
    /// Unix seconds.
    issued: i64,
    place: Place,
}

impl Token {
    fn write(self) -> String {
        let place = match self.place {
            Place::After(change) => format!("{change};%23;%230"),
            Place::Items { id, since } => format!("{since};i;{id}"),
            Place::Changes { read, until } => format!("{until};c;{read}"),
        };
        let text = format!("4;%234;%231;3;{};{};{place}", self.list, self.issued);
        URL_SAFE_NO_PAD.encode(format!("{text};{:08x};%23", hash_text(&text) as u32))
    }

    fn read(token: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(token.trim_end_matches('=')).ok()?;
        let text = String::from_utf8(bytes).ok()?;
        let body = text.strip_suffix(";%23")?;
        let (body, check) = body.rsplit_once(';')?;
        if format!("{:08x}", hash_text(body) as u32) != check {
            return None;
        }
        let parts: Vec<&str> = body.split(';').collect();
        let [_, _, _, _, list, issued, number, kind, last] = parts.as_slice() else {
            return None;
        };
        let number: u64 = number.parse().ok()?;
        let place = match *kind {
            "i" => Place::Items {
                id: last.parse().ok()?,
                since: number,
            },
            "c" => Place::Changes {
                read: last.parse().ok()?,
                until: number,
            },
            _ => Place::After(number),
        };
        Some(Self {
            list: Guid::parse(list)?,
            issued: issued.parse().ok()?,
            place,
        })
    }
}

/// One page: its entries in order (an item or a deleted id) and where the next begins.
struct Page<'a> {
    entries: Vec<Result<&'a Item, u32>>,
    next: Place,
    complete: bool,
}

/// How a reader sees the items of a list.
#[derive(Clone, Copy)]
struct Sight {
    /// Also what waits for approval or has permissions of its own.
    everything: bool,
    /// Items out of sight are shown as deleted, where they are a change at all.
    unseen: UnseenInDelta,
}

impl Sight {
    /// What a change of this item is to the reader: an item, a deletion, or nothing.
    fn entry(self, list: &List, id: u32) -> Option<Result<&Item, u32>> {
        match list.items.get(&id) {
            None => Some(Err(id)),
            Some(item) if list.shows(item, self.everything) => Some(Ok(item)),
            Some(_) if self.unseen == UnseenInDelta::Deleted => Some(Err(id)),
            Some(_) => None,
        }
    }
}

fn page(list: &List, place: Place, top: usize, sight: Sight) -> Page<'_> {
    match place {
        Place::Items { id, since } => {
            let from = id.saturating_add(1);
            let seen = list.items.range(from..).map(|(_, item)| item);
            let mut seen = seen.filter(|item| list.shows(item, sight.everything));
            let entries: Vec<_> = seen.by_ref().take(top).map(Ok).collect();
            let last = entries
                .last()
                .map_or(id, |entry| entry.map_or(id, |item: &Item| item.id));
            let complete = seen.next().is_none();
            let next = if complete {
                Place::After(since)
            } else {
                Place::Items { id: last, since }
            };
            Page {
                entries,
                next,
                complete,
            }
        }
        Place::After(read) => page(
            list,
            Place::Changes {
                read,
                until: list.change,
            },
            top,
            sight,
        ),
        Place::Changes { read, until } => {
            let due = list.changes.range(read + 1..);
            let due = due.take_while(|(change, _)| **change <= until);
            let mut due = due.filter_map(|(change, id)| Some((*change, sight.entry(list, *id)?)));
            let mut last = read;
            let taken = due.by_ref().take(top);
            let entries = taken
                .map(|(change, entry)| {
                    last = change;
                    entry
                })
                .collect();
            let complete = due.next().is_none();
            let next = if complete {
                Place::After(until)
            } else {
                Place::Changes { read: last, until }
            };
            Page {
                entries,
                next,
                complete,
            }
        }
    }
}

impl Tenant {
    pub(crate) fn get_delta(&self, call: &Call<'_>) -> Outcome {
        call.query.only(&["select", "expand", "top", "token"])?;
        let Resource::Delta(_, _, in_path) = call.resource else {
            return Err(GraphError::method());
        };
        let list = self.call_list(call)?;
        let show = self.showing(list, call.context.base)?;
        let behaviour = &self.options.behaviour;
        let top = call.query.top(behaviour.default_page, behaviour.largest_page)?;
        let expand = call.query.expand(&["fields"])?;
        let now = call.context.now.timestamp();
        let given = in_path.as_deref().or_else(|| call.query.get("token"));
        let place = self.delta_place(call, &show, given)?;
        let sight = Sight {
            everything: self.sees_everything(call.context.client),
            unseen: behaviour.unseen_in_delta,
        };
        let page = page(list, place, top, sight);
        let wanted = wanted_fields(&expand)
            .or_else(|| behaviour.delta_fields_without_expand.then_some(Wanted::Visible));
        let select = call.query.select().map(|mut names| {
            names.extend(["id", "deleted", "fields"].map(str::to_owned));
            names
        });
        let doubled = call
            .fault
            .is_some_and(|fault| fault.kind == FaultKind::DeltaDuplicate);
        let mut value = Vec::with_capacity(page.entries.len());
        if doubled {
            let older = page.entries.iter().filter_map(|entry| older(entry.ok()?));
            value.extend(older.map(|item| show.change_json(&item, wanted, select.as_deref())));
        }
        value.extend(page.entries.iter().map(|entry| match entry {
            Ok(item) => show.change_json(item, wanted, select.as_deref()),
            Err(id) => show.deleted_json(*id),
        }));
        let kind = if page.complete {
            "@odata.deltaLink"
        } else {
            "@odata.nextLink"
        };
        let link = self.delta_link(call, &show, page.next, now);
        let context = format!(
            "{}/v1.0/$metadata#Collection(microsoft.graph.listItem)",
            call.context.base
        );
        let mut body = Object::new();
        body.put("@odata.context", context);
        body.put(kind, link);
        body.put("value", array(value));
        Ok(Reply::written(200, body.finish()))
    }

    /// Where a token puts its reader; 410 or 400 where it is too old or damaged.
    fn delta_place(
        &self,
        call: &Call<'_>,
        show: &Show<'_>,
        given: Option<&str>,
    ) -> Result<Place, GraphError> {
        let list = show.list;
        let now = call.context.now.timestamp();
        let fresh = Place::Items {
            id: 0,
            since: list.change,
        };
        let text = match given {
            None | Some("") => return Ok(fresh),
            Some("latest") => {
                return Ok(Place::Changes {
                    read: list.change,
                    until: list.change,
                });
            }
            Some(text) => text,
        };
        let token = Token::read(text).filter(|token| token.list == list.id);
        let token = token.ok_or_else(|| GraphError::invalid("Provided sync token is malformed."))?;
        let old = now - token.issued > self.options.behaviour.delta_token_days * 86_400;
        let ahead = match token.place {
            Place::After(change) | Place::Items { since: change, .. } => change > list.change,
            Place::Changes { until, .. } => until > list.change,
        };
        let forced = call.fault.filter(|fault| fault.kind == FaultKind::Resync);
        if !old && !ahead && forced.is_none() {
            return Ok(token.place);
        }
        let message =
            "Resync required. Replace any local items with the server's version (including deletes).";
        let error =
            GraphError::new(410, "resyncRequired", message).with_inner("resyncChangesApplyDifferences");
        if forced.is_some_and(|fault| fault.rule.without_location) {
            return Err(error);
        }
        Err(error.with_header("Location", self.delta_link(call, show, fresh, now)))
    }

    fn delta_link(&self, call: &Call<'_>, show: &Show<'_>, place: Place, now: i64) -> String {
        let token = Token {
            list: show.list.id,
            issued: now,
            place,
        }
        .write();
        let others = call.query.without(&["token"]);
        let joint = if others.is_empty() { "" } else { "&" };
        format!(
            "{}/v1.0/{}/items/delta?{others}{joint}token={token}",
            call.context.base,
            show.list_path(false)
        )
    }
}

/// The item as it was one write ago (itself where no version is kept), for pages that show an item twice.
fn older(item: &Item) -> Option<Item> {
    let mut copy = item.clone();
    if let Some(old) = item.history.last() {
        copy.cells.clone_from(&old.cells);
        copy.modified = old.modified;
        copy.editor = old.editor;
        copy.label = old.label;
        copy.counter = item.counter.checked_sub(1)?;
    }
    Some(copy)
}

#[cfg(test)]
mod tests {
    use super::{Place, Token};
    use crate::guid::Guid;

    #[test]
    fn a_token_is_read_as_written_and_a_damaged_one_is_not() {
        for place in [
            Place::After(7),
            Place::Items { id: 3, since: 9 },
            Place::Changes { read: 1, until: 5 },
        ] {
            let token = Token {
                list: Guid::from_bits(5),
                issued: 100,
                place,
            };
            let text = token.write();
            assert_eq!(Token::read(&text), Some(token));
            for at in 0..text.len() {
                let mut damaged = text.clone().into_bytes();
                damaged[at] = if damaged[at] == b'A' { b'B' } else { b'A' };
                let damaged = String::from_utf8(damaged).unwrap();
                assert_eq!(Token::read(&damaged), None, "damage at {at} was not noticed");
            }
        }
        assert_eq!(Token::read("!!"), None);
    }
}
