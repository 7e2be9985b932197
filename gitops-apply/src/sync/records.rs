//! The record of what the application owns, kept while that changes.

use std::sync::atomic::Ordering;

use super::{Run, Stop, locked};
use crate::cluster::{Cluster, ClusterError, Write};
use crate::record::Recorded;
use crate::report::{OperationPhase, ResultCode};

impl<C: Cluster> Run<'_, C> {
    /// Records what may come to be ours, before it does.
    pub(super) async fn widen_record(&self) -> Result<(), Stop> {
        let known = &self.plan.recorded;
        let mut wide = known.widened(self.plan);
        if wide.differs(known) {
            match self.write_record(&wide).await {
                Ok(()) => wide.exists(),
                // Its namespace is yet to be created.
                Err(ClusterError::NotFound { .. }) if !known.is_there() => wide = known.clone(),
                Err(error) => return Err(unrecorded(&error)),
            }
        }
        *locked(&self.recorded) = Some(wide);
        Ok(())
    }

    /// Records what is ours after all; nothing if nothing was begun.
    pub(super) async fn finish_record(&self) -> Result<(), Stop> {
        let Some(known) = locked(&self.recorded).take() else {
            return Ok(());
        };
        if self.gave_up.load(Ordering::Relaxed) {
            return Ok(());
        }
        let exact = {
            let (written, results) = (locked(&self.written), locked(&self.results));
            let pruned = |index: usize| {
                let result = results[index].as_ref();
                result.is_some_and(|result| result.status == ResultCode::Pruned)
            };
            let plan = self.plan;
            plan.recorded
                .exact(plan, |index| written.get(&index), pruned)
        };
        if !exact.differs(&known) {
            return Ok(());
        }
        match self.write_record(&exact).await {
            Ok(()) => Ok(()),
            // It went with its namespace.
            Err(ClusterError::NotFound { .. }) => Ok(()),
            Err(error) => Err(unrecorded(&error)),
        }
    }

    async fn write_record(&self, record: &Recorded) -> Result<(), ClusterError> {
        let Some((object, subresource)) = record.manifest(&self.plan.app) else {
            return Ok(());
        };
        let write = Write {
            subresource: subresource.into(),
            force: true,
            ..Write::by(self.plan.manager.clone())
        };
        self.patiently("apply", object.key(), false, || {
            self.cluster.apply(&object, &write)
        })
        .await
        .map(drop)
    }
}

fn unrecorded(error: &ClusterError) -> Stop {
    Stop {
        phase: match error.is_transient() {
            true => OperationPhase::Error,
            false => OperationPhase::Failed,
        },
        message: format!(
            "what the application owns could not be recorded: {}",
            error.explain()
        ),
    }
}
