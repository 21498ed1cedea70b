//! Subcommands: raw flags in, a resolved plan executed.
