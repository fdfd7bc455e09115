//! Why there is no answer, in words for whoever asked.

use std::{error::Error, io, time::Duration};

use iotq_proto::tls::advice;
use tonic::{Code, Status};

use crate::{analyzer_url::AnalyzerUrl, render::safe};

/// Why there is no answer, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The system refused a thread or a poller.
    #[error("the connection could not be started")]
    Start(#[source] io::Error),
    /// tonic does not take the URL.
    #[error("`{url}` is no URL of an analyzer")]
    Url {
        /// The URL.
        url: AnalyzerUrl,
        /// What is wrong with it.
        #[source]
        source: tonic::transport::Error,
    },
    /// Nobody listens there.
    #[error("no analyzer answers at {url}: is `iotq-analyzer serve` running? ({reason})")]
    Unreachable {
        /// The URL.
        url: AnalyzerUrl,
        /// The innermost cause.
        reason: String,
    },
    /// Somebody listens, but says nothing.
    #[error("the analyzer at {url} was silent for {timeout:?}; --timeout sets how long to wait")]
    Silent {
        /// The URL.
        url: AnalyzerUrl,
        /// How long we waited.
        timeout: Duration,
    },
    /// What listens went away, or is something else.
    #[error(
        "the connection to {url} broke before an answer came ({reason}): is this the analyzer's gRPC address, and is it http:// or https:// there?"
    )]
    NoAnswer {
        /// The URL.
        url: AnalyzerUrl,
        /// The innermost cause.
        reason: String,
    },
    /// The connection broke while the answer came.
    #[error("the connection to the analyzer at {url} broke, the answer is incomplete ({reason})")]
    Broken {
        /// The URL.
        url: AnalyzerUrl,
        /// The innermost cause.
        reason: String,
    },
    /// The stream ended without a trailer.
    #[error("the analyzer at {url} ended its answer too early, it is incomplete")]
    CutOff {
        /// The URL.
        url: AnalyzerUrl,
    },
    /// The analyzer said no.
    #[error("{0}")]
    Refused(String),
    /// Rows before the header, or two headers.
    #[error("the analyzer's answer makes no sense: {0}")]
    Malformed(&'static str),
}

impl AskError {
    /// From a connection that could not be made.
    pub(super) fn unreachable(error: &tonic::transport::Error, url: &AnalyzerUrl) -> Self {
        Self::Unreachable { url: url.clone(), reason: innermost(error) }
    }

    /// From a call that failed; `begun`: after a part of the answer had come.
    pub(super) fn of_status(status: &Status, url: &AnalyzerUrl, begun: bool) -> Self {
        // What the analyzer itself says has no source; tonic gives its own a cause.
        if status.source().is_some() {
            let (url, reason) = (url.clone(), innermost(status));
            return if begun { Self::Broken { url, reason } } else { Self::NoAnswer { url, reason } };
        }
        let said = safe(status.message());
        let said = if said.is_empty() { safe("no reason given") } else { said };
        let line = match status.code() {
            Code::InvalidArgument | Code::OutOfRange => format!("the analyzer does not accept this: {said}"),
            Code::Unimplemented => format!(
                "the analyzer at {url} does not know this: is it older than this iotq {}? ({said})",
                env!("CARGO_PKG_VERSION")
            ),
            Code::Unavailable => format!("the analyzer at {url} cannot answer now: {said}"),
            Code::DeadlineExceeded => {
                format!("the analyzer gave up, the question took too long: {said}; a shorter range may help")
            }
            Code::ResourceExhausted => {
                format!("the analyzer at {url} refuses this question: {said}")
            }
            Code::Unauthenticated => format!("the analyzer at {url} does not know who asks: {said}"),
            Code::PermissionDenied => format!("the analyzer at {url} does not permit this question: {said}"),
            Code::NotFound => format!("the analyzer does not know what was asked for: {said}"),
            Code::FailedPrecondition | Code::Aborted | Code::AlreadyExists => {
                format!("the analyzer cannot answer this: {said}")
            }
            Code::Cancelled => format!("the analyzer at {url} ended the question: {said}"),
            Code::DataLoss => format!("the analyzer's data are damaged: {said}; its log says more"),
            Code::Internal | Code::Unknown | Code::Ok => format!("the analyzer failed: {said}; its log says more"),
        };
        Self::Refused(line)
    }
}

/// The last of the causes: "connection refused" says more than "transport error".
fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    let text = cause.to_string();
    match advice(&text) {
        Some(advice) => safe(&format!("{text}: {advice}")).into_owned(),
        None => safe(&text).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_is_one_line_without_control_characters() {
        let url = AnalyzerUrl::parse("127.0.0.1", false).unwrap();
        for code in 0..=16 {
            let status = Status::new(Code::from(code), "bad\x1b[31m\nnews");
            let line = AskError::of_status(&status, &url, false).to_string();
            assert!(line.contains("bad\\x1b[31m\\nnews"), "{line}");
            assert!(!line.chars().any(char::is_control), "{line}");
        }
    }
}
