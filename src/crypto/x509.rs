//! The fixed certificate profile of the protocol (RFC 5280).
