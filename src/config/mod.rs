//! The campaign file as written, and as resolved.
