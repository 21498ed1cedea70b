//! The campaign file as written, and as resolved.
//!
//! [`load()`] reads any section of it into a struct and, when that fails, says what a person needs to mend it: file and
//! line, full dotted key, offending value, remedy. The sections themselves stand beside the code they configure.

pub mod campaign;
mod derived;
mod explain;
pub mod load;
pub mod origin;
pub mod plan;
pub mod schema;
mod set;
#[cfg(test)]
mod tests;
mod text;
mod written;

pub use load::{Loaded, load, parse};
pub use written::Origin;
