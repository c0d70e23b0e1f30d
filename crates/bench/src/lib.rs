//! Benchmark harness: what is measured ([`rows`]), how ([`measure`]), what must hold ([`floors`]), how it is
//! shown ([`report`]).
//!
//! A row is measured by samples: some are thrown away as warm-up, the median of the others counts. Floors are
//! absolute and only compared in a release build; `make test` runs no benchmark.

pub mod floors;
pub mod measure;
pub mod report;
pub mod rows;
