//! The agent where it really stands: as the first process, in a unit, beside a shell.
//!
//! - [`signals`]: every signal, exit status, mask, disposition and terminal through `exec --init`.
//! - [`supervise`]: orphans, stragglers, residue and size of the process that stays.

mod signals;
mod supervise;
mod workload;
