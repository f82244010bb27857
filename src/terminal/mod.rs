//! The terminal: taps, the current user list, and changes to cards. It knows nothing of the command line, prints
//! nothing, and has no JSON view.

pub mod administration;
pub mod admission;
pub mod apdu_run;
pub mod attempts;
pub mod context;
pub mod enrollment;
pub mod event_loop;
pub mod evictions;
pub mod feedback;
pub mod forget;
pub mod hooks;
pub mod known_here;
pub mod lookups;
pub mod meant_readers;
pub mod memory;
pub mod presence;
pub mod reader_pool;
pub mod readers;
pub mod renewal;
pub mod scan;
pub mod server_access;
pub mod sound;
pub mod survey;
pub mod tap;
pub mod thread;
pub mod token_prefix;
pub mod unanswered;
pub mod user_csv;
pub mod user_patch;
pub mod watch;
