//! The async runtimes of the commands. Most make one call after the other and need a single thread; the servers need more.

use std::io;

use tokio::runtime::{Builder, Runtime};

use super::error::{CliError, CommandResult};
use super::files::describe_io_error;
use crate::process::Exit;

/// Runs a command to its end on this thread.
pub(crate) fn block_on(command: impl Future<Output = CommandResult>) -> CommandResult {
    // One thread: starting workers takes longer than many of these commands do.
    let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| start_error(&error))?;
    // Boxed, so that the runtime's code is compiled once and not once for each of the 26 commands.
    let command: std::pin::Pin<Box<dyn Future<Output = CommandResult> + '_>> = Box::pin(command);
    runtime.block_on(command)
}

/// A runtime that serves; `workers` is the number of threads, by default one for each processor.
pub(crate) fn multi_thread(workers: Option<usize>) -> Result<Runtime, CliError> {
    let mut builder = Builder::new_multi_thread();
    // tokio's own default reads the number of processors that this process may use, also in a container.
    if let Some(workers) = workers {
        builder.worker_threads(workers);
    }
    builder.enable_all().build().map_err(|error| start_error(&error))
}

pub(crate) fn start_error(error: &io::Error) -> CliError {
    CliError::new(
        Exit::Internal,
        format_args!("the async runtime cannot start: {}", describe_io_error(error)),
    )
}
