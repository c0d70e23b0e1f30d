//! Unsigned numbers of the domain in PostgreSQL's signed columns, checked both ways.

use crate::error::{Error, Result};

/// For a bigint column that orders: refused where the number does not fit.
pub(crate) fn to_bigint(what: &'static str, number: u64) -> Result<i64> {
    i64::try_from(number).map_err(|_| Error::OutOfRange { what })
}

/// From a bigint column that orders.
pub(crate) fn from_bigint(what: &'static str, number: i64) -> Result<u64> {
    u64::try_from(number).map_err(|_| Error::Damaged { what })
}

/// For an integer column.
pub(crate) fn to_integer(what: &'static str, number: u32) -> Result<i32> {
    i32::try_from(number).map_err(|_| Error::OutOfRange { what })
}

/// From an integer column.
pub(crate) fn from_integer(what: &'static str, number: i32) -> Result<u32> {
    u32::try_from(number).map_err(|_| Error::Damaged { what })
}
