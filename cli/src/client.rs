//! Asks the analyzer and hands its answer over, message by message.
//!
//! The connection lives in a thread of its own: when whoever reads the output
//! stops for a while (a pager, say), the rows wait, but the connection goes on
//! answering the analyzer's keep-alives.

mod connection;
mod devices;
mod error;
mod store;

use std::{process, thread};

use iotq_proto::v1::{self, answer::Kind, query_client::QueryClient};
use tokio::sync::mpsc;

use self::connection::Line;
pub use self::{
    devices::{import_devices, set_device},
    error::AskError,
    store::{export, forget},
};
use crate::config::Config;

/// The messages of an answer, as they arrive. Ends after the trailer, after an
/// error, or where the user stopped an answer that has no end.
#[derive(Debug)]
pub struct Answers {
    messages: mpsc::Receiver<Message>,
}

impl Iterator for Answers {
    type Item = Result<Kind, AskError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.messages.blocking_recv()
    }
}

/// Asks; returns at once.
#[must_use]
pub fn ask(config: &Config, ask: v1::question::Ask) -> Answers {
    let (sender, messages) = mpsc::channel(MESSAGES_AHEAD);
    let question = v1::Question { selection: Some(config.selection.clone()), ask: Some(ask) };
    let (line, follow) = (Line::new(config), config.follow);
    let for_errors = sender.clone();
    let talk = move || Conversation { line, follow, sender }.run(question);
    // Not joined: once the answer is written, or nobody reads it any more, the
    // process ends and the connection with it.
    if let Err(error) = thread::Builder::new().name("client".to_owned()).spawn(talk) {
        let _ = for_errors.try_send(Err(AskError::Start(error)));
    }
    Answers { messages }
}

type Message = Result<Kind, AskError>;

/// One question and its answer, seen from the connection.
struct Conversation {
    line: Line,
    follow: bool,
    sender: mpsc::Sender<Message>,
}

/// How a conversation ended.
enum Ending {
    /// The answer was complete, or its reader is gone.
    Done,
    /// The user stopped it.
    Stopped,
}

impl Conversation {
    fn run(self, question: v1::Question) {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return self.fail(AskError::Start(error)),
        };
        runtime.block_on(async move {
            match self.converse(question).await {
                Ok(Ending::Done) => {}
                Err(error) => {
                    // The reader may be gone; then there is nobody to tell.
                    let _ = self.sender.send(Err(error)).await;
                }
                Ok(Ending::Stopped) => {
                    drop(self);
                    // The answer's end is being written. Should that hang, a
                    // second signal has to work as if we had never caught any.
                    stopped().await;
                    process::exit(1);
                }
            }
        });
    }

    fn fail(&self, error: AskError) {
        let _ = self.sender.try_send(Err(error));
    }

    async fn converse(&self, question: v1::Question) -> Result<Ending, AskError> {
        tokio::select! {
            ending = self.relay(question) => ending,
            () = stopped(), if self.follow => Ok(Ending::Stopped),
            () = self.sender.closed() => Ok(Ending::Done),
        }
    }

    /// Passes the answer on. Cancelled where the user or the reader stops it.
    async fn relay(&self, question: v1::Question) -> Result<Ending, AskError> {
        let channel = self.line.connect().await?;
        let mut client = QueryClient::new(channel).max_decoding_message_size(MAX_MESSAGE_BYTES);
        let refused = |status| AskError::of_status(&status, &self.line.url, false);
        let mut answers = self.line.unless_silent(client.ask(question)).await?.map_err(refused)?.into_inner();
        let mut begun = false;
        loop {
            let message = if self.follow && begun {
                answers.message().await
            } else {
                self.line.unless_silent(answers.message()).await?
            };
            let message = message.map_err(|status| AskError::of_status(&status, &self.line.url, begun))?;
            let Some(message) = message else {
                return Err(AskError::CutOff { url: self.line.url.clone() });
            };
            // A kind that a later analyzer adds is nothing we could show.
            let Some(kind) = message.kind else { continue };
            begun = true;
            let last = matches!(kind, Kind::Trailer(_));
            if self.sender.send(Ok(kind)).await.is_err() || last {
                return Ok(Ending::Done);
            }
        }
    }
}

/// Resolves when the user, or whoever watches over us, wants an end.
async fn stopped() {
    use tokio::signal::unix::{SignalKind, signal};

    let wait = async |kind| match signal(kind) {
        Ok(mut signals) => {
            signals.recv().await;
        }
        // Not caught, the signal ends the process by itself.
        Err(_) => std::future::pending().await,
    };
    tokio::select! {
        () = wait(SignalKind::interrupt()) => {}
        () = wait(SignalKind::terminate()) => {}
    }
}

/// Messages read while the output is written. The analyzer sends some thousand
/// rows in one; a few keep both sides busy, more would only fill memory.
const MESSAGES_AHEAD: usize = 4;
/// More than the 4 MiB that gRPC peers send unless they are told otherwise.
const MAX_MESSAGE_BYTES: usize = 16 << 20;
