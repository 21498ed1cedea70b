//! Building blocks of networks.
