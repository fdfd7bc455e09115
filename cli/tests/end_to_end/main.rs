//! The program itself against an analyzer that says what a test wants.

mod analyzer;
mod answers;
mod failures;
mod follow;
mod naming;
mod report;
mod typed;
