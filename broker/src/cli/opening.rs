//! Opening the store while somebody waits: how far it is, what it found, what to do if it fails.

use std::{
    fmt::{self, Debug, Display},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use mainspring::{Error, ErrorKind, Result, Store};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::layer::{Context, Layer};

use crate::{cli::config::Config, health::Steps};

/// Somebody who waits for the store to open hears of it this often.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(2);
/// The module of the store whose events tell how far an open is.
const TOLD_BY: &str = "mainspring::recovery";

/// How far an open is, from what the store's events said last.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress(pub(crate) Arc<Mutex<Steps>>);

impl Visit for Steps {
    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "part" {
            self.part = Some(value.to_owned());
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "done_bytes" => self.done_bytes = Some(value),
            "to_do_bytes" => self.to_do_bytes = Some(value),
            _ => {}
        }
    }
}

impl<S: Subscriber> Layer<S> for Progress {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() != TOLD_BY {
            return;
        }
        let mut told = Steps::default();
        event.record(&mut told);
        if told.done_bytes.is_some() {
            *self.0.lock() = told;
        }
    }
}

impl Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0.lock() {
            Steps { part: Some(part), done_bytes: Some(done), to_do_bytes: Some(to_do) } => {
                write!(f, "{done} of {to_do} bytes {part}")
            }
            _ => f.write_str("the log's end is looked for"),
        }
    }
}

/// Opens the store, and says so while it takes long and what it found.
///
/// # Errors
///
/// A text for the terminal: why it does not open, and what to do.
pub(crate) async fn open_aloud(
    config: &Config,
    progress: &Progress,
    open: impl FnOnce() -> Result<Store> + Send + 'static,
) -> std::result::Result<Store, String> {
    let directory = config.data_dir.display();
    let mut opening = pin!(tokio::task::spawn_blocking(open));
    let started = Instant::now();
    let opened = loop {
        tokio::select! {
            opened = &mut opening => break opened,
            () = sleep(PROGRESS_INTERVAL) => {
                let seconds = started.elapsed().as_secs();
                tracing::info!(%directory, seconds, "still opening: {progress}");
            }
        }
    };
    let store = match opened {
        Ok(Ok(store)) => store,
        Ok(Err(error)) => {
            let advice = advice(&error);
            return Err(format!("cannot open the store in {directory}: {error}; {advice}"));
        }
        Err(_) => return Err(format!("opening the store in {directory} panicked; nothing was served")),
    };
    let report = store.report();
    if !report.clean {
        tracing::info!(
            walked_bytes = report.walked_bytes,
            applied_frames = report.applied_frames,
            rewritten_bytes = report.rewritten_bytes,
            left_out_frames = report.left_out.0,
            ms = started.elapsed().as_millis(),
            "the store was not closed in order and is recovered"
        );
    }
    Ok(store)
}

/// What the person who started the broker can do about a store that does not open.
fn advice(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::Locked => "stop that process, or name another directory with --data-dir",
        ErrorKind::Version => {
            "run the version of mainspring that wrote it, or name another directory with --data-dir"
        }
        ErrorKind::Corrupt => "nothing was changed; bring the directory back from a copy",
        ErrorKind::Full => "free some space there, or name another directory with --data-dir",
        ErrorKind::Invalid => "change that setting",
        _ => "name a directory that this user can write to with --data-dir",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use backends::MemoryBackend;
    use mainspring::{ManualClock, Message, Options};
    use tracing_subscriber::layer::SubscriberExt;

    #[test]
    fn an_open_tells_how_far_it_is() {
        let (backend, clock) = (Arc::new(MemoryBackend::new()), Arc::new(ManualClock::new(1_000_000)));
        let options = Options {
            threads: false,
            segment_bytes: 64 << 10,
            reserve_bytes: 64 << 10,
            ..Options::default()
        };
        let open = || Store::open_on(backend.clone(), clock.clone(), options.clone()).unwrap();
        let progress = Progress::default();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(progress.clone()), || {
            let store = open();
            assert_eq!(progress.to_string(), "the log's end is looked for");
            for _ in 0..10 {
                drop(store.append(Message::new("T", vec![1; 8 << 10])).unwrap());
            }
            store.abandon();
            drop(open());
        });
        let told = progress.0.lock().clone();
        assert_eq!(told.part.as_deref(), Some("indexed"));
        assert_eq!(told.done_bytes, told.to_do_bytes);
        assert!(told.done_bytes.is_some_and(|bytes| bytes > 80 << 10), "{told:?}");
        let bytes = told.done_bytes.unwrap();
        assert_eq!(progress.to_string(), format!("{bytes} of {bytes} bytes indexed"));
    }
}
