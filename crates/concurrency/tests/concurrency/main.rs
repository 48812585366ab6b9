//! What the layer promises, through its public interface.

mod adaptive;
mod algorithms;
mod classes;
mod handle;
mod keys;
mod places;
mod readiness;
mod robustness;
mod support;
mod vectors;
mod waiting;
