//! Benchmark harness: what is measured ([`rows`]), how ([`measure`]), what must hold ([`floors`]), how it is
//! shown ([`report`]).
//!
//! An experiment is repeated; the first samples may be thrown away as warm-up, the median of the others counts.
//! Bounds are compared in a release build and in full form only; `make test` runs no benchmark. The product is
//! measured as a process of its own against a private PostgreSQL and the simulator over HTTP, each in processes of
//! theirs. Ratios are taken within one run, so that a slower machine changes both sides.

pub mod floors;
pub mod measure;
pub mod report;
pub mod rows;
