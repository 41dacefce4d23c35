//! Tasks that run beside the listeners for as long as the service does.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

/// How long a task that has panicked rests: it may do so again at once.
const PAUSE: Duration = Duration::from_secs(1);

/// Tasks that are started again when they panic. Dropping this ends them.
#[derive(Default)]
pub(super) struct BackgroundTasks(JoinSet<()>);

impl BackgroundTasks {
    /// Runs what `task` makes until it ends by itself.
    pub(super) fn keep<F>(&mut self, name: &'static str, task: impl Fn() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.0.spawn(async move {
            while AssertUnwindSafe(task()).catch_unwind().await.is_err() {
                tracing::error!(
                    task = name,
                    "a background task has panicked, and is started again: report it"
                );
                sleep(PAUSE).await;
            }
        });
    }
}

/// The service's own tasks, without which it is none: they end when they are told to, or by a
/// defect.
pub(super) struct TaskImportance {
    pub(super) data: JoinHandle<()>,
    pub(super) admin: JoinHandle<()>,
    pub(super) orphans: JoinHandle<()>,
    /// May have nothing to do, and end well.
    pub(super) sign_in: JoinHandle<()>,
}

impl TaskImportance {
    /// Resolves when one of them has ended before it was told to, which is logged.
    pub(super) async fn one_has_failed(&mut self) {
        let task = tokio::select! {
            _ = &mut self.data => "the data listener",
            _ = &mut self.admin => "the admin listener",
            _ = &mut self.orphans => "the deletion of orphans",
            Err(_) = &mut self.sign_in => "signing in at eGain",
        };
        tracing::error!(
            task,
            "a task that the service can't do without has ended: it stops, so that it can be started again"
        );
    }
}

/// Resolves when a task has ended, also if that is known already.
pub(super) async fn ended(task: &mut JoinHandle<()>) {
    if !task.is_finished() {
        let _however = task.await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_is_started_again_until_it_ends_by_itself() {
        let started = Arc::new(AtomicUsize::new(0));
        let mut background = BackgroundTasks::default();
        let count = Arc::clone(&started);
        background.keep("a test", move || {
            let before = count.fetch_add(1, Relaxed);
            async move { assert!(before >= 2, "a panic that the test wants") }
        });
        background.0.join_next().await.unwrap().unwrap();
        assert_eq!(started.load(Relaxed), 3);
    }

    #[tokio::test]
    async fn a_vital_task_that_panics_is_noticed() {
        let forever = || tokio::spawn(std::future::pending());
        let failing = tokio::spawn(async { panic!("a panic that the test wants") });
        let mut vital = TaskImportance {
            data: forever(),
            admin: failing,
            orphans: forever(),
            sign_in: tokio::spawn(async {}),
        };
        vital.one_has_failed().await;
        ended(&mut vital.admin).await;
        vital.data.abort();
        ended(&mut vital.data).await;
    }
}
