//! Progress of long work, on standard error and only if that is a terminal. It never names what is worked on.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A progress bar that disappears when it is dropped.
pub(crate) struct ProgressIndicator(ProgressBar);

impl ProgressIndicator {
    /// Counts steps.
    pub(crate) fn steps(label: &'static str, total: u64) -> Self {
        Self::new(ProgressBar::new(total), "{msg} [{bar:30}] {pos}/{len}", label)
    }

    /// Counts bytes, where nobody knows how many there will be.
    pub(crate) fn bytes(label: &'static str) -> Self {
        Self::new(ProgressBar::no_length(), "{msg} {spinner} {binary_bytes} {binary_bytes_per_sec}", label)
    }

    fn new(bar: ProgressBar, template: &str, label: &'static str) -> Self {
        // This target draws nothing if standard error is no terminal.
        bar.set_draw_target(ProgressDrawTarget::stderr());
        // A wrong template would only cost the style, which is no reason to fail.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(label);
        // A store that takes long for a step must not look like a program that hangs.
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(bar)
    }

    pub(crate) fn advance(&self, by: u64) {
        self.0.inc(by);
    }

    pub(crate) fn set_position(&self, done: u64, total: Option<u64>) {
        // Before the position: a position beyond the old length would be drawn as a full bar.
        if let Some(total) = total {
            self.0.set_length(total);
        }
        self.0.set_position(done);
    }
}

impl Drop for ProgressIndicator {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
