//! ProgressIndicator of long work, on standard error and only on a terminal. It never names what is worked on.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar that goes when it is dropped.
pub(crate) struct ProgressIndicator(ProgressBar);

impl ProgressIndicator {
    /// Of so many steps.
    pub(crate) fn steps(what: &'static str, total: u64) -> Self {
        Self::styled(ProgressBar::new(total), "{msg} [{bar:30}] {pos}/{len}", what)
    }

    /// Of bytes, nobody knows how many.
    pub(crate) fn bytes(what: &'static str) -> Self {
        Self::styled(ProgressBar::no_length(), "{msg} {spinner} {binary_bytes} {binary_bytes_per_sec}", what)
    }

    fn styled(bar: ProgressBar, template: &str, what: &'static str) -> Self {
        // Hidden by itself where standard error is no terminal.
        bar.set_draw_target(ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(what);
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(bar)
    }

    /// So many more.
    pub(crate) fn advance(&self, by: u64) {
        self.0.inc(by);
    }

    /// So many of so many.
    pub(crate) fn at(&self, done: u64, total: Option<u64>) {
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
