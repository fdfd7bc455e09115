//! Settings that can be read again while a program goes on.

use std::{error::Error, ffi::OsString, fmt, marker::PhantomData};

use clap::{CommandFactory, FromArgMatches};

use super::{Keys, Typed, TypedError};
use crate::error::Chain;

/// The command line `A` and the file beneath it, which together mean a `C`.
pub struct Settings<A, C> {
    keys: Keys,
    at_once: &'static [&'static str],
    words: Vec<OsString>,
    /// As they were at the start.
    started: Typed,
    /// As they were read last.
    current: Option<Typed>,
    meaning: PhantomData<fn(A) -> C>,
}

/// Settings that were read again.
#[derive(Debug)]
pub struct Reread<C> {
    /// All of them.
    pub config: C,
    /// Keys of those that changed since they were read last and are taken at once.
    pub taken: Vec<String>,
    /// Keys of those that differ from those in force and need a restart.
    pub waiting: Vec<String>,
}

/// Why settings make no sense.
#[derive(Debug, thiserror::Error)]
pub enum LoadError<E: Error + 'static> {
    /// A flag, or the file.
    #[error(transparent)]
    Typed(#[from] TypedError),
    /// All of it is understood, and cannot be.
    #[error("{}{place}", Chain(error))]
    Config {
        /// Why.
        error: E,
        /// Where in the file it stands, if it does.
        place: String,
    },
}

impl<A, C> Settings<A, C>
where
    A: CommandFactory + FromArgMatches,
    C: TryFrom<A, Error: Error + 'static>,
{
    /// Reads a command line, the program's name first, and the file that it names. Of the keys
    /// some can be taken over `at_once` when they are read again.
    ///
    /// # Errors
    /// If they make no sense, or ask for help.
    pub fn load(
        keys: Keys,
        at_once: &'static [&'static str],
        words: impl IntoIterator<Item = OsString>,
    ) -> Result<(Self, C), LoadError<C::Error>> {
        let words: Vec<_> = words.into_iter().collect();
        let (started, config) = read(keys, &words)?;
        Ok((Self { keys, at_once, words, started, current: None, meaning: PhantomData }, config))
    }

    /// Reads the same again.
    ///
    /// # Errors
    /// If it makes no sense any more; then nothing changes.
    pub fn read_again(&mut self) -> Result<Reread<C>, LoadError<C::Error>> {
        let (typed, config) = read(self.keys, &self.words)?;
        let is_taken = |key: &String| self.at_once.contains(&key.as_str());
        let before = self.current.as_ref().unwrap_or(&self.started);
        let taken = typed.changed_since(before).into_iter().filter(is_taken).collect();
        let waiting = typed.changed_since(&self.started).into_iter().filter(|key| !is_taken(key)).collect();
        self.current = Some(typed);
        Ok(Reread { config, taken, waiting })
    }
}

impl<A, C> fmt::Debug for Settings<A, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("words", &self.words).finish_non_exhaustive()
    }
}

fn read<A, C>(keys: Keys, words: &[OsString]) -> Result<(Typed, C), LoadError<C::Error>>
where
    A: CommandFactory + FromArgMatches,
    C: TryFrom<A, Error: Error + 'static>,
{
    let mut typed = Typed::read(A::command(), keys, words.iter().cloned())?;
    let args: A = typed.args().map_err(TypedError::Usage)?;
    let config = C::try_from(args).map_err(|error| {
        let place = typed.place(&error.to_string());
        LoadError::Config { error, place }
    })?;
    Ok((typed, config))
}
