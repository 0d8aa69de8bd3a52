//! What comes of a benchmark, and the forms in which it is told.
//!
//! | module | what |
//! |---|---|
//! | [`model`] | the figures, and their keys in JSON |
//! | [`machine`] | what they were measured on |

pub mod machine;
pub mod model;
