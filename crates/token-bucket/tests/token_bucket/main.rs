//! What the layer promises, through its public interface.

mod changes;
mod ends;
mod handle;
mod headers;
mod keys;
mod model;
mod robustness;
mod settling;
mod support;
mod waiting;
