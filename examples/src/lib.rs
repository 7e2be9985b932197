//! What the example programs share: each part is a short, readable embedding
//! of the libraries.

pub mod helm;
