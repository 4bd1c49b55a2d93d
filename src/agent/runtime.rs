//! The runtime of the agent's calls. It runs on this thread alone: execve(2) with other threads running would leave their work
//! half-done.

use std::io;
use std::pin::Pin;

use tokio::runtime::{Builder, Runtime};

/// Starts a runtime.
///
/// # Errors
/// The kernel is out of descriptors or memory.
pub(crate) fn start() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_io().enable_time().build()
}

/// Runs `future` to its end.
///
/// # Errors
/// None: tokio has no way to say so, and this program does not panic.
pub(crate) fn run<T>(runtime: &Runtime, future: impl Future<Output = T>) -> io::Result<T> {
    let mut output = None;
    run_boxed(runtime, Box::pin(async { output = Some(future.await) }));
    output.ok_or_else(|| io::ErrorKind::Interrupted.into())
}

/// The agent has to be small: this is once what tokio would otherwise make for each type of future.
fn run_boxed(runtime: &Runtime, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
    runtime.block_on(future);
}
