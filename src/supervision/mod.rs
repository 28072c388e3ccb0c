//! The rules (work in progress).
pub mod name;
pub mod status;
pub mod unit;
