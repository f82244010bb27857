//! Enrollment: takes a token from BLANK to ISSUED over SCP03, in steps that a later run can complete.
//!
//! plan (which user, which card) → steps (each confirmed by the card before it counts) → report.

pub mod authority;
pub mod batch;
pub mod certification;
pub mod context;
pub mod failure;
pub mod holder;
pub mod journal;
pub mod manifest;
pub mod personalizer;
pub mod portrait;
pub mod private;
pub mod replacement;
pub mod sets;
pub mod steps;
pub mod traces;

pub use certification::{Certificates, KeysToCertify, TokenAuthority};
pub use failure::{BatchError, EnrollError};
pub use holder::{Applicant, HolderSource};
pub use personalizer::{CardProgress, Ending, EnrollmentReport, Pending, Personalizer};
pub use steps::EnrollmentStep;

#[cfg(test)]
pub(crate) mod tests;
