//! How many questions at once: from one peer, and in all.
//!
//! Who has too many of them waits for a while and is then told so; others go on.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tonic::Status;

use crate::access::{Caller, Peer};

/// What one peer, and all of them, may ask at once.
#[derive(Clone, Copy, Debug)]
pub struct QuestionLimits {
    /// Questions of one peer that are being answered.
    pub of_peer: usize,
    /// Questions of one peer that were asked and whose answers were not read to their end.
    pub open_of_peer: usize,
    /// Questions that are being answered, over all peers.
    pub in_all: usize,
    /// How long a question waits for its turn.
    pub wait: Duration,
    /// How long an answer waits for a reader that does not read.
    pub unread: Duration,
}

impl Default for QuestionLimits {
    fn default() -> Self {
        Self {
            // A page with a question a panel; a script with some at once.
            of_peer: 8,
            // Each may hold four pieces of some 50 KiB: 13 MiB a peer.
            open_of_peer: 64,
            // Each asks ClickHouse some things at once, six at most (`max_concurrent_queries` in `engine/files.rs`).
            in_all: 32,
            // Most answers take far less than a second.
            wait: Duration::from_secs(10),
            // Somebody who reads an answer in a pager; ClickHouse ends the query then, too.
            unread: Duration::from_secs(300),
        }
    }
}

/// Who asks: by name if it is known, else by address.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) enum Asker {
    Named(String),
    At(Option<IpAddr>),
}

impl Asker {
    pub(super) fn of(extensions: &tonic::Extensions) -> Self {
        let caller = extensions.get::<Caller>().and_then(|caller| caller.0.as_ref());
        match caller {
            Some(identity) => Self::Named(identity.name.clone()),
            None => Self::At(extensions.get::<Peer>().and_then(|peer| peer.address).map(|address| address.ip())),
        }
    }
}

impl std::fmt::Display for Asker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Named(name) => write!(f, "`{name}`"),
            Self::At(Some(ip)) => write!(f, "{ip}"),
            Self::At(None) => f.write_str("this peer"),
        }
    }
}

/// Gives out turns.
#[derive(Debug)]
pub(super) struct Turns {
    limits: QuestionLimits,
    all: Arc<Semaphore>,
    askers: Mutex<HashMap<Asker, Open>>,
}

/// The open questions of one peer.
#[derive(Debug)]
struct Open {
    questions: usize,
    turns: Arc<Semaphore>,
}

/// An open question: counted until its answer was read, or nobody reads it any more.
#[derive(Debug)]
pub(super) struct Question {
    turns: Arc<Turns>,
    asker: Asker,
}

/// The turn of a question that is being answered.
#[derive(Debug)]
pub(super) struct Turn {
    _own: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl Turns {
    pub(super) fn new(limits: QuestionLimits) -> Self {
        Self { limits, all: Arc::new(Semaphore::new(limits.in_all)), askers: Mutex::default() }
    }

    pub(super) fn limits(&self) -> QuestionLimits {
        self.limits
    }

    /// Counts a question; refuses it if the peer has too many.
    pub(super) fn open(self: &Arc<Self>, asker: Asker) -> Result<Question, Status> {
        let mut askers = self.askers();
        let fresh = || Open { questions: 0, turns: Arc::new(Semaphore::new(self.limits.of_peer)) };
        let open = askers.entry(asker.clone()).or_insert_with(fresh);
        if open.questions >= self.limits.open_of_peer {
            return Err(Status::resource_exhausted(format!(
                "{asker} has {} questions open already: read their answers, or ask again when some have ended",
                open.questions
            )));
        }
        open.questions += 1;
        drop(askers);
        Ok(Question { turns: Arc::clone(self), asker })
    }

    fn askers(&self) -> MutexGuard<'_, HashMap<Asker, Open>> {
        // Nothing that holds it can leave it half changed.
        self.askers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Question {
    /// Waits for its turn.
    pub(super) async fn turn(&self) -> Result<Turn, Status> {
        let turns = &self.turns;
        let own = turns.askers().get(&self.asker).map(|open| Arc::clone(&open.turns));
        let Some(own) = own else { return Err(Status::internal("a question that was not asked")) };
        let closed = |_| Status::unavailable("the analyzer is stopping");
        let of_peer = timeout(turns.limits.wait, own.acquire_owned()).await.map_err(|_| {
            Status::resource_exhausted(format!(
                "{} questions of {} are being answered already: ask again when one has ended",
                turns.limits.of_peer, self.asker
            ))
        })?;
        let of_peer = of_peer.map_err(closed)?;
        let of_all = timeout(turns.limits.wait, Arc::clone(&turns.all).acquire_owned()).await.map_err(|_| {
            Status::resource_exhausted(format!(
                "{} questions are being answered already: ask again in a moment",
                turns.limits.in_all
            ))
        })?;
        Ok(Turn { _own: of_peer, _of_all: of_all.map_err(closed)? })
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        let mut askers = self.turns.askers();
        if let Some(open) = askers.get_mut(&self.asker) {
            open.questions -= 1;
            if open.questions == 0 {
                // Turns given out keep their own count.
                askers.remove(&self.asker);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> QuestionLimits {
        let wait = Duration::from_millis(1);
        QuestionLimits { of_peer: 2, open_of_peer: 3, in_all: 3, wait, unread: Duration::from_secs(1) }
    }

    fn anna() -> Asker {
        Asker::Named("anna".to_owned())
    }

    #[tokio::test]
    async fn who_asks_too_much_is_told_so_and_others_go_on() {
        let turns = Arc::new(Turns::new(limits()));
        let questions: Vec<_> = (0..3).map(|_| turns.open(anna()).unwrap()).collect();
        let refused = turns.open(anna()).unwrap_err();
        assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
        assert!(refused.message().starts_with("`anna` has 3 questions open already"), "{refused}");

        let (first, _second) = (questions[0].turn().await.unwrap(), questions[1].turn().await.unwrap());
        let refused = questions[2].turn().await.unwrap_err();
        assert!(refused.message().starts_with("2 questions of `anna` are being answered already"), "{refused}");
        let other = turns.open(Asker::At("192.0.2.1".parse().ok())).unwrap();
        let _turn = other.turn().await.unwrap();
        let third = turns.open(Asker::At("192.0.2.2".parse().ok())).unwrap();
        let refused = third.turn().await.unwrap_err();
        assert!(refused.message().starts_with("3 questions are being answered already"), "{refused}");
        drop(first);
        let _turn = third.turn().await.unwrap();
    }

    #[tokio::test]
    async fn nothing_is_left_of_questions_that_have_ended() {
        let turns = Arc::new(Turns::new(limits()));
        for _ in 0..10 {
            let question = turns.open(anna()).unwrap();
            let _turn = question.turn().await.unwrap();
        }
        assert!(turns.askers().is_empty());
        assert_eq!(turns.all.available_permits(), 3);
    }
}
