//! What a definition says about the way from the list to the source: `direction` and `twoWay`.

use serde_json::{Value as Json, json};
use syncbridge_domain::ping_pong::PingPong;
use syncbridge_domain::policy::Direction;
use syncbridge_domain::two_way::TwoWay;

use crate::node::Body;
use crate::problem::ProblemCode;
use crate::reader::{Fields, Reader, Slot};
use crate::span;
use crate::words;

/// Which way values travel.
pub(crate) const DIRECTION: [(&str, Direction); 3] = [
    ("push", Direction::Push),
    ("pull", Direction::Pull),
    ("both", Direction::Both),
];

const INSERTS: [(&str, bool); 2] = [("accept", true), ("ignore", false)];
/// Whether a field may go both ways although the list does not show the source's value whole.
pub(crate) const LOSSY: [(&str, bool); 2] = [("allow", true), ("refuse", false)];
/// Fewer would stop what a trigger does to each entry of a person.
const FEWEST_RETURNS: u64 = 2;
const MOST_RETURNS: u64 = 1_000;
const VISIBILITY: [(&str, bool); 2] = [("attested", true), ("unknown", false)];

/// Reads `direction` and `twoWay`; the second stands only beside a direction that reaches the source.
pub(crate) fn read(reader: &mut Reader, keys: &Fields<'_>) -> Option<(Direction, TwoWay)> {
    let direction = match keys.get("direction") {
        Some(slot) => reader.one_of(&slot, &DIRECTION)?,
        None => Direction::Push,
    };
    if direction != Direction::Push && says(keys, "mode", "archive_only") {
        reader.report(
            keys.key_at("mode"),
            ProblemCode::Contradiction,
            format!(
                "`spec.mode` is `archive_only`, and `spec.direction` is `{}`",
                direction.word()
            ),
            "write `direction: push`, or `mode: sync`: an archive is written once and takes nothing back",
        );
    }
    let mut two_way = TwoWay::default();
    let Some(slot) = keys.get("twoWay") else {
        return Some((direction, two_way));
    };
    if direction == Direction::Push {
        reader.report(
            keys.key_at("twoWay"),
            ProblemCode::Contradiction,
            "`spec.twoWay` stands beside `direction: push`",
            "remove it, or write `direction: both`: it says how the source follows the list",
        );
    }
    let keys = ["inserts", "fullVisibility", "deleteDelay", "lossy", "pingPong"];
    let fields = reader.fields(&slot, &keys)?;
    if let Some(inserts) = words::optional(reader, &fields, "inserts", &INSERTS) {
        two_way.inserts = inserts;
    }
    if let Some(attested) = words::optional(reader, &fields, "fullVisibility", &VISIBILITY) {
        two_way.full_visibility = attested;
    }
    if let Some(slot) = fields.get("deleteDelay") {
        // Off is no delay at all: what is reported is looked at with the next run.
        two_way.delete_delay = span::read(reader, &slot)?.unwrap_or(0);
    }
    if let Some(allowed) = words::optional(reader, &fields, "lossy", &LOSSY) {
        two_way.lossy = allowed;
    }
    if let Some(slot) = fields.get("pingPong") {
        two_way.ping_pong = read_ping_pong(reader, &slot)?;
    }
    Some((direction, two_way))
}

fn read_ping_pong(reader: &mut Reader, slot: &Slot<'_>) -> Option<PingPong> {
    let default = PingPong::default();
    let fields = reader.fields(slot, &["alternations", "within"])?;
    let alternations = fields
        .get("alternations")
        .map_or(Some(default.alternations), |slot| {
            let number = reader.whole(&slot, FEWEST_RETURNS..=MOST_RETURNS)?;
            u32::try_from(number).ok()
        });
    let within = fields.get("within").map_or(Some(default.within), |slot| {
        let span = span::read(reader, &slot)?;
        if span.is_none() {
            let message = format!("`{}` is `off`", slot.path());
            let help = "a whole number with its unit, such as 6h: this guard is never off";
            return reader.refuse(&slot, message, help);
        }
        span
    });
    Some(PingPong {
        alternations: alternations?,
        within: within?,
    })
}

fn says(keys: &Fields<'_>, key: &str, word: &str) -> bool {
    keys.get(key)
        .is_some_and(|slot| matches!(slot.body(), Body::Text(text) if text == word))
}

/// As it is written; nothing where a definition only pushes.
pub(crate) fn to_json(direction: Direction, two_way: TwoWay) -> Option<Json> {
    if direction == Direction::Push {
        return None;
    }
    let delay = (two_way.delete_delay > 0).then_some(two_way.delete_delay);
    let mut written = json!({
        "inserts": words::word(&INSERTS, two_way.inserts),
        "fullVisibility": words::word(&VISIBILITY, two_way.full_visibility),
        "deleteDelay": span::to_json(delay),
        "lossy": words::word(&LOSSY, two_way.lossy),
    });
    // Documents stored before there was a choice stay as they are.
    let limit = two_way.ping_pong;
    if limit != PingPong::default() {
        written["pingPong"] = json!({
            "alternations": limit.alternations,
            "within": span::to_json(Some(limit.within)),
        });
    }
    Some(written)
}
