//! HTTP in front of the store. Holds no rule of its own.
