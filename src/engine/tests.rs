//! The engine on storage in memory, driven by hand.
