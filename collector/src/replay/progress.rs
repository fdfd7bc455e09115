//! The progress bar, if somebody watches.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// One bar, of the file being read. Draws only on a terminal.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    screen: MultiProgress,
    bar: Arc<Mutex<ProgressBar>>,
}

impl Progress {
    pub(super) fn new(screen: &MultiProgress) -> Self {
        Self { screen: screen.clone(), bar: Arc::new(Mutex::new(ProgressBar::hidden())) }
    }

    /// `size`: `None` for standard input and the like.
    pub(super) fn begin_file(&self, path: &Path, size: Option<u64>) {
        let (bar, template) = match size {
            Some(size) => (ProgressBar::new(size), "{msg} {wide_bar} {bytes}/{total_bytes} {eta}"),
            None => (ProgressBar::no_length(), "{msg} {spinner} {bytes}"),
        };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        self.show(bar.with_style(style).with_message(path.display().to_string()));
    }

    pub(super) fn set_position(&self, position: u64) {
        self.bar.lock().unwrap_or_else(PoisonError::into_inner).set_position(position);
    }

    pub(super) fn end_file(&self) {
        self.bar.lock().unwrap_or_else(PoisonError::into_inner).finish_and_clear();
    }

    pub(super) fn wait_for_analyzer(&self) {
        let bar = ProgressBar::new_spinner().with_message("waiting for the analyzer to store the rest");
        bar.enable_steady_tick(Duration::from_millis(200));
        self.show(bar);
    }

    /// A line on stderr, above the bar.
    pub(super) fn say(&self, line: &str) {
        self.screen.suspend(|| {
            let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{line}\n").as_bytes());
        });
    }

    pub(super) fn finish(&self) {
        self.end_file();
    }

    fn show(&self, bar: ProgressBar) {
        let bar = self.screen.add(bar);
        *self.bar.lock().unwrap_or_else(PoisonError::into_inner) = bar;
    }
}
