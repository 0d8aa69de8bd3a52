//! geo.
