//! The stored formats, resistance to tampering, and the published test vectors.

mod formats;
mod tampering;
mod vectors;
