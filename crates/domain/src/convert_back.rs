use crate::convert::Unconvertible;
use crate::identity::Key;
use crate::mapping::{FieldMapping, Mapping};
use crate::receipt::Fields;
use crate::row::Cell;
use chrono_tz::Tz;
use serde_json::Value as Json;
pub fn to_source(_f: &FieldMapping, _tz: Tz, _s: &Json) -> Result<Cell, Unconvertible> {
    Ok(None)
}
pub fn survives(_f: &FieldMapping, _tz: Tz, _c: &Cell) -> bool {
    true
}
pub fn key_of_item(_m: &Mapping, _tz: Tz, _f: &Fields) -> Option<Key> {
    None
}
