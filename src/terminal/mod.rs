//! What makes a terminal: taps, the current user list, and the changes of cards. It knows no command line, prints
//! nothing, and has no JSON view.

pub mod administration;
pub mod admission;
pub mod enrollment;
pub mod lookups;
pub mod presence;
pub mod tap;
pub mod user_csv;
