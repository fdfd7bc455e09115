//! Batches of all streams on their way into the store.
//!
//! An insert costs ClickHouse nearly the same whatever is in it. So small batches that
//! wait at the same time are inserted together: while one group is on its way, the
//! next one gathers. Large batches go alone, a few at a time.

use std::{sync::Arc, time::Duration};

use iotq_proto::{CheckedBatch, error::Chain};
use rand::Rng as _;
use tokio::{
    sync::{Mutex, OwnedSemaphorePermit, Semaphore, broadcast, mpsc, oneshot, watch},
    time::sleep,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{Instrument as _, debug, info, info_span, warn};

use super::registry::{Registry, UnderWay};
use crate::{
    metrics::Metrics,
    store::{Group, InsertError, Store},
};

/// How storing a batch ended: when its source had been stored before, if it had; or why
/// the batch can never be stored.
pub(super) type Outcome = Result<Option<i64>, String>;

/// Takes batches and stores them, however long that takes.
pub(super) struct Storing {
    shared: Arc<Shared>,
    /// To the task that gathers. `None`: no more are taken.
    small: Mutex<Option<mpsc::Sender<Waiting>>>,
    tasks: TaskTracker,
}

struct Shared {
    store: Store,
    registry: Arc<Registry>,
    metrics: Arc<Metrics>,
    /// Stored batches, for those who follow.
    stored: broadcast::Sender<Arc<CheckedBatch>>,
    alone: Arc<Semaphore>,
    together: Arc<Semaphore>,
    recovered: watch::Sender<bool>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// A batch that is to be stored. It stays under way until it is, whether or not its
/// stream is still there: sent again, it must not get into a second group.
struct Waiting {
    batch: Arc<CheckedBatch>,
    under_way: UnderWay,
    is_new_source: bool,
    done: oneshot::Sender<Outcome>,
}

impl Storing {
    /// Finishes what an earlier start had begun, then takes batches, until [`Storing::finish`].
    pub(super) fn start(
        store: Store,
        registry: Arc<Registry>,
        metrics: Arc<Metrics>,
        stored: broadcast::Sender<Arc<CheckedBatch>>,
        stop: CancellationToken,
    ) -> Self {
        let tasks = TaskTracker::new();
        let shared = Arc::new(Shared {
            store,
            registry,
            metrics,
            stored,
            alone: Arc::new(Semaphore::new(CONCURRENT_ALONE)),
            together: Arc::new(Semaphore::new(CONCURRENT_GROUPS)),
            recovered: watch::Sender::new(false),
            stop,
            tasks: tasks.clone(),
        });
        let (small, waiting) = mpsc::channel(SMALL_QUEUE);
        tasks.spawn(gather(Arc::clone(&shared), waiting).instrument(info_span!("gather")));
        Self { shared, small: Mutex::new(Some(small)), tasks }
    }

    /// Whether what an earlier start had begun is stored; before that nobody knows
    /// which batches are. Waits for it a while.
    pub(super) async fn is_ready(&self) -> bool {
        let mut recovered = self.shared.recovered.subscribe();
        tokio::time::timeout(RECOVERY_WAIT, recovered.wait_for(|done| *done)).await.is_ok_and(|done| done.is_ok())
    }

    /// Stores a batch.
    ///
    /// # Errors
    /// What is wrong with this batch, and not with the store. `None`: the analyzer stops.
    pub(super) async fn store(
        &self,
        batch: Arc<CheckedBatch>,
        under_way: UnderWay,
        is_new_source: bool,
    ) -> Option<Outcome> {
        let (done, outcome) = oneshot::channel();
        let is_small = self.shared.store.is_grouped(&batch);
        let waiting = Waiting { batch, under_way, is_new_source, done };
        if is_small {
            let small = self.small.lock().await.clone()?;
            small.send(waiting).await.ok()?;
        } else {
            let shared = Arc::clone(&self.shared);
            let permit = Arc::clone(&self.shared.alone).acquire_owned().await.ok()?;
            let span = info_span!("store", batch_id = %waiting.batch.id());
            self.tasks.spawn(shared.persist(vec![waiting], Way::Alone, permit).instrument(span));
        }
        outcome.await.ok()
    }

    /// Waits until everything taken is stored; takes no more.
    pub(super) async fn finish(&self) {
        self.small.lock().await.take();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// How a batch is inserted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Way {
    Alone,
    Together,
}

/// Puts small batches together, until the queue closes.
async fn gather(shared: Arc<Shared>, mut waiting: mpsc::Receiver<Waiting>) {
    tokio::select! {
        () = shared.recover() => {}
        // The journal stays for the next start.
        () = shared.stop.cancelled() => return,
    }
    let mut next = None;
    loop {
        let first = match next.take() {
            Some(first) => first,
            None => match waiting.recv().await {
                Some(first) => first,
                None => return,
            },
        };
        // The semaphore is never closed.
        let Ok(permit) = Arc::clone(&shared.together).acquire_owned().await else { return };
        let mut bytes = first.batch.encoded_len();
        let mut group = vec![first];
        while group.len() < GROUP_BATCHES {
            let Ok(more) = waiting.try_recv() else { break };
            bytes += more.batch.encoded_len();
            if bytes > GROUP_BYTES || !shared.store.fits_with(&group[0].batch, &more.batch) {
                next = Some(more);
                break;
            }
            group.push(more);
        }
        let span = info_span!("store", batch_id = %group[0].batch.id(), batches = group.len());
        shared.tasks.spawn(Arc::clone(&shared).persist(group, Way::Together, permit).instrument(span));
    }
}

impl Shared {
    async fn recover(&self) {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.store.finish_groups().await {
                Ok(0) => break,
                Ok(batches) => {
                    info!(batches, "batches stored that an earlier start had begun to");
                    self.metrics.batches_recovered.inc_by(batches as u64);
                    break;
                }
                Err(error) => {
                    self.metrics.store_retries.inc();
                    if pause == FIRST_PAUSE {
                        warn!(error = %Chain(&error), "groups of an earlier start not stored yet, trying again");
                    }
                }
            }
            sleep(jittered(pause)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        self.recovered.send_replace(true);
    }

    /// Tries until these are stored, or known never to be.
    async fn persist(self: Arc<Self>, members: Vec<Waiting>, way: Way, permit: OwnedSemaphorePermit) {
        let mut permit = Some(permit);
        let mut group = None;
        let mut pause = FIRST_PAUSE;
        let mut disliked = 0;
        let stored_before = self.metrics.batches_stored.get();
        loop {
            let error = match self.attempt(&members, way, &mut group).await {
                Ok((sources, refused)) => {
                    if let Some(group) = group {
                        self.store.end_group(group).await;
                    }
                    self.settle(members, &sources, &refused);
                    return;
                }
                Err(error) => error,
            };
            self.metrics.store_retries.inc();
            if pause == FIRST_PAUSE {
                warn!(error = %Chain(&error), "not stored, trying again");
            }
            disliked += u32::from(error.is_about_data());
            let others = self.metrics.batches_stored.get().saturating_sub(stored_before);
            if disliked >= POISON_ATTEMPTS && others > 0 {
                if let Some(group) = group {
                    self.store.end_group(group).await;
                }
                let reason = format!("ClickHouse takes others, but not this one: {}", Chain(&error));
                for member in members {
                    let _ = member.done.send(Err(reason.clone()));
                }
                return;
            }
            // Others may be luckier meanwhile.
            drop(permit.take());
            sleep(jittered(pause)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            let semaphore = if way == Way::Alone { &self.alone } else { &self.together };
            permit = Arc::clone(semaphore).acquire_owned().await.ok();
        }
    }

    async fn attempt(
        &self,
        members: &[Waiting],
        way: Way,
        group: &mut Option<Group>,
    ) -> Result<(Vec<Option<i64>>, Vec<(usize, String)>), InsertError> {
        let mut sources = Vec::new();
        for member in members {
            sources.push(if member.is_new_source {
                let found = self.store.source_stored_at(&member.batch).await;
                found.map_err(|source| InsertError::Table { table: "batches", source })?
            } else {
                None
            });
        }
        if group.is_none() {
            let batches: Vec<_> = members.iter().map(|member| Arc::clone(&member.batch)).collect();
            *group = Some(match way {
                Way::Alone => Group::alone(Arc::clone(&batches[0])),
                Way::Together => self.store.begin_group(&batches).await?,
            });
        }
        let Some(group) = group else { return Ok((sources, Vec::new())) };
        let refused = self.store.insert_group(group).await?;
        let position = |id| members.iter().position(|member| member.batch.id() == id);
        let refused = refused.iter().filter_map(|(id, error)| Some((position(id)?, Chain(error).to_string())));
        Ok((sources, refused.collect()))
    }

    fn settle(&self, members: Vec<Waiting>, sources: &[Option<i64>], refused: &[(usize, String)]) {
        for (index, (member, source)) in members.into_iter().zip(sources).enumerate() {
            if let Some((_, error)) = refused.iter().find(|(refused, _)| *refused == index) {
                // Dropping `under_way` lets it be tried again, should it come again.
                let _ = member.done.send(Err(format!("ClickHouse takes others, but not this one: {error}")));
                continue;
            }
            member.under_way.stored();
            self.note(&member.batch);
            // The stream may have ended: then it is sent again, and found stored.
            let _ = member.done.send(Ok(*source));
        }
    }

    fn note(&self, batch: &Arc<CheckedBatch>) {
        let metrics = &self.metrics;
        metrics.batches_stored.inc();
        metrics.packets_stored.inc_by(batch.packets());
        metrics.packets_lost.inc_by(batch.batch().lost.iter().map(|count| count.packets).sum());
        metrics.frames_undecoded.inc_by(batch.batch().undecoded.iter().map(|count| count.frames).sum());
        self.registry.note_stored(batch.batch());
        debug!(batch_id = %batch.id(), packets = batch.packets(), "batch stored");
        // No receiver: nobody follows.
        let _ = self.stored.send(Arc::clone(batch));
    }
}

fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(rand::rng().random_range(0.5..1.5))
}

/// Large batches inserted at once, over all collectors: with two cores more only wait
/// for each other, and each holds its batch and its columns in memory.
const CONCURRENT_ALONE: usize = 2;
/// Groups inserted at once: while there is one, the next one gathers.
const CONCURRENT_GROUPS: usize = 1;
/// Batches in a group, at most: each is a row of `batches`, and an acknowledgement waits
/// for the whole group.
const GROUP_BATCHES: usize = 512;
/// Octets in a group's file, at most: what is written once more, and held in memory.
const GROUP_BYTES: usize = 8 << 20;
/// Small batches waiting; beyond, their streams are not read.
const SMALL_QUEUE: usize = 1024;
/// How long a stream waits for what an earlier start had begun, before it is sent away:
/// less than a collector's patience with a silent analyzer.
const RECOVERY_WAIT: Duration = Duration::from_secs(5);
/// Pauses between attempts double from the first to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Some six seconds, in which others were stored.
const POISON_ATTEMPTS: u32 = 8;
