//! Our applet's edge: its names and numbers.

pub mod constants;
