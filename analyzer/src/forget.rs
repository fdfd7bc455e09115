//! Forgetting: the gRPC service that removes a device or a stretch of time. What is
//! removed where is in [`crate::store`].

use std::sync::Arc;

use iotq_proto::{
    error::Chain,
    v1::{self, forget_server::Forget},
};
use tokio::sync::Mutex;
use tonic::{Request, Response, Status};
use tracing::{info, warn};

use crate::{
    devices::{find, unavailable},
    query::Analyst,
    store::{Forgotten, Store},
};

/// The gRPC service.
#[derive(Clone)]
pub struct ForgetService {
    analyst: Arc<Analyst>,
    store: Store,
    one_at_a_time: Arc<Mutex<()>>,
}

impl ForgetService {
    /// Removes from `store`; `analyst` answers without it from then on.
    #[must_use]
    pub fn new(analyst: Arc<Analyst>, store: Store) -> Self {
        Self { analyst, store, one_at_a_time: Arc::default() }
    }
}

#[tonic::async_trait]
impl Forget for ForgetService {
    async fn forget(&self, request: Request<v1::ForgetRequest>) -> Result<Response<v1::ForgetResponse>, Status> {
        let wanted = request.into_inner();
        let mut response = v1::ForgetResponse::default();
        let what = match (wanted.device.trim(), wanted.since_ns, wanted.until_ns) {
            ("", Some(since_ns), Some(until_ns)) => minutes(since_ns, until_ns, &mut response)?,
            ("", ..) => {
                return Err(Status::invalid_argument("what is to be forgotten: a device, or a range with both ends"));
            }
            (text, None, None) => self.device(text, &mut response).await?,
            _ => {
                return Err(Status::invalid_argument(
                    "a device is forgotten with all its time, a range with all its devices",
                ));
            }
        };
        // Not tied to the call: somebody who hangs up leaves nothing half done.
        let (store, one_at_a_time, dry_run) = (self.store.clone(), Arc::clone(&self.one_at_a_time), wanted.dry_run);
        let analyst = Arc::clone(&self.analyst);
        let done = tokio::spawn(async move {
            let _one = one_at_a_time.lock().await;
            if dry_run {
                return store.count_forgotten(&what).await;
            }
            let forgotten = store.forget(&what).await;
            // What failed half way removed something, too.
            analyst.look_again();
            forgotten
        });
        let rows = done.await.map_err(|_| Status::internal("it was broken off"))?.map_err(|error| {
            warn!(error = %Chain(&error), "not all was forgotten");
            Status::unavailable("the store did not do it, or not all of it: its log says why; do it again")
        })?;
        if !wanted.dry_run {
            info!(tables = rows.len(), rows = rows.iter().map(|counted| counted.rows).sum::<u64>(), "forgotten");
        }
        response.tables = rows
            .into_iter()
            .map(|counted| v1::ForgottenRows { table: counted.table.to_owned(), rows: counted.rows })
            .collect();
        Ok(Response::new(response))
    }
}

impl ForgetService {
    async fn device(&self, text: &str, response: &mut v1::ForgetResponse) -> Result<Forgotten, Status> {
        let key = find(&self.analyst, text).await?;
        let naming = self.analyst.naming_now(key).await.map_err(|error| unavailable(&error))?;
        let identity = self.analyst.identity_now().await.map_err(|error| unavailable(&error))?;
        response.device = key.to_string();
        response.device_name = naming.name;
        response.notes = [DEVICE_NOTES, NOTES].concat().into_iter().map(str::to_owned).collect();
        let mut ids = vec![key.to_string()];
        // Lease files know no VLANs.
        ids.extend(key.mac().map(|mac| mac.to_string()));
        Ok(Forgotten::Device { device: key.columns(), ids, identity: Box::new(identity) })
    }
}

/// Whole minutes: the finest that sums are kept of.
fn minutes(since_ns: i64, until_ns: i64, response: &mut v1::ForgetResponse) -> Result<Forgotten, Status> {
    if since_ns >= until_ns {
        return Err(Status::invalid_argument("the range ends before it begins"));
    }
    let from = since_ns.div_euclid(MINUTE_NS);
    let until = until_ns.div_euclid(MINUTE_NS) + i64::from(until_ns.rem_euclid(MINUTE_NS) != 0);
    let (Some(from_ns), Some(until_ns)) = (from.checked_mul(MINUTE_NS), until.checked_mul(MINUTE_NS)) else {
        return Err(Status::invalid_argument("the range reaches beyond what can be stored"));
    };
    response.since_ns = Some(from_ns);
    response.until_ns = Some(until_ns);
    response.notes = [MINUTES_NOTES, NOTES].concat().into_iter().map(str::to_owned).collect();
    Ok(Forgotten::Minutes { from: from * 60, until: until * 60 })
}

const MINUTE_NS: i64 = 60_000_000_000;

const DEVICE_NOTES: &[&str] = &[
    "what other devices exchanged with it goes too; all else of them stays",
    "`endpoint_hour` counts all hours of those, too: they are made again from what stays",
    "names in the names file stay: take them out there",
];
const MINUTES_NOTES: &[&str] = &[
    "the range is of whole minutes; sums of hours and days that it cuts are made again from the minutes that stay",
    "where those minutes are too old to be there still (350 days; hours: two years), the hours or days that it cuts go whole",
    "connections that reach into it go whole; of names that reach beyond it, what is outside stays",
];
const NOTES: &[&str] = &[
    "counters of batches (frames, losses) stay: they do not say whose frames they count",
    "what collectors have not sent yet, and backups, are not changed",
    "freed space on the disk is written over or given back within some ten minutes",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_widened_to_whole_minutes() {
        let mut response = v1::ForgetResponse::default();
        let what = minutes(-1, 60_000_000_001, &mut response).unwrap();
        assert!(matches!(what, Forgotten::Minutes { from: -60, until: 120 }), "{what:?}");
        assert_eq!((response.since_ns, response.until_ns), (Some(-MINUTE_NS), Some(2 * MINUTE_NS)));
        assert!(minutes(5, 5, &mut response).is_err());
        assert!(minutes(i64::MIN, i64::MAX, &mut response).is_err());
    }
}
